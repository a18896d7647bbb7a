"""The pieces that a report page is put together from. Everything that is text is escaped."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastcore.xml import FT, Safe, ft

from softfold.markup import almost
from softfold.report.measures import percent
from softfold.runs.folder import Run
from softfold.runs.looks import Looks, data_uri

PICTURE = 160
"""Pixels of the longer side of a picture in the report."""

UNFOLDED = 20
"""How many cards of a gallery are seen at once; the rest unfolds."""

Section = tuple[str, str, list[Any]]
"""Key (for links), title, contents."""


def el(tag: str, *children: Any, **attributes: Any) -> FT:
    """An HTML element; text children and attributes are escaped when it is written."""
    return ft(
        tag,
        *[str(c) if isinstance(c, (int, float, np.generic)) else c for c in children],
        **{k: v if isinstance(v, bool) or v is None else str(v) for k, v in attributes.items()},
    )


def void(tag: str, **attributes: Any) -> FT:
    """An element without content: `img`, `meta`."""
    return ft(tag, void_=True, **attributes)


def raw(markup: str) -> Any:
    """Markup made here (charts, styles), never anything that came with the data."""
    return Safe(markup)


def chart(svg: str, label: str, caption: Any, wide: bool = False) -> FT:
    """A chart with the sentence that says what it shows."""
    return el(
        "figure",
        el("div", raw(svg), role="img", aria_label=label),
        el("figcaption", caption),
        cls="chart wide" if wide else "chart",
    )


def table(
    caption: str, head: list[str], rows: list[list[Any]], numbers: tuple[int, ...] = ()
) -> FT:
    """A data table; `numbers` are the columns set flush right."""

    def cell(tag: str, column: int, value: Any, **more: Any) -> FT:
        return el(tag, value, cls="number" if column in numbers else None, **more)

    return el(
        "div",
        el(
            "table",
            el("caption", caption),
            el("thead", el("tr", *[cell("th", i, h, scope="col") for i, h in enumerate(head)])),
            el("tbody", *[el("tr", *[cell("td", i, v) for i, v in enumerate(r)]) for r in rows]),
        ),
        cls="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def bar(share: float, kind: str = "") -> FT:
    """A share of 1 as a bar; its number stands beside it as text."""
    width = 100 * min(1.0, max(0.0, float(share)))
    return el(
        "div", el("i", cls=kind or None, style=f"width:{width:.1f}%"), cls="bar", aria_hidden="true"
    )


def look(looks: Looks, row: int, alt: str) -> FT:
    """The item as a person sees it: picture, text or columns."""
    text = looks.text(row)
    if text is not None:
        return el("div", text, cls="said", tabindex="0")
    columns = looks.columns(row)
    if columns is not None:
        pairs = [e for name, value in columns for e in (el("dt", name), el("dd", value))]
        return el("div", el("dl", *pairs), cls="said", tabindex="0")
    webp = looks.picture(row, PICTURE)
    if webp is None:
        return el("div", el("span", "no picture", cls="nothing"), cls="frame")
    picture = void("img", src=data_uri(webp), alt=alt)
    return el("div", picture, cls="frame")


def headline(cards: list[tuple[str, str, str]]) -> FT:
    """The few numbers that one takes away: a name, a value and small print each."""
    made = [
        el("div", el("dt", name), el("dd", value, el("small", small) if small else None))
        for name, value, small in cards
    ]
    return el("dl", *made, cls="figures")


def remarks(notes: list[Any]) -> FT:
    """The notes of a job as sentences."""
    said = [el("li", note[:1].upper() + note[1:] + ".") for note in map(str, notes)]
    return el("ul", *said, cls="note")


def gallery(looks: Looks, cards: list[FT]) -> list[FT]:
    """Cards of items, the first of them unfolded."""
    kind = "gallery" if looks.kind == "image" else "gallery words"
    parts = [el("ul", *cards[:UNFOLDED], cls=kind)]
    if len(cards) > UNFOLDED:
        fold = el("summary", f"{len(cards) - UNFOLDED} more")
        parts.append(el("details", fold, el("ul", *cards[UNFOLDED:], cls=kind), cls="more"))
    return parts


def item_card(run: Run, looks: Looks, row: int, alt: str, facts: list[FT], about: str) -> FT:
    """A card of a training item: what it looks like, what is said of it, and its key."""
    key = run.train["item"].iloc[row]
    said = el(
        "div",
        *facts,
        el("div", about, cls="about"),
        el("p", key, cls="key", title=key),
        cls="facts",
    )
    return el("li", look(looks, int(run.train_rows[row]), alt), said, cls="item")


def suspicious_item(run: Run, looks: Looks, row: int) -> FT:
    """A card: the item, its given label against the suggested one, and the suspicion."""
    record = run.train.iloc[row]
    given, suggested = record["given"], record.get("suggested")
    facts = [_fact(run, "given", given, row, "of-given", "given")]
    if isinstance(suggested, str) and suggested:
        facts.append(_fact(run, "suggested", suggested, row, "of-soft", "soft"))
    truth = record.get("truth")
    about = f"suspicion {almost(run.suspicion[row])}"
    if isinstance(truth, str):
        about += " · truth: " + run.title(truth)
    alt = f"{record['item']}: given {run.title(given)}, suggested {run.title(suggested)}"
    return item_card(run, looks, row, alt, facts, about)


def _probability(run: Run, row: int, name: str) -> float | None:
    probabilities = run.get("probabilities")
    if probabilities is None or name not in run.vocab:
        return None
    return float(probabilities[row, run.vocab.index(name)])


def _fact(run: Run, word: str, name: str, row: int, bar_kind: str, kind: str) -> FT:
    shown, share = run.title(name), _probability(run, row, name)
    parts = [el("span", word, cls="unseen"), el("span", shown, cls=f"name {kind}", title=name)]
    if share is not None:
        parts += [el("span", almost(share)), bar(share, bar_kind)]
    return el("div", *parts, cls="fact")


def soft_example(run: Run, looks: Looks, row: int, classes: int = 4) -> FT:
    """A card: the soft label of one item beside the out-of-fold prediction and the given label."""
    record = run.train.iloc[row]
    target = np.asarray(run.targets[row], dtype=np.float64)
    shown = target.copy()
    p = None
    probabilities = run.get("probabilities")
    if probabilities is not None:
        p = np.asarray(probabilities[row], dtype=np.float64)
        shown = np.maximum(target, p)
    given = int(run.codes("given")[row])
    shown[given] = 2
    rows = []
    for k in np.argsort(-shown, kind="stable")[:classes]:
        name = run.vocab[k]
        cells = [
            el("th", run.title(name), cls="given" if k == given else None, scope="row", title=name)
        ]
        if p is not None:
            cells.append(el("td", almost(p[k]), bar(p[k])))
        cells.append(el("td", percent(target[k], 0), bar(target[k], "of-soft")))
        rows.append(el("tr", *cells))
    head = ["class", *(["predicted"] if p is not None else []), "soft label"]
    body = el(
        "div",
        el(
            "table",
            el("thead", el("tr", *[el("th", h, scope="col") for h in head])),
            el("tbody", *rows),
        ),
        el("p", record["item"], cls="key"),
        cls="facts",
    )
    alt = f"{record['item']}: given {run.title(record['given'])}"
    plain = looks.kind != "image"
    return el(
        "li",
        look(looks, int(run.train_rows[row]), alt),
        body,
        cls="item example words plain" if plain else "item example",
    )
