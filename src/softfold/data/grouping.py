"""Groups of items that must stay together: given ones, copies, and chains of both."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.table import ForeignItems, LabelTable, text_column, text_of
from softfold.errors import MissingDependency
from softfold.pixels.images import Images


def copies_of(table: LabelTable) -> np.ndarray:
    """(N,) int64: the row of the first item that each item is an exact copy of, or its own.

    Images are copies where their pixels are the same, whatever the files (without Pillow, where
    the bytes are); texts where all characters are, but for blanks around them; rows of a table or
    of a feature matrix where all values are. Labels do not count. Items of which only labels are
    known are no copies. Files of images are read once, and what was found stays in the cache.

    >>> data = pd.DataFrame({"x": [1, 2, 1], "y": ["a", "a", "a"]})
    >>> item, given = np.array(["0", "1", "2"], object), np.zeros(3, np.int64)
    >>> copies_of(LabelTable(item, given, vocab=("a",), valid=given > 0, data=data))
    array([0, 1, 0])
    """
    data, n = table.data, len(table)
    if data is None or n == 0:
        return np.arange(n)
    if isinstance(data, Images):
        return _copies_of_images(data)
    if isinstance(data, pd.DataFrame):
        text = text_column(data)
        if text is not None:
            return first_rows(text_of(data.iloc[:, 0]).str.strip())
        return first_rows(_row_digests(data))
    if isinstance(data, ForeignItems):
        data = data.digests
    rows = np.ascontiguousarray(data) + 0  # -0.0 is 0.0
    return first_rows([hashlib.blake2b(row, digest_size=16).digest() for row in rows])


def contents_of(data: Any) -> np.ndarray | None:
    """(N,) str: equal where two items are the same, of whatever table and row; None of files.

    Images that are files, and items of a framework, are known by names of their own.
    """
    if isinstance(data, Images):
        if not len(data) or data.path(0) is not None:
            return None
        marks = [data.mark(i)[:8].hex() for i in range(len(data))]
    elif isinstance(data, pd.DataFrame):
        numeric = [c for c in data.columns if pd.api.types.is_numeric_dtype(data[c])]
        marks = [
            f"{mark:016x}" for mark in _row_digests(data.astype(dict.fromkeys(numeric, float)))
        ]
    else:
        return None
    return np.array(marks, dtype=object)


def first_rows(contents: object) -> np.ndarray:
    """(n,) int64: for each of n contents the row where the same one comes first.

    >>> first_rows(["a", "b", "a"])
    array([0, 1, 0])
    """
    codes, kinds = pd.factorize(np.asarray(contents, dtype=object))
    first = np.full(len(kinds), len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    return first[codes]


def _copies_of_images(images: Images) -> np.ndarray:
    try:
        from softfold.pixels.copies import exact_copies

        return exact_copies(images)
    except MissingDependency:
        return first_rows([hashlib.sha256(images[i]).digest() for i in range(len(images))])


def _row_digests(frame: pd.DataFrame) -> np.ndarray:
    """(N,) uint64 a row: numbers by value, all else by its text."""
    made = {}
    for i, column in enumerate(frame.columns):
        values = frame[column]
        numeric = pd.api.types.is_float_dtype(values) and values.dtype.kind == "f"
        made[i] = values + 0.0 if numeric else values
        if values.dtype == object:
            made[i] = text_of(values)
    return pd.util.hash_pandas_object(pd.DataFrame(made), index=False).to_numpy()


def groups_of_pairs(pairs: np.ndarray, n: int) -> np.ndarray:
    """(n,) int64 groups out of (P, 2) pairs of rows that belong together.

    >>> groups_of_pairs(np.array([[0, 2], [2, 3]]), n=5)
    array([0, 1, 0, 0, 4])
    """
    label = np.arange(n)
    while True:
        # label is that of a root, itself labelled by itself; a root joins the least one beside it
        first, second = label[pairs[:, 0]], label[pairs[:, 1]]
        apart = first != second
        if not apart.any():
            return label
        pairs = pairs[apart]  # of two rounds each halves the roots that are left to join
        np.minimum.at(label, np.maximum(first, second)[apart], np.minimum(first, second)[apart])
        while not np.array_equal(label, label[label]):
            label = label[label]


def merge_groups(*groups: np.ndarray | None, n: int) -> np.ndarray:
    """(n,) int64: items that any of the groupings joins, directly or in a chain, get one number.

    An item whose group is missing (None or NaN) is alone in that grouping.

    >>> merge_groups(np.array(["a", "a", "b", "c"]), np.array([0, 1, 1, 2]), n=4)
    array([0, 0, 0, 3])
    """
    rows, pairs = np.arange(n), [np.empty((0, 2), np.int64)]
    for code in (_codes(g) for g in groups if g is not None):
        first = np.full(code.max(initial=0) + 1, n)
        np.minimum.at(first, code, rows)
        pairs.append(np.stack([first[code], rows], 1))
    return groups_of_pairs(np.concatenate(pairs), n)


def _codes(group: np.ndarray) -> np.ndarray:
    """(n,) int64 numbers of groups; missing ones get a number each."""
    codes = pd.factorize(group)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes
