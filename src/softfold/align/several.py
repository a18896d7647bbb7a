"""Several models' predictions of the same items and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from softfold.align.keys import (
    as_keys,
    match_columns,
    match_rows,
    refuse_repeats,
    take_part,
    unique_names,
)
from softfold.align.matrices import KeyedMatrix, as_keyed
from softfold.arrays import check_probabilities
from softfold.errors import InputError, count_of


def align_several(several: Sequence[Any]) -> tuple[list[np.ndarray], Any, Any]:
    """Several models' predictions, with the rows and the columns of the first.

    Args:
        several: each a matrix (N, K), an OutOfFold, SoftLabels, or a data frame whose index has
            the items' keys and whose columns have the class names. Where one has keys or class
            names, all have: what has none is taken by position beside others that have none.

    Returns:
        Each (N, K), and the first's item keys (N,) and K class names, None where it has none.

    Raises:
        InputError: items or classes that only one has, one with keys beside one without, rows
            that are no probabilities; the model is named by its number, from 1.
    """
    if not len(several):
        raise InputError("predictions: there are none")
    first: KeyedMatrix | None = None
    matrices: list[np.ndarray] = []
    for number, value in enumerate(several, 1):
        what = f"model {number}'s predictions"
        matrix = as_keyed(value, what, "a prediction", None, None)
        rows = columns = None
        if first is None:
            first = matrix
            if matrix.item is not None:
                refuse_repeats(as_keys(matrix.item), f"keys of {what}")
            if matrix.vocab is not None:
                unique_names(matrix.vocab, f"classes of {what}")
        else:
            rows, columns = _as_the_first(first, matrix, what)
        values = check_probabilities(take_part(matrix.values, rows, columns), what)
        if matrices and values.shape != matrices[0].shape:
            raise InputError(f"{what} of shape {values.shape}; the first are {matrices[0].shape}")
        matrices.append(values)
    assert first is not None
    return matrices, first.item, first.vocab


def _as_the_first(
    first: KeyedMatrix, matrix: KeyedMatrix, what: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Rows and columns of a matrix in the order of the first; both have the same items."""
    for part in ("item", "vocab"):
        word = {"item": "keys of items", "vocab": "names of classes"}[part]
        if (getattr(first, part) is None) != (getattr(matrix, part) is None):
            has, lacks = ("the first have", "have none")
            if getattr(first, part) is None:
                has, lacks = ("these have", "the first have none")
            raise InputError(
                f"{what}: {has} {word} and {lacks}: give data frames or matrices, not both"
            )
    rows = columns = None
    if first.item is not None and matrix.item is not None:
        more = len(matrix.item) - len(first.item)
        rows = match_rows(matrix.item, first.item, f"not among {what}", of=f"keys of {what}")
        if more:
            raise InputError(f"{what}: {count_of(more, 'item')} more than the first have")
    if first.vocab is not None and matrix.vocab is not None:
        columns = match_columns(matrix.vocab, first.vocab, what, "first predictions")
    return rows, columns
