"""The report's parts where items have several labels: what is said of items and classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcore.xml import FT

from softfold.align import find
from softfold.errors import count_of
from softfold.markup import almost
from softfold.report.measures import Verdict, percent, signed
from softfold.report.parts import Section, bar, el, gallery, headline, item_card, remarks, table
from softfold.report.sections import GALLERY, learning, settings, time
from softfold.runs.folder import Run
from softfold.runs.looks import Looks
from softfold.runs.several import SeveralRun

_MEASURES = (("mean_average_precision", "mean average precision"), ("micro_f1", "micro F1"))


def verdict(run: Run) -> Verdict:
    """What the run found, in one sentence, also when it is not in our favour."""
    metrics = run.get("metrics", {})
    difference = (metrics.get("difference") or {}).get("mean_average_precision")
    if difference is None:
        return Verdict(f"{len(run.train):,} items have been cross-fitted.", "none")
    before, after = (_mean(metrics, part, "mean_average_precision") for part in _PARTS)
    figures = (
        f"mean average precision is {before:.3f} with the given labels, {after:.3f} with soft ones "
        f"(95% interval of the difference {signed(difference['low'])} to "
        f"{signed(difference['high'])})"
    )
    if difference["low"] > 0:
        return Verdict(f"Soft labels gained: {figures}.", "good")
    if difference["high"] < 0:
        return Verdict(f"Soft labels cost: {figures}.", "bad")
    return Verdict(f"Soft labels made no measurable difference: {figures}.", "even")


def figures(run: Run) -> FT:
    """The few numbers that one takes away."""
    cards = [("training items", f"{len(run.train):,}", f"{len(run.vocab):,} classes")]
    noise = run.get("noise")
    if noise is not None and not np.isnan(noise.rate):
        low, high = noise.rate_interval
        ends = f"{percent(low)} to {percent(high)}"
        cards.append(("labels of a class that are wrong", percent(noise.rate), ends))
    difference = run.get("metrics", {}).get("difference") or {}
    for key, name in _MEASURES:
        if key in difference:
            d = difference[key]
            ends = f"95%: {signed(d['low'])} to {signed(d['high'])}"
            cards.append((f"{name}, soft against given labels", signed(d["mean"]), ends))
    return headline(cards)


def comparison(run: Run, looks: Looks) -> Section | None:
    """Models on given and on soft labels, measured on the hold-out."""
    metrics = run.get("metrics", {})
    difference = metrics.get("difference") or {}
    rows = []
    for key, name in _MEASURES:
        if key in difference:
            d = difference[key]
            figures = [f"{_mean(metrics, part, key):.4f}" for part in _PARTS]
            change = f"{signed(d['mean'])} ({signed(d['low'])} to {signed(d['high'])})"
            rows.append([name, *figures, change])
    if not rows:
        return None
    seeds = count_of(len(metrics["soft"]["micro_f1"]), "seed")
    against = "truth" if metrics.get("accuracy_against") == "truth" else "given labels"
    words = (
        "Models trained the same way, on the given labels and on soft labels, by "
        f"{seeds} each, measured on items that no cross-fit and no soft label has touched, against "
        f"their {against}."
    )
    head = ["", "given labels", "soft labels", "difference (95% interval)"]
    parts: list[Any] = [el("p", words), table("Mean over the seeds", head, rows, (1, 2, 3))]
    notes = run.config.get("notes") or []
    if notes:
        parts.append(remarks(notes))
    return "comparison", "Given against soft labels", parts


def noise(run: Run, looks: Looks) -> Section | None:
    """A row a class: how many of its labels are wrong, and which way."""
    model = run.get("noise")
    if model is None:
        return None
    frame = model.frame().sort_values("rate", ascending=False, na_position="last", kind="stable")
    rows = [
        [
            el("span", run.title(each["class"]), title=each["class"]),
            "not known" if np.isnan(each["rate"]) else percent(each["rate"]),
            f"{percent(each['low'])} to {percent(each['high'])}",
            percent(each["missing"]),
            percent(each["extra"]),
        ]
        for each in frame.to_dict("records")
    ]
    head = ["class", "labels wrong", "95% interval", "missing where it is", "given where it is not"]
    words = (
        "Each class is a question of its own, whether an item has it. Of its labels so many are "
        "estimated to be wrong; a class of which predictions tell nothing has no rate."
    )
    title = "Wrong labels by class, most first"
    return (
        "noise",
        "What is wrong with the labels",
        [
            el("p", words),
            table(title, head, rows, (1, 2, 3, 4)),
        ],
    )


def suspicious(run: Run, looks: Looks) -> Section | None:
    """The most suspicious items and classes, with what the items look like."""
    if not isinstance(run, SeveralRun) or not run.has("issues.parquet"):
        return None
    issues = run.issues.head(GALLERY)
    words = (
        f"The {len(issues):,} most suspicious of {len(run.train) * len(run.vocab):,} labels, a "
        "label being that an item has a class or has it not. Beside each is the probability of the "
        "class by models that never saw the item."
    )
    parts: list[Any] = [el("p", words)]
    if looks.missing:
        parts.append(el("p", looks.missing, cls="note"))
    rows = find(run.train["item"].to_numpy(dtype=object), issues["item"])
    cards = [
        _card(run, looks, int(row), issue)
        for row, issue in zip(rows, issues.to_dict("records"), strict=True)
    ]
    parts += gallery(looks, cards)
    return "suspicious", "Most suspicious labels", parts


def _card(run: Run, looks: Looks, row: int, issue: dict[str, Any]) -> FT:
    """A card: the item, the class that is in question, and all that it was given."""
    name, given = issue["class"], bool(issue["given"])
    word = "given, and perhaps not there" if given else "perhaps missing"
    share = float(run.probabilities[row, run.vocab.index(name)])
    record = run.train.iloc[row]
    labels = ", ".join(map(run.title, record["given"])) or "none of the classes"
    about = f"suspicion {almost(issue['suspicion'])} · given: {labels}"
    if record.get("truth") is not None:
        truth = ", ".join(map(run.title, record["truth"])) or "none of the classes"
        about += f" · truth: {truth}"
    alt = f"{record['item']}: {run.title(name)} {word}"
    kind = "given" if given else "soft"
    fact = [
        el("span", run.title(name), cls=f"name {kind}", title=name),
        el("span", word),
        el("span", almost(share)),
        bar(share, f"of-{kind}"),
    ]
    return item_card(run, looks, row, alt, [el("div", *fact, cls="fact")], about)


_PARTS = ("baseline", "soft")


def _mean(metrics: dict[str, Any], part: str, measure: str) -> float:
    return float(np.mean(metrics[part][measure]))


SECTIONS = (comparison, noise, suspicious, learning, time, settings)
