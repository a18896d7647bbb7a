"""The sections of a report: each a function of the run, None where the run has nothing for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from softfold.decisions.applying import logged
from softfold.decisions.log import LOG
from softfold.decisions.precision import measured_precision, precision_sentence
from softfold.report import charts, measures
from softfold.report.comparison import comparison
from softfold.report.measures import percent
from softfold.report.parts import Section, chart, el, gallery, soft_example, suspicious_item, table
from softfold.runs.folder import Run
from softfold.runs.looks import Looks

GALLERY = 50
"""Most items that the gallery of suspicious items shows, whatever the size of the run."""

MOST_ANNOTATORS = 30
"""Rows of the table of annotators."""


def noise(run: Run, looks: Looks) -> Section | None:
    model = run.get("noise")
    if model is None:
        return None
    matrix = model.transition
    wrong = measures.expected_wrong(run)
    pairs = measures.worst_pairs(run)
    even = measures.evenly_spread(pairs, run)
    n = len(run.train)
    words = "The noise model estimates which labels are given in place of which."
    if wrong is not None:
        share = percent(wrong.count / max(1, n))
        words = f"About {share} of the {n:,} given labels are estimated to be wrong"
        if wrong.low is not None and wrong.high is not None:
            words += f" (95% interval {percent(wrong.low / n)} to {percent(wrong.high / n)})"
        words += "."
        known = run.get("metrics", {}).get("noise", {}).get("rate_truth")
        if known is not None:
            words += f" By the truth it is {percent(float(known))}."
    shown = np.arange(len(matrix))
    caption = "Rows: the estimated truth. Columns: the label given. Numbers are percent of a row."
    if len(matrix) > charts.MAX_HEAT_CLASSES:
        index = {name: i for i, name in enumerate(run.vocab)}
        most = measures.worst_pairs(run, 10 * charts.MAX_HEAT_CLASSES)
        chosen: list[int] = []
        for first, second in zip(most["truth"], most["given"]):
            fresh = [i for i in (index[first], index[second]) if i not in chosen]
            if len(chosen) + len(fresh) > charts.MAX_HEAT_CLASSES:
                break
            chosen += fresh
        shown = np.array(sorted(chosen), dtype=int)
        caption += f" Shown are the {len(shown)} of {len(matrix):,} classes in the worst pairs."
    if even:
        words += " The mistakes are spread evenly: no pair of classes stands out."
    parts: list[Any] = [el("p", words)]
    figure = None
    if len(shown):
        figure = chart(
            charts.heat_map(matrix[np.ix_(shown, shown)], [run.titles[i] for i in shown]),
            "Heat map of the transition matrix from the estimated truth to the given label; the "
            "table beside it lists its largest errors.",
            caption,
        )
    listing = None
    if len(pairs):
        rows = [
            [
                el("span", run.title(p.truth), cls="soft", title=p.truth),
                el("span", run.title(p.given), cls="given", title=p.given),
                percent(p.share, 1 if p.share >= 0.001 else 3),
                f"{p.items:,.0f}" if p.items >= 10 else f"{p.items:.1f}",
            ]
            for p in pairs[: 5 if even else None].itertuples()
        ]
        listing = table(
            "Class pairs with the most wrong labels",
            ["is", "but given as", "of its items", "expected"],
            rows,
            (2, 3),
        )
    parts.append(el("div", figure, listing, cls="two"))
    return "noise", "What is wrong with the labels", parts


def suspicious(run: Run, looks: Looks) -> Section | None:
    order = run.ranking[:GALLERY]
    if not len(order):
        return None
    wrong = measures.expected_wrong(run)
    words = (
        f"The {len(order):,} most suspicious of {len(run.train):,} items, most suspicious first."
    )
    if wrong is not None and wrong.count >= 1:
        words += (
            f" About {wrong.count:,.0f} labels are expected to be wrong: reviewing that many from "
            "the top is a sensible place to stop."
        )
    parts: list[Any] = [
        el(
            "p",
            words,
            " Under each: the ",
            el("span", "given label", cls="given"),
            ", then the ",
            el("span", "suggested one", cls="soft"),
            ", with their probabilities by models that never saw the item.",
        )
    ]
    if looks.missing:
        parts.append(el("p", looks.missing, cls="note"))
    cards = [suspicious_item(run, looks, int(row)) for row in order]
    parts += gallery(looks, cards)
    parts.append(_measured_precision(run))
    parts.append(
        el(
            "p",
            "To decide about them one by one: ",
            el("code", "softfold review RUN"),
            ".",
            cls="note",
        )
    )
    return "suspicious", "Most suspicious labels", parts


def _measured_precision(run: Run) -> Any:
    sentence = precision_sentence(run.path)
    return el("p", sentence) if sentence else None


def softened(run: Run, looks: Looks) -> Section | None:
    rows = measures.soft_examples(run)
    if not len(rows):
        return None
    strategy = run.get("metrics", {}).get("soft", {}).get("strategy")
    words = "Labels that were moved, left in doubt, and kept; the class given is in amber."
    if isinstance(strategy, str):
        words += f" Strategy: {strategy}."
    cards = [soft_example(run, looks, int(row)) for row in rows]
    return (
        "soft-labels",
        "What soft labels look like",
        [el("p", words), el("ul", *cards, cls="examples")],
    )


def annotators(run: Run, looks: Looks) -> Section | None:
    """How good each annotator is, worst first, where the labels are several people's votes."""
    if not run.has("annotators.parquet"):
        return None
    quality = pd.read_parquet(run.file("annotators.parquet"))
    rows = [
        [
            str(one.annotator),
            f"{one.votes:,}",
            f"{percent(one.accuracy)} ({percent(one.low)} to {percent(one.high)})",
            "" if pd.isna(one.agreement) else percent(one.agreement),
            one.mistake or "",
        ]
        for one in quality.head(MOST_ANNOTATORS).itertuples()
    ]
    words = (
        "Worst first. How many of their votes are right is as far as votes and predictions tell, "
        "with a 95% interval; agreement is with the other votes on the same items."
    )
    if len(quality) > len(rows):
        words += f" The first {len(rows)} of {len(quality):,}; annotators.parquet has all."
    head = ["annotator", "votes", "right", "agreement", "commonest mistake"]
    return (
        "annotators",
        "Annotators",
        [el("p", words), table("Annotators", head, rows, numbers=(1, 2, 3))],
    )


def curves(run: Run, looks: Looks) -> Section | None:
    parts = []
    bins = measures.calibration(run)
    if bins is not None and len(bins):
        against = bins.attrs["against"]
        text = "; ".join(
            f"{percent(c, 0)} sure: {percent(a, 0)} right"
            for c, a in zip(bins["confidence"], bins["accuracy"])
        )
        caption = (
            "On the dashed line, a prediction that is 80% sure is right 80% of the time. "
            "Larger dots hold more items."
        )
        if against == "given label":
            caption += " Wrong given labels count as errors here, so the curve lies too low."
        parts.append(
            chart(charts.calibration(bins), f"Calibration against the {against}: {text}.", caption)
        )
    curve = measures.suspicion_curve(run)
    if curve is not None:
        label = (
            f"Of the first {curve.looked_at[-1]:,} items, {curve.expected[-1]:,.0f} are "
            "expected to be wrong"
        )
        if curve.measured is not None:
            label += f" and {curve.measured[-1]:,.0f} are wrong by the truth"
        caption = (
            "Looking at items in the order of their suspicion; dashed: if every one were wrong."
        )
        decided = None
        found = measured_precision(logged(run.path / LOG)) if (run.path / LOG).is_file() else None
        if found is not None:
            decided = (found.wrong + found.right, found.wrong)
        parts.append(chart(charts.suspicion(curve, decided), label + ".", caption))
    if not parts:
        return None
    return "curves", "How far to trust it", [el("div", *parts, cls="two")]


def learning(run: Run, looks: Looks) -> Section | None:
    history = run.get("history")
    if (
        history is None
        or not len(history)
        or not {"model", "seed", "epoch"} <= set(history.columns)
    ):
        return None
    known = history[history["model"].isin(["baseline", "soft"])]
    parts = []
    for column, label in (
        ("accuracy", "accuracy on the hold-out, %"),
        ("valid_loss", "hold-out loss"),
        ("train_loss", "training loss"),
    ):
        if column in known and known[column].notna().any() and known["epoch"].nunique() > 1:
            last = known.groupby("model")[column].last()
            text = ", ".join(f"{model} ends at {value:.3f}" for model, value in last.items())
            parts.append(
                chart(
                    charts.learning(known, column, label),
                    f"{label} by epoch: {text}.",
                    "Thin lines are seeds, thick ones their mean.",
                )
            )
    if not parts:
        return None
    words = "For looking only: no epoch, setting or label was chosen by these curves."
    return "learning", "Learning curves", [el("p", words), el("div", *parts, cls="two")]


def time(run: Run, looks: Looks) -> Section | None:
    spent = {
        k: v
        for k, v in run.get("metrics", {}).get("seconds", {}).items()
        if isinstance(v, (int, float))
    }
    if not [k for k in spent if k != "total"]:
        return None
    text = ", ".join(
        f"{charts.STEP_NAMES.get(k, k)} {charts.duration(v)}" for k, v in spent.items()
    )
    total = spent.get("total")
    caption = "Seconds by step."
    if total is not None:
        caption = f"{charts.duration(total)} in all steps, without what is between them."
    return (
        "time",
        "Where the time went",
        [chart(charts.seconds(spent), text + ".", caption, wide=True), *_profiled(run)],
    )


def _profiled(run: Run) -> Iterator[Any]:
    """By function, where the run was made with --profile."""
    steps = run.get("profile", {}).get("steps", [])
    if steps:
        whole = sum(step["seconds"] for step in steps)
        about = (
            f"These parts are {whole:.2f} s together: the steps, and the rest, which is what is "
            "between them, such as choosing the trainers. By function of the thread that runs the "
            "job: what other threads and processes do shows there as waiting. A module is imported "
            "when it is first needed, and counts in that step; what was imported before the job "
            "began, and this report, are not counted."
        )
        yield el("p", about, cls="note")
    for step in steps:
        rows = [
            [f["function"], f"{f['own_seconds']:.2f}", f"{f['seconds']:.2f}", f"{f['calls']:,}"]
            for f in step["functions"]
            if f["own_seconds"] >= 0.005
        ]
        if not rows:
            continue
        name = charts.STEP_NAMES.get(step["step"], step["step"])
        line = f"{name}: {step['seconds']:.2f} s"
        if "import_seconds" in step:
            line += f" ({step['import_seconds']:.2f} of it for imports)"
        line += f", {step['processor_seconds']:.2f} of the processor"
        head = ["function", "its own seconds", "with what it calls", "calls"]
        yield el("details", el("summary", line), table(line, head, rows, numbers=(1, 2, 3)))


def settings(run: Run, looks: Looks) -> Section | None:
    config = run.config
    versions = config.pop("versions", None) or {}
    parts: list[Any] = []
    flat = _flat(config.pop("settings", {})) + _flat(config)
    if flat:
        parts.append(
            table(
                "Settings of the run",
                ["setting", "value"],
                [[key, _short(value)] for key, value in flat[:60]],
            )
        )
    if isinstance(versions, dict) and versions:
        parts.append(
            table(
                "Versions",
                ["package", "version"],
                [[key, str(value)] for key, value in sorted(versions.items())],
            )
        )
    if not parts:
        return None
    whole = json.dumps(run.config, indent=2, ensure_ascii=False)
    fold = el(
        "details", el("summary", "config.json in full"), el("pre", whole[:20_000], tabindex="0")
    )
    return "settings", "Settings and versions", [el("div", *parts, cls="two"), fold]


def _flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, dict):
            out += _flat(value, f"{prefix}{key}.")
        elif value is not None:
            out.append((prefix + str(key), value))
    return out


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else text[:159] + "…"


SECTIONS = (
    comparison,
    noise,
    annotators,
    suspicious,
    softened,
    curves,
    learning,
    time,
    settings,
)
