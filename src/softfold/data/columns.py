"""Columns by meaning: labels, truths and groups as names, and which rows are the hold-out.

A label is text as it was written. In a data frame or a Parquet file, whole numbers are written
without a decimal point (`1`, also where the column is of floats), True and False as words; two
different values never become one name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Set
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.places import place_of
from softfold.errors import InputError, count_of

ITEM = "item"
"""The column that names items, in every file that softfold writes."""

NO_NUMBER = frozenset(
    {"", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "None", "none", "null", "NULL", "<NA>"}
)
"""Words for a missing value, in columns of numbers only: a label or a category may be called so."""

TRAIN_WORDS = frozenset({"train", "training"})
HOLDOUT_WORDS = frozenset({"valid", "validation", "val", "test", "holdout", "hold-out", "dev"})

_FRACTION = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_ID = re.compile(r"(.*[_ -])?(id|uid|uuid|guid|idx|index)", re.IGNORECASE)
_ROWS_OF_ID = 20
_WORD = re.compile(r"[!-~]{1,64}")
_YES = frozenset({"true", "1", "1.0", "yes", "wahr", "vrai", "verdadero"})
_NO = frozenset({"false", "0", "0.0", "no", "falsch", "faux", "falso"})
"""What spreadsheets write for true and false, here and in German, French and Spanish."""


def names_of(values: pd.Series, name: str = "the table") -> np.ndarray:
    """(N,) names as str objects, None where a value is missing.

    Raises:
        InputError: two different values that would be written the same, such as 1 and "1".

    >>> names_of(pd.Series(["01", "1", None], dtype=object)).tolist()
    ['01', '1', None]
    >>> names_of(pd.Series([1.0, np.nan])).tolist()
    ['1', None]
    """
    codes, kinds = _factorized(values)
    texts = [_name(kind) for kind in kinds]
    first: dict[str, Any] = {}
    for text, kind in zip(texts, kinds, strict=True):
        other = first.setdefault(text, kind)
        if other is not kind:
            raise InputError(
                f"{name}: column {values.name!r} holds {other!r} ({type(other).__name__}) and "
                f"{kind!r} ({type(kind).__name__}), which are written the same: make them one "
                "kind of value"
            )
    return np.array([*texts, None], dtype=object)[codes]


def label_names(values: pd.Series, name: str, column: str) -> np.ndarray:
    """(N,) names of labels, none of them missing; numbers with a fraction are refused.

    The index of `values` has the rows' numbers, for messages (`softfold.data.places`).
    """
    if pd.api.types.is_float_dtype(values):
        present = values[values.notna()].astype(float)
        part = ~np.isfinite(present) | (present % 1 != 0)
        if part.any():
            i = int(np.argmax(part))
            raise InputError(
                f"{name}: column {column!r} holds numbers such as {present.iloc[i]} "
                f"({place_of(present, i)}), not class labels"
            )
    out = names_of(values, name)
    _refuse_measurements(values, out, name, column)
    return out


def _refuse_measurements(values: pd.Series, out: np.ndarray, name: str, column: str) -> None:
    """Refuse text labels that are numbers with a fraction, almost every one another."""
    kinds = pd.unique(out)
    if values.dtype != object or len(kinds) <= max(20, len(out) / 2):
        return
    if all(_FRACTION.fullmatch(str(k)) or str(k).isdecimal() for k in kinds):
        row = next((i for i, v in enumerate(out) if float(v) % 1), None)
        if row is not None:
            raise InputError(
                f"{name}: column {column!r} holds numbers such as {out[row]} "
                f"({place_of(values, row)}), not class labels"
            )


def truth_names(values: pd.Series, name: str) -> np.ndarray:
    """(N,) names, None where the truth is not known."""
    out = names_of(values, name)
    out[missing_names(out)] = None
    return out


def missing_names(values: pd.Series | np.ndarray) -> np.ndarray:
    """(N,) bool: where there is no value, or nothing but blanks."""
    blank = np.array([isinstance(v, str) and not v.strip() for v in values], dtype=bool)
    return blank | np.asarray(pd.isna(values), dtype=bool)


def row_keys(
    frame: pd.DataFrame, column: str | None, taken: Set[str | None], prefix: str, name: str
) -> tuple[str | None, np.ndarray]:
    """What the rows of a table without paths are known by: the column, if it is one, and (n,) str.

    Args:
        frame: the table with the index that it came with.
        column: what was asked for; by default `item`, where its values tell rows apart and it is
            not all that there is.
        taken: columns with another meaning.
        prefix: of keys that are numbers or the index.
        name: of the table, for messages.

    Raises:
        InputError: no such column, an empty cell, or a value that is there twice.
    """
    if column is not None and column not in frame.columns:
        have = ", ".join(str(c) for c in list(frame.columns)[:12])
        raise InputError(f"{name}: no column {column!r} (--item); it has: {have}")
    usual = ITEM in frame.columns and ITEM not in taken and bool({*frame.columns} - taken - {ITEM})
    wanted = column or (ITEM if usual else None)
    if wanted is not None:
        missing = missing_names(frame[wanted])
        keys = names_of(frame[wanted], name)
        twice = pd.Index(keys).duplicated() & ~missing
        if not missing.any() and not twice.any():
            return wanted, keys
        bad, what = (missing, "empty") if missing.any() else (twice, "there before")
        row = int(np.argmax(bad))
        if column is not None:
            raise InputError(
                f"{name}: --item {column}: {count_of(int(bad.sum()), 'name')} {what}; the first is "
                f"{keys[row]!r} in {place_of(frame, row)}: each item needs a name of its own"
            )
        warnings.warn(
            f"{name}: the values of column {ITEM!r} do not tell the rows apart ({keys[row]!r} in "
            f"{place_of(frame, row)} is {what}); it names none, and rows are known by number",
            stacklevel=2,
        )
    index = frame.index
    if isinstance(index, pd.MultiIndex) or index.has_duplicates or index.hasnans:
        index = pd.RangeIndex(len(frame))
    return None, np.array([f"{prefix}{key}" for key in index], dtype=object)


def identifiers(features: pd.DataFrame) -> list[Any]:
    """Columns that only name the rows: a short word of its own in each, or a number called id.

    In fewer than 20 rows the values of a category may happen to be different.

    >>> n = range(20)
    >>> frame = pd.DataFrame({"id": n, "code": [f"a-{i}" for i in n], "size": n})
    >>> identifiers(frame)
    ['id', 'code']
    """
    if len(features) < _ROWS_OF_ID:
        return []
    return [column for column in features.columns if _identifies(features[column])]


def _identifies(values: pd.Series) -> bool:
    if values.isna().any():
        return False
    if pd.api.types.is_integer_dtype(values):
        return _ID.fullmatch(str(values.name)) is not None and values.is_unique
    if values.dtype != object and not pd.api.types.is_string_dtype(values):
        return False
    words = values.tolist()
    return all(isinstance(w, str) and _WORD.fullmatch(w) for w in words) and values.is_unique


def holdout_rows(values: pd.Series, name: str) -> np.ndarray:
    """(N,) bool, True for the hold-out, from booleans, 0 and 1, yes and no, or names of splits."""
    codes, kinds = _factorized(values)
    words = np.array([*(str(kind).strip().lower() for kind in kinds), None], dtype=object)[codes]
    yes, no = HOLDOUT_WORDS | _YES, TRAIN_WORDS | _NO
    out = np.zeros(len(words), dtype=bool)
    for i, word in enumerate(words):
        if word in yes:
            out[i] = True
        elif word not in no:
            raise InputError(
                f"{name}: column {values.name!r} has {values.iloc[i]!r} in {place_of(values, i)}, "
                "which names no split: use True and False, 0 and 1, yes and no, or train and valid "
                "(or test)"
            )
    return out


def _factorized(values: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """(N,) positions in the list of different values, -1 where missing; 1 and True are two."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if values.dtype != object or pd.api.types.infer_dtype(values, skipna=True) == "string":
        places, different = pd.factorize(values)
        return places, list(different)
    missing = values.isna().to_numpy()
    found: dict[Any, int] = {}
    kinds: list[Any] = []
    codes = np.full(len(values), -1, dtype=np.int64)
    for i, value in enumerate(values):
        if missing[i]:
            continue
        key = (type(value) in (bool, np.bool_), isinstance(value, bytes), value)
        try:
            codes[i] = found.setdefault(key, len(found))
        except TypeError:
            raise InputError(
                f"column {values.name!r} holds {type(value).__name__} in {place_of(values, i)}, "
                "not names"
            ) from None
        if len(found) > len(kinds):
            kinds.append(value)
    return codes, kinds


def _name(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InputError(f"a name is the bytes {value[:20]!r}, which are no UTF-8") from None
    if isinstance(value, (float, np.floating)) and np.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)
