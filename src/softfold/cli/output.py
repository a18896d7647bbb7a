"""What commands print, and where they write when nobody says where."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def default_out(labels: str | None, variant: str | None) -> str:
    """The run folder of labels: by their name, and that of the noise or the recipe."""
    name = str(labels)
    stem = Path(name).resolve().stem if Path(name).exists() else name
    return f"runs/{stem}-{variant}" if variant else f"runs/{stem}"


def print_json(value: Any) -> None:
    """Print a value as JSON: what metrics.json holds, issues, predictions."""
    print(json.dumps(value, indent=1))


def prediction_records(frame: pd.DataFrame, vocab: Sequence[str]) -> list[dict[str, Any]]:
    """Predictions as JSON holds them, one object an item, probabilities by class.

    Args:
        frame: what `Predictor.predict` gives; its last K columns are probabilities.
        vocab: the K class names.
    """
    k = len(vocab)
    facts = frame.iloc[:, :-k].to_dict("records")
    rows = frame.iloc[:, -k:].to_numpy(float).tolist()
    return [
        {**fact, "probabilities": dict(zip(vocab, row, strict=True))}
        for fact, row in zip(facts, rows, strict=True)
    ]


def print_rate(noise: dict[str, Any], out: str | None) -> None:
    """Print what is known of the share of wrong labels; of the run `out` an audit is suggested."""
    from softfold.noise.words import rate_lines

    first, *more = rate_lines(noise, out)
    if "rate_truth" in noise:
        first += f"; in truth {noise['rate_truth']:.1%}"
    print("\n".join([first, *more]))


def bars(metrics: dict[str, Any], width: int = 50) -> list[str]:
    """Both accuracies as bars of text; no line where the data leave open which is longer.

    Args:
        metrics: what metrics.json holds.
        width: characters of a bar of 100%.
    """
    difference = metrics["difference"]
    if not (difference["low"] > 0 or difference["high"] < 0):
        return []
    full, rest = ("█", "░") if _writes("█░") else ("#", ".")
    lines = []
    for part, title in (("baseline", "given labels"), ("soft", "soft labels")):
        share = sum(metrics[part]["accuracy"]) / len(metrics[part]["accuracy"])
        n = round(share * width)
        lines.append(f"{title:<14}{full * n}{rest * (width - n)} {100 * share:5.1f}% right")
    return lines if lines[0].count(full) != lines[1].count(full) else []


def _writes(text: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def print_comparison(metrics: dict[str, Any], out: str, *more: str) -> None:
    """Print what a finished run found, further lines, and where to look."""
    from softfold.files import shell_word
    from softfold.job.comparing import comparison_table
    from softfold.job.ensembling import ensemble_table

    several = "accuracy" not in metrics["baseline"]
    print_rate(metrics["noise"], None if several else out)
    n, against = metrics["data"]["n_valid"], metrics["accuracy_against"]
    print(f"on {n:,} hold-out items, against their {against} labels:")
    print(comparison_table(metrics))
    if "ensemble" in metrics:
        print("\naveraged over folds' models, views of an image, given and soft labels:")
        print(ensemble_table(metrics["ensemble"]))
    if more:
        print("\n".join(["", *more, ""]))
    print(f"took {metrics['seconds']['total']:.0f} s")
    after = "issues" if several else "review"
    print(f"look at {Path(out) / 'report.html'}; next: softfold {after} {shell_word(out)}")
