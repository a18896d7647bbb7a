"""The report's parts where items have several labels: what is said of items and classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcore.xml import FT

from softfold.align import find
from softfold.errors import count_of
from softfold.markup import almost
from softfold.report.measures import Verdict, percent
from softfold.report.parts import Section, bar, el, look, table
from softfold.report.sections import GALLERY, UNFOLDED, learning, settings, time
from softfold.runs.folder import Run
from softfold.runs.looks import Looks

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
        f"(95% interval of the difference {_signed(difference['low'])} to "
        f"{_signed(difference['high'])})"
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
            ends = f"95%: {_signed(d['low'])} to {_signed(d['high'])}"
            cards.append((f"{name}, soft against given labels", _signed(d["mean"]), ends))
    made = [
        el("div", el("dt", name), el("dd", value, el("small", small)))
        for name, value, small in cards
    ]
    return el("dl", *made, cls="figures")


def comparison(run: Run, looks: Looks) -> Section | None:
    """Models on given and on soft labels, measured on the hold-out."""
    metrics = run.get("metrics", {})
    difference = metrics.get("difference") or {}
    rows = []
    for key, name in _MEASURES:
        if key in difference:
            d = difference[key]
            figures = [f"{_mean(metrics, part, key):.4f}" for part in _PARTS]
            change = f"{_signed(d['mean'])} ({_signed(d['low'])} to {_signed(d['high'])})"
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
    notes = [note[:1].upper() + note[1:] + "." for note in map(str, run.config.get("notes") or [])]
    if notes:
        parts.append(el("ul", *[el("li", note) for note in notes], cls="note"))
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
    if not run.has("issues.parquet"):
        return None
    issues = run.issues.head(GALLERY)  # type: ignore[attr-defined]
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
    kind = "gallery" if looks.kind == "image" else "gallery words"
    parts.append(el("ul", *cards[:UNFOLDED], cls=kind))
    if len(cards) > UNFOLDED:
        fold = el("summary", f"{len(cards) - UNFOLDED} more")
        parts.append(el("details", fold, el("ul", *cards[UNFOLDED:], cls=kind), cls="more"))
    return "suspicious", "Most suspicious labels", parts


def _card(run: Run, looks: Looks, row: int, issue: dict[str, Any]) -> FT:
    """A card: the item, the class that is in question, and all that it was given."""
    name, given = issue["class"], bool(issue["given"])
    word = "given, and perhaps not there" if given else "perhaps missing"
    share = float(run.probabilities[row, run.vocab.index(name)])
    record = run.train.iloc[row]
    labels = ", ".join(map(run.title, record["given"])) or "none of the classes"
    about = f"suspicion {almost(issue['suspicion'])} · given: {labels}"
    if record.get("truth") is not None and "truth" in record:
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
    return el(
        "li",
        look(looks, int(run.train_rows[row]), alt),
        el(
            "div",
            el("div", *fact, cls="fact"),
            el("div", about, cls="about"),
            el("p", record["item"], cls="key", title=record["item"]),
            cls="facts",
        ),
        cls="item",
    )


_PARTS = ("baseline", "soft")


def _mean(metrics: dict[str, Any], part: str, measure: str) -> float:
    return float(np.mean(metrics[part][measure]))


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "\u2212")


SECTIONS = (comparison, noise, suspicious, learning, time, settings)
