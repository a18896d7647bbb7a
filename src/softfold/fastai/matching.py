"""Which soft label belongs to which item: rows by key, columns by class name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from softfold.errors import InputError, count_of
from softfold.softening import SoftLabels, soften

Key = str | Callable[[Any], Any] | None


def as_soft_labels(soft: SoftLabels | pd.DataFrame) -> SoftLabels:
    """Soft labels as they are; a frame of `y_true_*` and `y_pred_*` columns is blended 0.7."""
    if isinstance(soft, pd.DataFrame):
        return soften(soft, strategy="blend")
    if not hasattr(soft, "item") or not hasattr(soft, "targets"):
        raise InputError(
            f"soft labels are {type(soft).__name__}; want SoftLabels with item keys and class "
            "names, such as softfold.soften(table, oof)"
        )
    return soft


class RowIndex:
    """Finds the row of a key among the keys of the soft labels.

    A key is written exactly alike, or else names the same path: both relative to `root` where
    they lie below it.

    Args:
        keys: unique keys; row i has the i-th.
        root: folder that relative paths start from.

    Raises:
        InputError: a key that is there twice, or two that are the same path.
    """

    def __init__(self, keys: Iterable[Any], root: str | Path = ".") -> None:
        self.root = os.path.abspath(root)
        names = [str(key) for key in keys]
        self.exact = {key: row for row, key in enumerate(names)}
        if len(self.exact) < len(names):
            twice = next(key for row, key in enumerate(names) if self.exact[key] != row)
            raise InputError(f"soft labels: the key {twice!r} is there more than once")

    @cached_property
    def by_path(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        for key, row in self.exact.items():
            if rows.setdefault(relative_path(key, self.root), row) != row:
                raise InputError(
                    f"soft labels: {key!r} and another key are the same path below {self.root}; "
                    "keep one"
                )
        return rows

    def get(self, key: str) -> int | None:
        """The row of one key, None where there is none."""
        row = self.exact.get(key)
        return self.by_path.get(relative_path(key, self.root)) if row is None else row

    def rows(self, keys: Sequence[str]) -> np.ndarray:
        """(n,) int64 rows of training items; one without a row is an error that names it."""
        rows = [self.get(key) for key in keys]
        missing = [key for key, row in zip(keys, rows) if row is None]
        if missing:
            raise InputError(
                f"{count_of(len(missing), 'training item')} of {len(keys):,} without a soft label; "
                f"the first is {missing[0]!r}, soft labels have keys such as "
                f"{next(iter(self.exact), None)!r} (key= says where keys are, root= where paths "
                "start)"
            )
        return np.array(rows, dtype=np.int64)

    def knows(self, keys: Sequence[str]) -> bool:
        """Whether every key has a row."""
        return all(self.get(key) is not None for key in keys)


def relative_path(key: str, root: str) -> str:
    """A path in one spelling: relative to `root` where it lies below it.

    >>> relative_path("/data/woof/train/a.jpg", "/data/woof"), relative_path("./b.jpg", "/data")
    ('train/a.jpg', 'b.jpg')
    """
    path = os.path.normpath(key)
    if os.path.isabs(path) and path.startswith(root + os.sep):
        path = path[len(root) + 1 :]
    return PurePath(path).as_posix()


def match_columns(soft: SoftLabels, vocab: Sequence[Any]) -> np.ndarray | None:
    """(K,) columns of the soft labels in the order of `vocab`; None where it is theirs already.

    Raises:
        InputError: classes differ; the first that is missing is named.
    """
    names, own = [str(name) for name in vocab], [str(name) for name in soft.vocab]
    for where, there, lacking in (
        ("soft labels", own, set(names) - set(own)),
        ("DataLoaders", names, set(own) - set(names)),
    ):
        if lacking:
            raise InputError(
                f"classes differ: the {where} lack {min(lacking)!r} (they have {', '.join(there)})"
            )
    if len(set(names)) < len(names):
        raise InputError(f"the DataLoaders name a class twice: {', '.join(names)}")
    return None if names == own else np.array([own.index(name) for name in names])


def item_keys(dataset: Any, index: RowIndex, key: Key = None) -> list[str]:
    """The keys of a dataset's items, in its order.

    Args:
        dataset: has `items`: paths, strings, tuples that begin with one, or a DataFrame; or
            nothing but a length, where `key` gives the key of each position.
        index: the soft labels' keys, which tell a frame's first column from its row labels.
        key: a column of the frame, "index" for its row labels, or a function of the item.

    Raises:
        InputError: no such column, or both the first column and the row labels would do.
    """
    items = getattr(dataset, "items", None)
    if items is None:
        if not callable(key):
            raise InputError(
                f"{type(dataset).__name__} has no items; give key= a function of the position"
            )
        items = range(len(dataset))
    if isinstance(items, pd.DataFrame):
        if callable(key):
            return [str(key(row)) for _, row in items.iterrows()]
        return _frame_keys(items, index, key, tabular=hasattr(dataset, "cont_names"))
    if isinstance(key, str):
        raise InputError(f"key={key!r} names a column, but the items are no DataFrame")
    if key is not None:
        return [str(key(item)) for item in items]
    return [str(item[0] if isinstance(item, tuple | list) else item) for item in items]


def _frame_keys(frame: pd.DataFrame, index: RowIndex, key: str | None, tabular: bool) -> list[str]:
    """Keys out of a column or the row labels; by itself the one that the soft labels know."""
    labels = [str(label) for label in frame.index]
    if key == "index" and key not in frame.columns:
        return labels
    if key is not None:
        if key not in frame.columns:
            have = ", ".join(map(str, frame.columns[:12]))
            raise InputError(f"key={key!r}: no such column of the items; they have: {have}")
        return [str(value) for value in frame[key]]
    first = [str(value) for value in frame.iloc[:, 0]]
    if tabular:  # the first column is a feature there
        return _unrepeated(labels, "row labels", "index")
    name = str(frame.columns[0])
    column, rows = index.knows(first), index.knows(labels)
    if column and rows and first != labels:
        raise InputError(
            f"soft labels have keys such as {next(iter(index.exact))!r}: both the items' column "
            f"{name!r} and their row labels fit; say which with key={name!r} or key='index'"
        )
    if rows and not column:
        return _unrepeated(labels, "row labels", "index")
    return _unrepeated(first, f"column {name!r}", name)


def _unrepeated(keys: list[str], what: str, key: str) -> list[str]:
    """Keys that nobody named must differ: a column of few values is hardly a column of keys."""
    if len(set(keys)) < len(keys):
        seen: set[str] = set()
        twice = next(k for k in keys if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise InputError(
            f"the items' {what} would be their keys, but {twice!r} is there more than once; name "
            f"the column of keys with key=, such as key={key!r} where rows repeat on purpose"
        )
    return keys
