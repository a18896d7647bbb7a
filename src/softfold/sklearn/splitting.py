"""Folds of what scikit-learn calls X: stratified, with copies and groups kept together."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from softfold.data.folds import draw_folds
from softfold.data.grouping import copies_of, first_rows, merge_groups
from softfold.data.table import LabelTable
from softfold.errors import InputError, count_of


def split_rows(
    X: Any, labels: np.ndarray, groups: Any, classes: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each fold the rows to train on and the rows to predict.

    A class may have fewer items than there are folds, but for one: its model would not know it.

    Args:
        X: N items: an array, a sparse matrix, a data frame, a list of texts.
        labels: int64 (N,), positions in `classes`.
        groups: (N,) or None.
        classes: (K,) names, for messages.

    Raises:
        InputError: folds that cannot be drawn so that every model sees every class.
    """
    n = len(labels)
    if len(classes) < 2:
        raise InputError(
            f"y has {len(classes)} class in {count_of(n, 'sample')}; two classes are the least"
        )
    if getattr(X, "ndim", 1) == 2 and X.shape[1] == 0:
        raise InputError(
            f"X has 0 feature(s) (shape={X.shape}) while a minimum of 1 is required: give columns"
        )
    if n_folds < 2:
        raise InputError(f"cv is {n_folds}: at least 2 folds are needed")
    group = merge_groups(None if groups is None else np.asarray(groups), row_copies(X), n=n)
    n_groups = len(np.unique(group))
    if n_groups < n_folds:
        raise InputError(
            f"{count_of(n_groups, 'different item is', 'different items are')} too few for "
            f"{n_folds} folds, since copies and groups share a fold: use fewer folds (cv=)"
        )
    fold = draw_folds(labels, group, n_folds, np.random.default_rng(seed))
    for f in range(n_folds):
        seen = np.bincount(labels[fold != f], minlength=len(classes))
        if (seen == 0).any():
            lost = int(np.argmin(seen))
            raise InputError(
                f"class {str(classes[lost])!r} has {count_of(int((labels == lost).sum()), 'item')},"
                " all in one fold, so the model of that fold would never see the class: leave it "
                "out, or use smaller groups"
            )
    return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]


def row_copies(X: Any) -> np.ndarray:
    """(N,) int64: the first row that each row of X equals, or its own.

    >>> row_copies(["a b", "b", "a b"])
    array([0, 1, 0])
    """
    if issparse(X):
        return _sparse_copies(X)
    data = X if isinstance(X, pd.DataFrame) else np.asarray(X)
    if isinstance(data, np.ndarray) and data.dtype.kind not in "biufc":
        data = pd.DataFrame(data.reshape(len(data), -1).astype(object))
    if isinstance(data, pd.DataFrame):  # names may be numbers, or there twice
        data = data.set_axis([str(i) for i in range(data.shape[1])], axis=1)
    n = len(data)
    item = np.arange(n).astype(str).astype(object)
    given = np.zeros(n, np.int64)
    return copies_of(LabelTable(item, given, vocab=("",), valid=given > 0, data=data))


def _sparse_copies(X: Any) -> np.ndarray:
    rows = X.tocsr(copy=True)
    rows.sum_duplicates()  # also sorts the columns of a row
    rows.eliminate_zeros()
    ends = zip(rows.indptr[:-1], rows.indptr[1:])
    return first_rows(
        [
            hashlib.blake2b(
                rows.indices[a:b].tobytes() + rows.data[a:b].tobytes(), digest_size=16
            ).digest()
            for a, b in ends
        ]
    )
