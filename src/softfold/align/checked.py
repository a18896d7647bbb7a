"""Items that a person checked, by row or key, and their truth, by number or name of the class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from softfold.align.inputs import Aligned, own_keys
from softfold.align.keys import as_objects, find, match_rows, some
from softfold.errors import InputError, count_of

NO_CLASS = -1
"""The code of an item that belongs to no class."""


def align_checked(checked: Any, both: Aligned, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 (m,) and truth int64 (m,), -1 for none of the classes, of checked items.

    Args:
        checked: (rows, truth). Rows (m,) are integers, in the order of `both`, or item keys where
            the labels have keys. Truth (m,) are integers, the number of a class in the order of
            `both`, or class names where these are known; -1, None, NaN or "" for none of the
            classes.
        both: what `align_predictions` made of the labels.
        labels: what it was given.

    Raises:
        InputError: a row or class that there is not, an item that is there twice.
    """
    if not isinstance(checked, tuple | list) or len(checked) != 2:
        raise InputError(
            f"checked: expected (rows, truth), two arrays, got {type(checked).__name__}"
        )
    try:
        rows, truth = (as_objects(part) for part in checked)
    except (TypeError, ValueError):
        raise InputError("checked: expected rows (m,) and truth (m,)") from None
    if rows.ndim != 1 or rows.shape != truth.shape:
        raise InputError(
            f"checked: expected rows (m,) and truth (m,), got shapes {rows.shape} and {truth.shape}"
        )
    keys = own_keys(labels) if both.item is None else both.item
    found = _rows(rows, len(both.labels), keys)
    values, counts = np.unique(found, return_counts=True)
    if len(values) < len(found):
        first = rows[int(np.argmax(found == values[counts > 1][0]))]
        raise InputError(
            f"checked: row {first!r} is there {counts.max()} times; each checked item counts once"
        )
    return found, _codes(truth, both.probabilities.shape[1], both.columns)


def _rows(rows: np.ndarray, n: int, keys: np.ndarray | None) -> np.ndarray:
    kind = pd.api.types.infer_dtype(rows, skipna=False)
    if kind == "string" and keys is not None:
        return match_rows(
            keys, rows, "not among the labels", of="keys of the labels", before="checked: "
        )
    if kind not in ("integer", "empty"):
        or_keys = "" if keys is None else f" or item keys such as {keys[0]!r}"
        raise InputError(f"checked: rows: expected integers{or_keys}, got {kind}")
    wrong = (rows < 0) | (rows >= n)
    if wrong.any():
        raise InputError(
            f"checked: {int(wrong.sum())} of {count_of(len(rows), 'row')} are outside "
            f"0..{n - 1}; the first is {rows[int(np.argmax(wrong))]}"
        )
    return rows.astype(np.int64)


def _codes(truth: np.ndarray, k: int, names: tuple[str, ...] | None) -> np.ndarray:
    missing = pd.isna(truth)
    none = np.array([gone or each in ("", NO_CLASS) for gone, each in zip(missing, truth)], bool)
    told, codes = truth[~none], np.full(len(truth), NO_CLASS)
    kind = pd.api.types.infer_dtype(told, skipna=False)
    if kind == "string":
        found = find(names or (), told)
    elif kind in ("integer", "floating", "mixed-integer-float", "empty"):  # of floats, where NaN is
        found = np.array([each if 0 <= each < k and each == int(each) else -1 for each in told])
    else:
        found = np.full(len(told), -1)
    if (found < 0).any():
        wanted = f"numbers of columns of the predictions, 0..{k - 1}"
        if names is not None:
            wanted = f"names of classes, or their numbers in this order: {some(names)}"
        raise InputError(
            f"checked: truth: {int((found < 0).sum())} of {len(truth)} are no class; the first is "
            f"{told[int(np.argmax(found < 0))]!r}: expected {wanted}; -1 or None: none of these"
        )
    codes[~none] = found
    return codes
