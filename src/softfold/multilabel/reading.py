"""Reading tables of items with several labels: in one cell, or in a column a class."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from softfold.align import find, sort_names
from softfold.data.columns import missing_names, names_of
from softfold.data.finding import LABEL_NAMES, PATH_NAMES, columns_in_words, find_column
from softfold.data.leaving_out import refusal
from softfold.data.lookalikes import LookAlikes, about_names
from softfold.data.naming import Names, check_names
from softfold.data.places import place_of
from softfold.data.rows import read_rows
from softfold.data.several import SeveralLabels, about_several, split, zero_or_one
from softfold.errors import InputError, count_of
from softfold.multilabel.table import MultiLabelTable

_JOIN = "\x01"
"""Between the labels of a cell while it is read, as no label has it; alone, for none at all."""

_LABELS, _TRUTH = "\x01labels", "\x01truth"
"""Columns that are put together here."""


def read_table(
    labels: str | Path | pd.DataFrame,
    *,
    label: str | Sequence[str] | None = None,
    label_delim: str | None = None,
    images: str | Path | None = None,
    path: str | None = None,
    item: str | None = None,
    valid: str | None = None,
    truth: str | Sequence[str] | None = None,
    group: str | None = None,
    holdout: str | Path | pd.DataFrame | None = None,
    holdout_label: str | Sequence[str] | None = None,
    names: Names | None = None,
    check_files: bool = True,
    keys_are_enough: bool = False,
    on_error: Literal["stop", "skip"] = "stop",
) -> MultiLabelTable:
    """Read a table of items with several labels from a CSV or Parquet file or a DataFrame.

    Args:
        labels: a CSV or Parquet file, or a DataFrame.
        label: the column whose cells hold an item's labels, `sea sky`; or several columns, one a
            class, of 0 and 1 (or true and false). By default `labels` or another usual name; beside
            images, where there is none, every column of nothing but 0 and 1.
        label_delim: what stands between the labels of a cell, such as " " or ";". A table of one
            label column needs it. A cell of lists, as Parquet has them, needs none.
        truth: right labels, known in benchmarks only: a column as that of the labels, or as many
            columns, in the same order. Where a cell is empty the item's truth is not known.
        holdout_label: the column or columns of labels of the hold-out's own table; by default those
            of the first.
        names: a mapping, or a file of two columns.

    The other arguments are those of `softfold.read_table`. An empty cell of given labels means that
    the item has none of the classes; how many there are is said in a warning.

    Raises:
        InputError: one line with what is wrong, how often, the first offender and what to do.
    """
    if isinstance(labels, str | Path) and Path(labels).is_dir():
        raise InputError(
            f"{labels}: a folder has one label an item, by its folders; several labels an item are "
            "read from a CSV or Parquet file"
        )
    columns: dict[str, Any] = {"path": path, "item": item, "valid": valid, "group": group}
    columns["truth"] = None if truth is None else _TRUTH
    if isinstance(names, str | Path) and not Path(names).is_file():
        raise InputError(
            f"--names {names}: no such file; with several labels an item a column cannot name the "
            "classes: give a mapping, or a file of two columns (class, name)"
        )
    reader = _Cells(label, label_delim, truth, holdout_label, {path, item, valid, group})
    raw, name, named = read_rows(
        labels,
        columns,
        images=images,
        label=None,
        holdout=holdout,
        holdout_label=None,
        names=names,
        on_error=on_error,
        check_files=check_files,
        keys_are_enough=keys_are_enough,
        relabelled=reader,
    )
    raw["left_out"] = [each._replace(label=reader.shown(each.label)) for each in raw["left_out"]]
    try:
        table = _assembled(raw, name, reader.vocab)
    except InputError as error:
        broken = raw["left_out"]
        if not broken:
            raise
        n = len(raw["item"]) + len(broken)
        raise InputError(f"{error}; and {refusal(name, broken, n)}") from None
    if named:
        source = f"--names {names}" if isinstance(names, str | Path) else "names"
        object.__setattr__(table, "names", check_names(named, table.vocab, source))
    empty = int((~table.given.any(axis=1)).sum())
    if empty and not reader.one_hot:
        warnings.warn(
            f"{name}: {count_of(empty, 'item has', 'items have')} no label in the cell: they are "
            "taken to have none of the classes",
            stacklevel=2,
        )
    counts = table.given.sum(axis=0)
    for line in about_names(table.vocab, counts):
        warnings.warn(f"{name}: {line}", LookAlikes, stacklevel=2)
    several = None if reader.one_hot else about_several(table.vocab, counts)
    if several is not None:
        warnings.warn(f"{name}: {several}", SeveralLabels, stacklevel=2)
    return table


class _Cells:
    """Puts an item's labels into one cell, whatever columns they came in."""

    taken_before = False
    """Whether the training items' table was read: a hold-out's may have labels for its truth."""

    def __init__(
        self, label: Any, delimiter: str | None, truth: Any, holdout_label: Any, taken: set[Any]
    ) -> None:
        self.label, self.delimiter, self.truth, self.taken = label, delimiter, truth, taken
        self.holdout_label = holdout_label
        self.vocab: tuple[str, ...] | None = None
        if delimiter == "":
            raise InputError("label_delim is empty: want the sign between labels, such as ' '")

    @property
    def one_hot(self) -> bool:
        return self.vocab is not None

    def shown(self, cell: str) -> str:
        """A cell's labels as people read them."""
        return (self.delimiter or ", ").join(_words(cell))

    def __call__(
        self, frame: pd.DataFrame, name: str, label: str | None
    ) -> tuple[pd.DataFrame, str]:
        columns = self._columns(frame, name)
        truth = [] if self.truth is None else _several(self.truth)
        lacking = [c for c in truth if c not in frame.columns]
        if lacking and not self.taken_before:
            raise InputError(f"{name}: no column {lacking[0]!r} (truth); {columns_in_words(frame)}")
        others = [] if self.one_hot else self._other_labels(frame, [*columns, *truth], name)
        made = frame.drop(columns=[*dict.fromkeys([*columns, *truth, *others])], errors="ignore")
        made = made.assign(**{_LABELS: self._cells(frame, columns, name).fillna(_JOIN)})
        if truth and not lacking:
            made[_TRUTH] = self._cells(frame, truth, name, may_lack=True)
        self.taken_before = True
        return made, _LABELS

    def _other_labels(self, frame: pd.DataFrame, known: list[Any], name: str) -> list[Any]:
        """Columns of nothing but the labels' words: labels, which as features would tell."""
        if self.delimiter is None or not known:
            return []
        words = _said(frame[known[0]], self.delimiter)
        found = []
        for column in frame.columns:
            if column in known or column in self.taken or frame[column].dtype.kind in "biufc":
                continue
            said = _said(frame[column], self.delimiter)
            if said <= words and 2 * len(said) > len(words):
                found.append(column)
                warnings.warn(
                    f"{name}: column {str(column)!r} holds the same labels; it is taken for labels "
                    "and left out of the features (truth= or --truth says that they are right)",
                    stacklevel=2,
                )
        return found

    def _columns(self, frame: pd.DataFrame, name: str) -> list[Any]:
        """The label column, or the columns of the classes."""
        asked = self.holdout_label if self.taken_before else None
        option = "label" if asked is None else "holdout_label"
        if asked is None and self.vocab is not None:
            lacking = [c for c in self.vocab if c not in set(map(str, frame.columns))]
            if lacking:
                raise InputError(f"{name}: no column {lacking[0]!r} of a class")
            return [c for c in frame.columns if str(c) in set(self.vocab)]
        asked = self.label if asked is None else asked
        if asked is not None and not isinstance(asked, str):
            asked = _several(asked)
            lacking = [c for c in asked if c not in frame.columns]
            if lacking or len(asked) < 2:
                which = f"no column {lacking[0]!r}" if lacking else "one column of a class alone"
                raise InputError(f"{name}: {which} ({option}); {columns_in_words(frame)}")
            if not self.taken_before:
                self.vocab = tuple(map(str, asked))
            return asked
        column = find_column(frame, name, asked, LABEL_NAMES, option)
        if column is not None:
            return [column]
        images = find_column(frame, name, None, PATH_NAMES, "path") is not None
        found = [c for c in zero_or_one(frame) if c not in {*self.taken, *_usual(frame)}]
        if not images or len(found) < 2:
            raise InputError(
                f"{name}: say which column holds the labels, or which columns are the classes "
                f"(label=[...]); {columns_in_words(frame)}"
            )
        self.vocab = tuple(map(str, found))
        warnings.warn(
            f"{name}: no column of labels, so the {len(found):,} columns of 0 and 1 are taken for "
            f"the classes: {', '.join(self.vocab[:8])}{', ...' if len(found) > 8 else ''} "
            "(label=[...] says which)",
            stacklevel=2,
        )
        return found

    def _cells(
        self, frame: pd.DataFrame, columns: list[Any], name: str, may_lack: bool = False
    ) -> pd.Series:
        """(N,) each item's labels, sorted, with `_JOIN` between them; None where a cell is empty.

        may_lack: whether cells of a class's column may be empty.
        """
        if len(columns) == 1:
            joined = self._joined(frame[columns[0]], name)
        else:
            joined = self._of_classes(frame, columns, name, may_lack)
        return pd.Series(joined, index=frame.index, dtype=object, name=columns[0])

    def _of_classes(
        self, frame: pd.DataFrame, columns: list[Any], name: str, may_lack: bool
    ) -> np.ndarray:
        names = tuple(map(str, columns))
        if self.vocab is not None and not set(names) <= set(self.vocab):
            if len(columns) != len(self.vocab):
                raise InputError(
                    f"{name}: {len(columns)} columns for {len(self.vocab)} classes: want as many"
                )
            names = self.vocab
        lost = np.zeros(len(frame), dtype=bool)
        if may_lack:
            lost = np.any([missing_names(frame[c]) for c in columns], axis=0)
        whole, words = frame[~lost], np.asarray(names, dtype=object)
        out = np.full(len(frame), None, dtype=object)
        has = np.stack([_yes(whole[c], name) for c in columns], axis=1)
        out[~lost] = [_join(words[row]) for row in has]
        return out

    def _joined(self, values: pd.Series, name: str) -> np.ndarray:
        lists = np.array([isinstance(v, list | tuple | set | np.ndarray) for v in values], bool)
        written = ~lists & ~missing_names(values)
        out = np.full(len(values), None, dtype=object)
        cells = values[lists]
        flat = pd.Series(
            [word for cell in cells for word in cell],
            index=cells.index.repeat([len(cell) for cell in cells]),
            dtype=object,
            name=values.name,
        )
        words = names_of(flat, name)
        words[missing_names(words)] = ""
        ends = np.cumsum([len(cell) for cell in cells])[:-1]
        out[lists] = [_join(part) for part in np.split(words, ends)] if len(cells) else []
        texts = names_of(values[written], name)
        if len(texts):
            self._check_written(texts, values, name, beside_lists=bool(len(cells)))
        kinds = {text: _join(self._parts(text)) for text in set(texts)}
        out[written] = [kinds[text] for text in texts]
        return out

    def _parts(self, text: str) -> list[str]:
        return [text.strip()] if self.delimiter is None else split(text, self.delimiter)

    def _check_written(
        self, texts: np.ndarray, values: pd.Series, name: str, beside_lists: bool
    ) -> None:
        """Refuse cells that nothing divides, and lists that were written as text."""
        column = f"column {str(values.name)!r}"
        if all(text.startswith("[") and text.endswith("]") for text in texts):
            raise InputError(
                f"{name}: {column} holds lists written as text, such as {texts[0]!r}: write them "
                "to a Parquet file, or with one sign between the labels, such as 'sea;sky'"
            )
        if self.delimiter is None and not beside_lists:
            raise InputError(
                f"{name}: say what stands between the labels of a cell such as {texts[0]!r} in "
                f"{column} (label_delim=)"
            )


def _join(words: Iterable[str]) -> str:
    return _JOIN.join(sorted({word for word in words if word})) or _JOIN


def _said(column: pd.Series, delimiter: str) -> set[str]:
    """All words in the cells of a column."""
    cells = column[~missing_names(column)].map(str).unique()
    return {word for cell in cells for word in split(cell, delimiter)}


def _several(columns: Any) -> list[Any]:
    return [columns] if isinstance(columns, str) else list(columns)


def _usual(frame: pd.DataFrame) -> set[Any]:
    """Columns of 0 and 1 that mean something else by their names."""
    return {c for c in frame.columns if str(c).lower() in {"is_valid", "valid", "split", "item"}}


def _yes(values: pd.Series, name: str) -> np.ndarray:
    """(N,) bool of a class's column. Raises InputError naming the first that is neither."""
    words = values.map(str).str.strip().str.lower()
    yes = words.isin(["1", "1.0", "true"])
    wrong = ~(yes | words.isin(["0", "0.0", "false"])).to_numpy()
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputError(
            f"{name}: column {str(values.name)!r} of a class holds {str(values.iloc[i])!r} in "
            f"{place_of(values, i)}: want 0 and 1"
        )
    return yes.to_numpy()


def _assembled(raw: dict[str, Any], name: str, vocab: tuple[str, ...] | None) -> MultiLabelTable:
    given = [_words(cell) for cell in raw["given"]]
    valid = raw["valid"] if raw["valid"] is not None else np.zeros(len(given), dtype=bool)
    if raw["valid"] is not None and valid.all():
        raise InputError(f"{name}: all {len(given):,} items are in the hold-out, none to train on")
    if vocab is None:
        seen = {word for cell, held in zip(given, valid) if not held for word in cell}
        vocab = sort_names(seen)
    if len(vocab) < 2:
        raise InputError(
            f"{name}: the training items have {count_of(len(vocab), 'class', 'classes')}; two are "
            "the least (is label_delim what stands between the labels?)"
        )
    matrices = [_matrix(given, vocab, name, "label")]
    if raw["truth"] is not None:
        known = np.array([cell is not None for cell in raw["truth"]], dtype=bool)
        truth = _matrix([_words(cell or "") for cell in raw["truth"]], vocab, name, "truth")
        matrices.append(np.where(known[:, None], truth, np.int8(-1)))
    return MultiLabelTable(
        item=raw["item"],
        given=matrices[0],
        vocab=vocab,
        valid=valid,
        truth=matrices[1] if len(matrices) > 1 else None,
        group=raw["group"],
        data=raw["data"],
        name=name,
        left_out=tuple(raw["left_out"]),
    )


def _words(cell: str) -> list[str]:
    return [word for word in cell.split(_JOIN) if word]


def _matrix(cells: list[list[str]], vocab: tuple[str, ...], name: str, what: str) -> np.ndarray:
    """(N, K) bool. Raises InputError naming the first label that is no class."""
    made = np.zeros((len(cells), len(vocab)), dtype=bool)
    rows = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])
    words = [word for cell in cells for word in cell]
    columns = find(vocab, words)
    if (columns < 0).any():
        first = int(np.argmax(columns < 0))
        raise InputError(
            f"{name}: {count_of(int((columns < 0).sum()), what)} that no training item was given; "
            f"the first is {words[first]!r}"
        )
    made[rows, columns] = True
    return made
