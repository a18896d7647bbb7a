"""What the keys of a fastai dataset's items are, by which their soft labels are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from softfold.align.keys import RowIndex
from softfold.errors import InputError
from softfold.soft_labels import SoftLabels
from softfold.softening import soften

Key = str | Callable[[Any], Any] | None


def as_soft_labels(soft: SoftLabels | pd.DataFrame) -> SoftLabels:
    """Soft labels as they are; a frame of `y_true_*` and `y_pred_*` columns is blended 0.7."""
    if isinstance(soft, pd.DataFrame):
        return soften(soft, strategy="blend")
    if not isinstance(soft, SoftLabels):
        raise InputError(
            f"soft labels are {type(soft).__name__}; want SoftLabels with item keys and class "
            "names, such as softfold.soften(table, oof)"
        )
    return soft


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
