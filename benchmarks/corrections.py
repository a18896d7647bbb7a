"""What 200 reviewed labels are worth: Imagewoof with its 5% noise, before and after.

The 200 most suspicious labels are decided by a script that knows the truth, through the desk that
the review page uses; then the same run again with those decisions. Prints and writes
benchmarks/results/corrections.{json,md}.

    python benchmarks/corrections.py --data ../data/imagewoof2-160 --out /tmp/corrections
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import softfold
from softfold.decisions.precision import measured_precision
from softfold.review.desk import Desk, Filter
from softfold.runs.folder import Run

RESULTS = Path(__file__).parent / "results"


def review(run: Path, count: int) -> None:
    """Decide the most suspicious labels as someone would who knows the truth."""
    desk = Desk(run)
    truth = desk.run.codes("truth")
    rows = desk.listing(Filter(), "truth")[0][:count]
    if not (truth[rows] >= 0).all():
        raise SystemExit("the run's table does not know the truth")
    for row in rows:
        known = int(truth[row])
        action = "keep" if known == desk.given[row] else "class"
        stroke = {"stroke": f"by-the-truth-{row}", "action": action, "rows": [row], "label": known}
        desk.strike("truth", [stroke])


def summary(run: Run) -> dict[str, Any]:
    """The figures that are compared."""
    metrics = run.metrics
    return {
        "noise_rate_truth": metrics["noise"].get("rate_truth"),
        "noise_rate_estimate": metrics["noise"]["rate_estimate"],
        "baseline_accuracy": float(np.mean(metrics["baseline"]["accuracy"])),
        "soft_accuracy": float(np.mean(metrics["soft"]["accuracy"])),
        "difference": metrics["difference"],
        "seconds": metrics["seconds"]["total"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="unpacked imagewoof2-160")
    parser.add_argument("--out", required=True, type=Path, help="folder for the two runs")
    parser.add_argument("--noise", default="5")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    settings = {
        "noise": asked.noise,
        "data": asked.data,
        "trainer": "probe",
        "seeds": asked.seeds,
        "quiet": True,
    }
    runs = {}
    for name in ("before", "after"):
        folder = asked.out / name
        if name == "after":
            settings["decisions"] = str(asked.out / "before")
        finished = (folder / "report.html").exists()
        runs[name] = Run(folder) if finished else softfold.run("imagewoof", folder, **settings)
        if name == "before" and not (folder / "decisions.sqlite").exists():
            review(folder, asked.count)
    precision = measured_precision(asked.out / "before")
    assert precision is not None
    low, high = precision.interval
    result = {
        "count": asked.count,
        "precision": precision.share,
        "interval": [low, high],
        "promised": precision.promised,
        **{name: summary(run) for name, run in runs.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "corrections.json").write_text(json.dumps(result, indent=1) + "\n")
    lines = [
        f"# {asked.count} reviewed labels of Imagewoof-160 with {asked.noise}% noise",
        "",
        f"`python benchmarks/corrections.py` (probe, {asked.seeds} seeds, clean hold-out).",
        "",
        f"Of the {asked.count} most suspicious labels {precision.wrong} were wrong: a measured "
        f"precision of {100 * precision.share:.1f}% (95% interval {100 * low:.1f}% to "
        f"{100 * high:.1f}%); the suspicions promised {precision.promised:.1f}.",
        "",
        "| | before | after |",
        "| --- | ---: | ---: |",
    ]
    for key, name in (
        ("noise_rate_truth", "labels that are wrong, %"),
        ("noise_rate_estimate", "labels estimated to be wrong, %"),
        ("baseline_accuracy", "accuracy with given labels, %"),
        ("soft_accuracy", "accuracy with soft labels, %"),
    ):
        values = [100 * result[part][key] for part in ("before", "after")]
        lines.append(f"| {name} | {values[0]:.2f} | {values[1]:.2f} |")
    text = "\n".join(lines) + "\n"
    (RESULTS / "corrections.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
