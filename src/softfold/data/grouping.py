"""Groups of items that must stay together: given ones, copies, and chains of both."""

from __future__ import annotations

import numpy as np
import pandas as pd


def groups_of_pairs(pairs: np.ndarray, n: int) -> np.ndarray:
    """(n,) int64 groups out of (P, 2) pairs of rows that belong together.

    >>> groups_of_pairs(np.array([[0, 2], [2, 3]]), n=5)
    array([0, 1, 0, 0, 4])
    """
    label = np.arange(n)
    while True:
        least = np.minimum(label[pairs[:, 0]], label[pairs[:, 1]])
        before = label.copy()
        np.minimum.at(label, pairs[:, 0], least)
        np.minimum.at(label, pairs[:, 1], least)
        if np.array_equal(before, label):
            return label


def merge_groups(*groups: np.ndarray | None, n: int) -> np.ndarray:
    """(n,) int64: items that any of the groupings joins, directly or in a chain, get one number.

    An item whose group is missing (None or NaN) is alone in that grouping.

    >>> merge_groups(np.array(["a", "a", "b", "c"]), np.array([0, 1, 1, 2]), n=4)
    array([0, 0, 0, 3])
    """
    label = np.arange(n)
    codes = [_codes(g) for g in groups if g is not None]
    while True:
        before = label
        for code in codes:
            least = np.full(code.max() + 1, n)
            np.minimum.at(least, code, label)
            label = least[code]
        if np.array_equal(before, label):
            return label


def _codes(group: np.ndarray) -> np.ndarray:
    """(n,) int64 numbers of groups; missing ones get a number each."""
    codes = pd.factorize(group)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max() + 1 + np.arange(alone.sum())
    return codes
