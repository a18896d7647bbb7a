"""Label tables: items with their given labels, and where known their split, group and truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pandas as pd

from softfold import markup
from softfold.align import match_rows
from softfold.data.leaving_out import LeftOut
from softfold.errors import InputError, count_of
from softfold.pixels.images import Images


class ForeignItems:
    """N items that only a framework can read, such as those of a torch Dataset.

    What holds them derives from this class and says how a part is taken.

    digests: int64 (N, D); rows are equal where the items are.
    """

    digests: np.ndarray

    def __len__(self) -> int:
        return len(self.digests)

    def take(self, rows: np.ndarray) -> ForeignItems:
        """The items of the rows given as integers or as a mask."""
        raise NotImplementedError


Data: TypeAlias = Images | ForeignItems | pd.DataFrame | np.ndarray


@dataclass(frozen=True)
class LabelTable:
    """N items with their given labels, in a fixed order.

    Attributes:
        item: (N,) unique keys, str objects.
        given: (N,) int64 given labels, 0 to K-1, positions in `vocab`.
        vocab: the K class names.
        valid: (N,) bool, True for hold-out items.
        truth: (N,) int64 right labels where known (-1 where not), or None. Never trained on.
        group: (N,) str objects; items of one group share a fold. None where there are no groups.
        data: what the items are, row i belonging to item i: Images, a DataFrame of columns
            (tabular data, or one column of text), a feature matrix (N, D), ForeignItems, or None.
        name: where the table came from, for messages.
        left_out: what was left out because it cannot be used; none of the N items.
        names: names of classes for people, by class; only shown, see `softfold.data.naming`.
    """

    item: np.ndarray
    given: np.ndarray
    vocab: tuple[str, ...]
    valid: np.ndarray
    truth: np.ndarray | None = None
    group: np.ndarray | None = None
    data: Data | None = None
    name: str = "labels"
    left_out: tuple[LeftOut, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    multi_label: ClassVar[bool] = False
    """Whether an item may have several labels: a `softfold.multilabel.MultiLabelTable`."""

    def __post_init__(self) -> None:
        n = len(self.item)
        for column in ("given", "valid", "truth", "group", "data"):
            value = getattr(self, column)
            if value is not None and len(value) != n:
                raise InputError(f"{self.name}: {column} has {len(value):,} rows, item has {n:,}")
        if pd.Index(self.item).has_duplicates:
            first = pd.Index(self.item)[pd.Index(self.item).duplicated()][0]
            raise InputError(f"{self.name}: item keys must be unique; {first!r} is repeated")

    def __len__(self) -> int:
        return len(self.item)

    def __repr__(self) -> str:
        return f"LabelTable({self._about})"

    @property
    def _about(self) -> str:
        held = int(self.valid.sum())
        kind = {"image": "images", "text": "texts", "table": "rows"}.get(self.kind, "labels alone")
        left = f", {len(self.left_out):,} left out" if self.left_out else ""
        return (
            f"{self.name!r}: {len(self) - held:,} training items, {held:,} in the hold-out, "
            f"{count_of(self.n_classes, 'class', 'classes')}, {kind}{left}"
        )

    def _repr_html_(self) -> str:
        """A row a class, the one with most training items first."""
        given, truth = self.given[~self.valid], self.truth
        counts = np.bincount(given, minlength=self.n_classes)
        head = ["class", "training items", "share"]
        if truth is not None:
            right = np.bincount(given[given == truth[~self.valid]], minlength=self.n_classes)
            known = np.bincount(given[truth[~self.valid] >= 0], minlength=self.n_classes)
            head.append("wrong, by the truth")
        rows: list[list[Any]] = []
        for k in np.argsort(-counts, kind="stable")[: markup.MOST_ROWS]:
            label = self.vocab[k]
            title = self.names.get(label)
            rows.append([label if title is None else f"{title} ({label})", int(counts[k])])
            rows[-1].append(f"{counts[k] / max(1, len(given)):.1%}")
            if truth is not None:
                rows[-1].append(f"{1 - right[k] / known[k]:.1%}" if known[k] else "")
        if len(rows) < self.n_classes:
            rows.append([f"and {self.n_classes - len(rows):,} more"])
        return markup.table(self._about, head, rows)

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.vocab)

    @property
    def kind(self) -> str:
        """What the items are: "image", "text", "table", "dataset"; "labels" without data."""
        if isinstance(self.data, Images):
            return "image"
        if isinstance(self.data, ForeignItems):
            return "dataset"
        if self.data is None:
            return "labels"
        return "text" if text_column(self.data) is not None else "table"

    @property
    def root(self) -> str | None:
        """The folder that the keys start from, where items are files named by their keys."""
        return self.data.root(self.item) if isinstance(self.data, Images) else None

    @property
    def frame(self) -> pd.DataFrame:
        """The items as a data frame, of texts and tables that are one."""
        assert isinstance(self.data, pd.DataFrame)
        return self.data

    def take(self, rows: np.ndarray) -> LabelTable:
        """The part of the table with the rows given as integers or as a mask."""
        rows = np.asarray(rows)
        data = self.data
        if isinstance(data, Images | ForeignItems):
            data = data.take(rows)
        elif isinstance(data, pd.DataFrame):
            data = data.iloc[rows] if rows.dtype != bool else data.loc[rows]
        elif data is not None:
            data = data[rows]
        return replace(
            self,
            item=self.item[rows],
            given=self.given[rows],
            valid=self.valid[rows],
            truth=None if self.truth is None else self.truth[rows],
            group=None if self.group is None else self.group[rows],
            data=data,
        )

    @property
    def class_counts(self) -> np.ndarray:
        """(K,) int64: how many training items were given each class."""
        return np.bincount(self.given[~self.valid], minlength=self.n_classes)

    def written(self, column: Literal["given", "truth"]) -> np.ndarray:
        """(N,) objects, the given labels or the truth as a table has them; None: not known."""
        names, codes = np.asarray([*self.vocab, None], dtype=object), getattr(self, column)
        return names[np.maximum(codes, -1)]

    @property
    def strata(self) -> np.ndarray:
        """(N,) int64, what folds and a hold-out are to have equal shares of: the given labels."""
        return self.given

    @property
    def train(self) -> LabelTable:
        """The items to learn from."""
        return self.take(np.flatnonzero(~self.valid))

    @property
    def holdout(self) -> LabelTable:
        """The items that no cross-fit and no soft label touches."""
        return self.take(np.flatnonzero(self.valid))

    @property
    def fingerprint(self) -> str:
        """A hash of keys, class names and the items themselves, but of no labels.

        Image files count by path, size and time of change, everything else by content.
        """
        digest = hashlib.sha256(json.dumps([list(self.vocab), *map(str, self.item)]).encode())
        if isinstance(self.data, Images):
            for i in range(len(self.data)):
                digest.update(self.data.mark(i))
        elif isinstance(self.data, pd.DataFrame):
            columns = {c: self.data[c] for c in self.data}
            text = pd.DataFrame(
                {c: text_of(v) if v.dtype == object else v for c, v in columns.items()}
            )
            digest.update(json.dumps([str(c) for c in text]).encode())
            digest.update(pd.util.hash_pandas_object(text, index=False).to_numpy())
        elif self.data is not None:
            data = self.data.digests if isinstance(self.data, ForeignItems) else self.data
            digest.update(np.ascontiguousarray(data).data)
        return digest.hexdigest()

    def rows_of(self, item: Iterable[str]) -> np.ndarray:
        """(n,) int64 rows of the given keys; an unknown key is an error that names it."""
        return match_rows(self.item, list(item), "not in the table", before=f"{self.name}: ")


def check_table(value: Any) -> None:
    """Raises InputError where something else is given as a label table, with what makes one."""
    if not isinstance(value, LabelTable):
        given = repr(value) if isinstance(value, str | Path) else f"a {type(value).__name__}"
        raise InputError(
            f"table is {given}, no label table: softfold.read_table makes one of a file, a folder "
            "or a data frame"
        )


def empty_texts(data: Any) -> np.ndarray:
    """Rows (n,) int64 of texts that are missing or nothing but blanks; none where data is no text.

    >>> empty_texts(pd.DataFrame({"text": ["a word", "two words", " ", None]}))
    array([2, 3])
    """
    if text_column(data) is None:
        return np.zeros(0, np.int64)
    column = data.iloc[:, 0]
    blank = column.isna() | (text_of(column).str.strip() == "")
    return np.flatnonzero(blank.to_numpy(bool))


def text_of(column: pd.Series) -> pd.Series:
    """A column's values as text; bytes that are no UTF-8 as Python writes them."""
    try:
        return column.astype(str)
    except UnicodeDecodeError:
        return column.map(str)


def text_column(data: Any) -> str | None:
    """The name of the only column where that column is running text, else None."""
    if not isinstance(data, pd.DataFrame) or data.shape[1] != 1:
        return None
    return str(data.columns[0]) if _is_running_text(data.iloc[:, 0]) else None


def text_columns(data: pd.DataFrame) -> list[str]:
    """Names of the columns of running text; beside others only those that seldom repeat.

    >>> frame = pd.DataFrame({"text": ["a word", "two words"], "n": [1, 2], "kind": ["x y"] * 2})
    >>> text_columns(frame)
    ['text']
    """
    if data.shape[1] == 1:
        return [column for column in [text_column(data)] if column is not None]
    running = [c for c in data.columns if _is_running_text(data[c])]
    return [c for c in running if 2 * data[c].nunique() > data[c].notna().sum()]


def _is_running_text(column: pd.Series) -> bool:
    if not pd.api.types.is_string_dtype(column) and column.dtype != object:
        return False
    sample = text_of(column.dropna().iloc[:200])
    return bool(sample.str.contains(" ").mean() > 0.5)
