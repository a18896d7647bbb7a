"""Tables and heat maps as HTML for notebooks, and what a terminal may be shown.

Every text that comes with the data is escaped and stands in an element of its own, so that neither
markup nor the direction of its letters reaches what is around it. Colours are laid over whatever
ground the notebook has, light or dark; text keeps the notebook's own colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

MOST_CLASSES = 24
"""A heat map of more classes is not readable."""

MOST_ROWS = 20
"""Rows that a table in a notebook shows."""

_GIVEN, _SOFT, _LINE = "200,100,0", "40,120,210", "128,128,128"


class Html(str):
    """Markup that was made here: it is not escaped again."""


def text(value: Any) -> Html:
    """A value as text in an element of its own.

    >>> text("<b>")
    '<bdi>&lt;b&gt;</bdi>'
    """
    if isinstance(value, Html):
        return value
    return Html(f"<bdi>{escape(str(value))}</bdi>")


def marked(value: Any, kind: str, title: str = "") -> Html:
    """A class, underlined by what it is: "given" in amber, "soft" in blue."""
    line = f"border-bottom:2px solid rgb({_GIVEN if kind == 'given' else _SOFT})"
    return Html(f'<span style="{line}" title="{escape(title)}">{text(value)}</span>')


def table(caption: Any, head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Html:
    """A table; numbers stand to the right. A caption above says what it is."""
    cells = [_row("th", head), *(_row("td", row) for row in rows)]
    style = "border-collapse:collapse;font-size:90%"
    return Html(f'<div>{text(caption)}</div><table style="{style}">{"".join(cells)}</table>')


def _row(tag: str, values: Sequence[Any]) -> str:
    def cell(value: Any) -> str:
        side = "right" if isinstance(value, int | float | np.number) else "left"
        shown = f"{value:,}" if isinstance(value, int | np.integer) else value
        style = f"text-align:{side};padding:2px 10px 2px 0;vertical-align:top"
        return f'<{tag} style="{style}">{text(shown)}</{tag}>'

    return f"<tr>{''.join(map(cell, values))}</tr>"


def heat_map(matrix: np.ndarray, names: Sequence[str]) -> Html:
    """A transition matrix (K, K) in percent of its rows: what is right in blue, mistakes in amber.

    Rows are the truth, columns the given label. Of more than `MOST_CLASSES` classes a table of the
    largest mistakes instead.
    """
    k = len(matrix)
    if k > MOST_CLASSES:
        wrong = matrix - np.diag(np.diag(matrix))
        most = np.argsort(-wrong, axis=None, kind="stable")[:MOST_ROWS]
        pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(most, wrong.shape))]
        rows = [
            [marked(names[i], "soft"), marked(names[j], "given"), almost(wrong[i, j])]
            for i, j in pairs
            if wrong[i, j] > 0
        ]
        return table(f"largest mistakes of {k:,} classes", ["is", "but given as", "of these"], rows)
    style = "padding:3px 6px;text-align:right;font-weight:normal"
    head = "".join(f'<th style="{style}">{text(name)}</th>' for name in names)
    lines = [f'<tr><th style="{style}">is \\ given as</th>{head}</tr>']
    for i in range(k):
        cells = []
        for j, share in enumerate(matrix[i]):
            colour = f"rgba({_SOFT if i == j else _GIVEN},{0.7 * float(share) ** 0.5:.3f})"
            shown = f"{100 * share:.0f}" if share >= 0.005 else ""
            cells.append(f'<td style="{style};background:{colour}">{shown}</td>')
        lines.append(f'<tr><th style="{style}">{text(names[i])}</th>{"".join(cells)}</tr>')
    return Html(
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:90%">'
        f"{''.join(lines)}</table></div>"
    )


def most_likely(row: np.ndarray, names: Sequence[str], top: int = 3) -> str:
    """The likeliest classes of a distribution (K,) in words.

    >>> most_likely(np.array([0.1, 0.9]), ["cat", "dog"])
    'dog: 90%, cat: 10%'
    """
    best = np.argsort(-row, kind="stable")[:top]
    return ", ".join(f"{names[k]}: {almost(row[k])}" for k in best if row[k] >= 0.005)


def almost(fraction: float) -> str:
    """A probability in whole percent that is never rounded to certainty.

    >>> almost(0.9996), almost(0.42), almost(0.0002)
    ('>99%', '42%', '<1%')
    """
    shown = f"{100 * fraction:.0f}%"
    return {"100%": ">99%", "0%": "<1%"}.get(shown, shown)


def printable(line: str) -> str:
    """The line without control characters, which labels and file names may hold.

    >>> printable("a\\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(c if c.isprintable() else "?" for c in line)


def picture(uri: str, alt: str, size: int) -> Html:
    """A picture that lies in the page itself (a data URI), at most `size` pixels a side."""
    style = f"max-width:{size}px;max-height:{size}px;display:block;margin-bottom:4px"
    return Html(f'<img src="{escape(uri)}" alt="{escape(alt)}" style="{style}">')


def cards(parts: Iterable[Html], width: int) -> Html:
    """Pieces side by side, as many a line as there is room for."""
    style = (
        f"width:{width}px;padding:6px;border:1px solid rgba({_LINE},.4);border-radius:6px;"
        "font-size:90%;overflow-wrap:anywhere"
    )
    made = "".join(f'<div style="{style}">{part}</div>' for part in parts)
    return Html(f'<div style="display:flex;flex-wrap:wrap;gap:8px">{made}</div>')
