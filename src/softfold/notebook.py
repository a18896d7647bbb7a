"""Suspicious labels in a notebook: each item as a person sees it, with what it is given as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from softfold import markup
from softfold.data.table import LabelTable, check_table
from softfold.errors import InputError, check_top, count_of
from softfold.markup import Html, almost
from softfold.runs.looks import Looks, data_uri

_COLUMNS = ("given", "suggested", "suspicion")


def show_issues(
    table: LabelTable, issues: pd.DataFrame, *, top: int = 20, size: int = 128
) -> Gallery:
    """The most suspicious items with their pictures, texts or columns, for a notebook's cell.

    Args:
        table: the label table.
        issues: what `softfold.rank_issues` gave, or any part of it, in any order: the frame's
            order is shown. Items are found by the column `item`, else by `index`, their row in the
            table's training part. Given and suggested are class names or class indices.
        top: how many to show.
        size: pixels of the longer side of a picture.

    Returns:
        An object that a notebook shows as HTML, which needs neither network nor script, and that
        anything else prints as lines of text.

    Raises:
        InputError: no label table; a frame of other columns; an item that is not in the table.
    """
    check_table(table)
    lacking = [c for c in _COLUMNS if c not in issues]
    if lacking or not {"item", "index"} & set(issues.columns):
        raise InputError(
            f"issues: no column {(lacking or ['item'])[0]!r}: give what softfold.rank_issues makes"
        )
    check_top(top)
    if size < 8:
        raise InputError(f"size is {size}; it must be at least 8")
    shown = issues.iloc[:top].reset_index(drop=True)
    if "item" in shown:
        rows = table.rows_of(shown["item"])
    else:
        train = np.flatnonzero(~table.valid)
        index = shown["index"].to_numpy()
        if len(index) and not (index.min() >= 0 and index.max() < len(train)):
            raise InputError(
                f"issues: row {int(index.max())} is none of {table.name}'s "
                f"{count_of(len(train), 'training item')}: they are of another table"
            )
        rows = train[index]
        _check_given(table, shown, rows)
    return Gallery(table, shown, rows, len(issues), size)


def _check_given(table: LabelTable, issues: pd.DataFrame, rows: np.ndarray) -> None:
    """Raises InputError where an issue's row has another given label: rows are of other items."""
    for index, label, row in zip(issues["index"], issues["given"], rows):
        written = _written(table, label)
        if written != table.vocab[table.given[row]]:
            raise InputError(
                f"issues: row {int(index)} is given as {written!r}, and that training item of "
                f"{table.name} as {table.vocab[table.given[row]]!r}: they are of another table or "
                "order; issues of a table have a column 'item', by which they are found"
            )


def _written(table: LabelTable, label: Any) -> str:
    """A class as it is written, of its name or its number."""
    numbered = isinstance(label, int | np.integer)
    return table.vocab[label] if numbered and 0 <= label < table.n_classes else str(label)


@dataclass(frozen=True, repr=False)
class Gallery:
    """Items to look at.

    Attributes:
        table: the label table.
        issues: the items shown, in their order.
        rows: (n,) int64, their rows in the table.
        total: how many there are in all.
        size: pixels of the longer side of a picture.
    """

    table: LabelTable
    issues: pd.DataFrame
    rows: np.ndarray
    total: int
    size: int

    @property
    def _head(self) -> str:
        return f"{len(self.rows):,} of {count_of(self.total, 'suspicious label')}"

    def __repr__(self) -> str:
        lines = [self._head]
        for row, each in zip(self.rows, self.issues.itertuples(index=False)):
            given, suggested = (self._title(label)[0] for label in (each.given, each.suggested))
            share = almost(each.suspicion)
            lines.append(f"{self.table.item[row]}: given {given}, suggested {suggested} ({share})")
        return "\n".join(map(markup.printable, lines))

    def _repr_html_(self) -> str:
        looks = Looks(self.table)
        made = (
            self._card(looks, int(row), each)
            for row, each in zip(self.rows, self.issues.itertuples(index=False))
        )
        wide = self.size + 14 if looks.kind == "image" else 260
        return f"<div>{markup.text(self._head)}</div>{markup.cards(made, wide)}"

    def _card(self, looks: Looks, row: int, issue: Any) -> Html:
        key = str(self.table.item[row])
        parts = [_look(looks, row, self.size, key)]
        for kind, label in (("given", issue.given), ("soft", issue.suggested)):
            title, written = self._title(label)
            arrow = "→ " if kind == "soft" else ""
            parts.append(Html(f"<div>{arrow}{markup.marked(title, kind, written)}</div>"))
        small = "font-size:85%;opacity:.75"
        about = f"{almost(issue.suspicion)} · "
        parts.append(Html(f'<div style="{small}">{markup.text(about)}{markup.text(key)}</div>'))
        return Html("".join(parts))

    def _title(self, label: Any) -> tuple[str, str]:
        """What people read for a class, and the class as it is written."""
        written = _written(self.table, label)
        return self.table.names.get(written, written), written


def _look(looks: Looks, row: int, size: int, alt: str) -> Html:
    webp = looks.picture(row, size)
    if webp is not None:
        return markup.picture(data_uri(webp), alt, size)
    said, columns = looks.text(row), looks.columns(row)
    if said is not None:
        return markup.text(said)
    if columns is not None:
        return Html("<br>".join(f"{markup.text(k)}: {markup.text(v)}" for k, v in columns))
    return markup.text("no picture" if looks.kind == "image" else "")
