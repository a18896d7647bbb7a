"""Votes as people keep them, wide or long, and as the model reads them: one row a vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import as_frame, sort_names
from softfold.data.finding import LABEL_NAMES, PATH_NAMES, usual_column
from softfold.data.frames import read_frame
from softfold.data.places import place_of, renumbered
from softfold.errors import InputError, count_of

ITEM_NAMES = ("item", "item_id", "task", "id", *PATH_NAMES)
ANNOTATOR_NAMES = ("annotator", "annotator_id", "worker", "worker_id", "rater", "labeler", "person")


@dataclass(frozen=True)
class Votes:
    """V votes of W annotators about N items, sorted by item and then by annotator.

    Attributes:
        item: (N,) unique keys, str objects.
        annotators: the W names.
        vocab: the K class names.
        row: (V,) int64, the item of each vote, a position in `item`.
        annotator: (V,) int64, who gave it, a position in `annotators`.
        label: (V,) int64, what was said, a position in `vocab`.
    """

    item: np.ndarray
    annotators: tuple[str, ...]
    vocab: tuple[str, ...]
    row: np.ndarray
    annotator: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def n_votes(self) -> np.ndarray:
        """(N,) int64, how many votes each item has."""
        return np.bincount(self.row, minlength=len(self.item))

    @property
    def wide(self) -> np.ndarray:
        """(N, W) int64, -1 where an annotator gave no vote."""
        table = np.full((len(self.item), len(self.annotators)), -1, np.int64)
        table[self.row, self.annotator] = self.label
        return table

    def of(self, item: Sequence[str] | np.ndarray) -> Votes:
        """The votes about these items only, which keep their order here."""
        keep = pd.Index(self.item).isin(np.asarray(item, dtype=object))
        place = np.cumsum(keep) - 1
        about = keep[self.row]
        return Votes(
            self.item[keep],
            self.annotators,
            self.vocab,
            place[self.row[about]],
            self.annotator[about],
            self.label[about],
        )

    def with_vocab(self, vocab: Sequence[str]) -> Votes:
        """The same votes with their classes in another order, or among more classes."""
        names = tuple(str(name) for name in vocab)
        place = pd.Index(names).get_indexer(pd.Index(self.vocab))
        lost = place[self.label] < 0
        if lost.any():
            raise InputError(
                f"votes: {int(lost.sum()):,} of {count_of(len(self), 'vote')} name no class of the "
                f"vocabulary; the first is {self.vocab[self.label[np.argmax(lost)]]!r} for item "
                f"{self.item[self.row[np.argmax(lost)]]!r}: add it to vocab, or drop these votes"
            )
        return Votes(self.item, self.annotators, names, self.row, self.annotator, place[self.label])


def read_votes(
    votes: Any,
    *,
    item: str | None = None,
    annotator: str | None = None,
    label: str | None = None,
    vocab: Sequence[str] | None = None,
) -> Votes:
    """Read votes from an array, a data frame, or a CSV or Parquet file, wide or long.

    Wide is one row an item and one column an annotator; long is one row a vote. A table is long
    where it has an annotator column, named here or by a usual name (annotator, worker, rater).

    Args:
        votes: int (N, W), -1 where an annotator gave none; or names (N, W) with None; or a data
            frame or file. Empty cells of a table, and -1 among whole numbers, are no vote.
        item: column of item keys; by default one with a usual name (item, id, path, ...). A wide
            table without one takes its index.
        annotator: column that says who gave the vote (long form).
        label: column of the label (long form).
        vocab: the K class names in order; by default the names that occur, sorted. Numbers in an
            array are positions in it.

    Raises:
        InputError: one line with what is wrong, how often, the first offender and what to do.
    """
    if isinstance(votes, Votes):
        return votes if vocab is None else votes.with_vocab(vocab)
    votes = as_frame(votes)
    if not isinstance(votes, (str, Path, pd.DataFrame)):
        return _from_array(np.asarray(votes), vocab)
    frame, name, _ = read_frame(votes)
    annotator = annotator or usual_column(frame, ANNOTATOR_NAMES)
    item = _column(frame, item, ITEM_NAMES, name)
    if annotator is None:
        return _from_wide(frame, item, name, vocab)
    if annotator not in frame:
        raise InputError(
            f"{name}: no column {annotator!r} of annotators; columns are "
            f"{', '.join(map(str, frame.columns))}"
        )
    label = _column(frame, label, LABEL_NAMES, name)
    if item is None or label is None:
        lacking, wanted = ("items", ITEM_NAMES) if item is None else ("labels", LABEL_NAMES)
        raise InputError(
            f"{name}: no column of {lacking}; name it, or call it {', '.join(wanted[:3])}"
        )
    return _from_long(frame, item, annotator, label, name, vocab)


def one_row_an_item(
    source: str | Path | pd.DataFrame,
    *,
    annotator: str,
    item: str | None = None,
    label: str | None = None,
) -> tuple[pd.DataFrame, Votes]:
    """A long table as a label table, one row an item, and its votes.

    The frame keeps the columns and the order of the items; its label is the one most votes say
    (the first of equals in the vocabulary), `votes` is their count, and `checked` says whether the
    label was checked. A row without an annotator
    is a checked label: it is the item's label, and no vote. Other columns must say the same in
    every row of an item.

    Returns:
        The frame, and the votes of the items that have any.

    Raises:
        InputError: a column that is not there, an item whose rows contradict each other.
    """
    frame, name, _ = read_frame(source)
    for column in (annotator, item, label):
        if column is not None and column not in frame:
            raise InputError(
                f"{name}: no column {column!r}; columns are {', '.join(map(str, frame.columns))}"
            )
    item = item or usual_column(frame, ITEM_NAMES)
    label = label or usual_column(frame, LABEL_NAMES)
    if item is None or label is None:
        raise InputError(
            f"{name}: name the columns of items and of labels "
            "(item and label; on the command line --path and --label)"
        )
    frame = renumbered(frame)
    rest = [c for c in frame.columns if c not in (annotator, label)]
    items = renumbered(frame[rest].drop_duplicates(subset=[item]))
    if len(frame[rest].drop_duplicates()) > len(items):
        twice = frame[rest].drop_duplicates()
        first = twice.loc[twice[item].duplicated(), item]
        raise InputError(
            f"{name}: {count_of(first.nunique(), 'item')} have rows that differ in more than "
            f"annotator and label; the first is {first.iloc[0]!r}: a property of an item must be "
            "the same in all its rows"
        )
    asked = frame[_said(frame[annotator])]
    votes = _from_long(asked, item, annotator, label, name, None)
    best = votes.item[:0], votes.label[:0]
    if len(votes):
        best = votes.item, majority(votes)
    names = np.array(votes.vocab, dtype=object)
    chosen = pd.Series(names[best[1]] if len(votes) else [], index=best[0], dtype=object)
    chosen[best[1] < 0] = None  # somebody was asked and said nothing
    checked = frame[~_said(frame[annotator]) & _said(frame[label])]
    checked = pd.Series(
        _text(checked[label]), index=_text(checked[item]), dtype=object, name="checked"
    )
    if checked.index.has_duplicates:
        raise InputError(
            f"{name}: an item may have one checked label (a row without annotator); "
            f"{checked.index[checked.index.duplicated()][0]!r} has several"
        )
    keys = pd.Index(_text(items[item]))
    items[label] = (
        checked.reindex(keys).where(checked.reindex(keys).notna(), chosen.reindex(keys)).to_numpy()
    )
    counts = pd.Series(votes.n_votes, index=votes.item)
    items["checked"] = checked.reindex(keys).notna().to_numpy()
    items["votes"] = counts.reindex(keys).fillna(0).astype(int).to_numpy()
    return items, votes


def majority(votes: Votes) -> np.ndarray:
    """(N,) int64, the label most votes say, the first of equals; -1 for an item without votes."""
    n_classes = len(votes.vocab)
    cells, counts = np.unique(votes.row * n_classes + votes.label, return_counts=True)
    row, label = np.divmod(cells, n_classes)
    order = np.lexsort((-label, counts, row))
    best = np.full(len(votes.item), -1, np.int64)
    best[row[order]] = label[order]
    return best


def _column(frame: pd.DataFrame, given: str | None, names: Sequence[str], of: str) -> str | None:
    if given is not None and given not in frame:
        raise InputError(
            f"{of}: no column {given!r}; columns are {', '.join(map(str, frame.columns))}"
        )
    return given or usual_column(frame, names)


def _said(column: pd.Series) -> np.ndarray:
    """(n,) bool, where a cell holds something."""
    said = column.notna().to_numpy()
    if not pd.api.types.is_numeric_dtype(column):
        said = said & (column.astype(str).str.strip() != "").to_numpy()
    return said


def _text(column: pd.Series) -> np.ndarray:
    """Cells as text; 3.0 is "3", which an empty cell elsewhere in the column would make of 3."""
    if pd.api.types.is_float_dtype(column):
        values = column.to_numpy()
        if np.array_equal(values, np.round(values)):
            return values.astype(np.int64).astype(str).astype(object)
    return column.astype(str).to_numpy(dtype=object)


def _from_array(table: np.ndarray, vocab: Sequence[str] | None) -> Votes:
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(f"votes: expected (items, annotators), got shape {table.shape}")
    if table.dtype.kind in "iu":
        n_classes = int(table.max()) + 1 if vocab is None else len(vocab)
        wrong = (table < -1) | (table >= n_classes)
        if wrong.any():
            row, who = np.argwhere(wrong)[0]
            raise InputError(
                f"votes: {int(wrong.sum()):,} are outside 0..{n_classes - 1} (-1 is no vote); the "
                f"first is {table[row, who]} of annotator {who} at row {row}"
            )
        names = tuple(str(name) for name in (vocab or range(n_classes)))
        row, who = np.nonzero(table >= 0)
        label = table[row, who].astype(np.int64)
    elif table.dtype.kind in "OUS":
        frame = pd.DataFrame(table, columns=[str(w) for w in range(table.shape[1])], dtype=object)
        return _from_wide(frame, None, "votes", vocab)
    else:
        raise InputError(f"votes: expected whole numbers or names, got dtype {table.dtype}")
    items = np.array([str(i) for i in range(len(table))], dtype=object)
    return _checked(items, [str(w) for w in range(table.shape[1])], names, row, who, label, "votes")


def _from_wide(
    frame: pd.DataFrame, item: str | None, name: str, vocab: Sequence[str] | None
) -> Votes:
    columns = [c for c in frame.columns if c != item]
    if not columns or frame.empty:
        raise InputError(f"{name}: no column of votes; a wide table has one column an annotator")
    items = _text(frame[item]) if item is not None else frame.index.astype(str).to_numpy(object)
    index = pd.Index(items)
    if index.has_duplicates:
        raise InputError(
            f"{name}: item keys must be unique in a wide table; {items[index.duplicated()][0]!r} "
            "is repeated (in a long table, name the annotator column)"
        )
    rows, who, said = [], [], []
    for place, column in enumerate(columns):
        cells = frame[column]
        given = _said(cells)
        if pd.api.types.is_numeric_dtype(cells):
            given = given & (cells != -1).fillna(False).to_numpy(bool)
        rows.append(np.flatnonzero(given))
        who.append(np.full(len(rows[-1]), place))
        said.append(_text(cells[given]))
    row = np.concatenate(rows)
    names, label = _coded(np.concatenate(said), vocab, lambda at: f"item {items[row[at]]!r}", name)
    annotators = [str(c) for c in columns]
    return _checked(items, annotators, names, row, np.concatenate(who), label, name)


def _from_long(
    frame: pd.DataFrame,
    item: str,
    annotator: str,
    label: str,
    name: str,
    vocab: Sequence[str] | None,
) -> Votes:
    for column, what in ((item, "item"), (annotator, "annotator")):
        lacking = ~_said(frame[column])
        if lacking.any():
            raise InputError(
                f"{name}: {int(lacking.sum()):,} of {count_of(len(frame), 'row')} have no {what} "
                f"in column {column!r}; the first is {place_of(frame, int(np.argmax(lacking)))}"
            )
    row, items = pd.factorize(_text(frame[item]))
    who, people = pd.factorize(_text(frame[annotator]), sort=True)
    given = _said(frame[label])
    if pd.api.types.is_numeric_dtype(frame[label]):
        given = given & (frame[label] != -1).fillna(False).to_numpy(bool)
    said = _text(frame[label][given])
    row, who = row[given].astype(np.int64), who[given].astype(np.int64)
    names, codes = _coded(said, vocab, lambda at: f"item {items[row[at]]!r}", name)
    return _checked(np.asarray(items, object), list(people), names, row, who, codes, name)


def _coded(said: np.ndarray, vocab: Sequence[str] | None, where: Any, name: str):
    """Class names, and the votes as positions in them."""
    codes, seen = pd.factorize(said)
    names = sort_names(seen) if vocab is None else tuple(str(n) for n in vocab)
    place = pd.Index(names).get_indexer(pd.Index(seen)).astype(np.int64)
    label = place[codes] if len(codes) else np.zeros(0, np.int64)
    if (label < 0).any():
        first = int(np.argmax(label < 0))
        raise InputError(
            f"{name}: {int((label < 0).sum()):,} of {count_of(len(said), 'vote')} name no class "
            f"of the vocabulary; the first is {said[first]!r} for {where(first)}: add it to vocab, "
            "or drop these votes"
        )
    return names, label


def _checked(items, people, names, row, who, label, name) -> Votes:
    """Votes in order; what one annotator said twice about an item counts once."""
    order = np.lexsort((who, row))
    row, who, label = row[order], who[order], label[order]
    same, torn = np.zeros(len(row), bool), np.zeros(len(row), bool)
    same[1:] = (row[1:] == row[:-1]) & (who[1:] == who[:-1])
    torn[1:] = same[1:] & (label[1:] != label[:-1])
    if torn.any():
        at = int(np.argmax(torn))
        raise InputError(
            f"{name}: {count_of(int(torn.sum()), 'vote')} contradict another by the same "
            f"annotator about the same item; the first is {people[who[at]]!r} about "
            f"{items[row[at]]!r}: {names[label[at - 1]]!r} and {names[label[at]]!r}. Keep one"
        )
    keep = ~same
    return Votes(np.asarray(items, object), tuple(people), names, row[keep], who[keep], label[keep])
