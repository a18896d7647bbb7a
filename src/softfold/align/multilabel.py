"""Given labels and predictions of classes that do not exclude each other, made one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from softfold.align.inputs import HasGiven, of_training, training_part
from softfold.align.keys import match_columns, match_rows, refuse_repeats, take_part, unique_names
from softfold.align.matrices import as_keyed, refuse_keys_of_one
from softfold.arrays import check_independent
from softfold.errors import InputError


@dataclass(frozen=True)
class AlignedMulti:
    """Given labels and predictions of the same items and classes, checked.

    Attributes:
        labels: (N, K) int64, 1 where the class was given to the item.
        probabilities: (N, K), each in 0..1, row i of the item of labels[i].
        item: (N,) str keys where the labels came with keys, else None.
        vocab: K class names where either side has names, else None.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    item: np.ndarray | None = None
    vocab: tuple[str, ...] | None = None


def align_multi_label(
    labels: Any, probabilities: Any, vocab: Iterable[Any] | None = None
) -> AlignedMulti:
    """Several labels an item beside the predictions of the same items and classes.

    Args:
        labels: 0 and 1, or False and True, (N, K); a data frame of them, whose index has the items'
            keys and whose columns have the class names; or a MultiLabelTable, of which the
            training part is used.
        probabilities: a matrix (N, K) in the order of the labels; an OutOfFold or a data frame,
            whose rows and columns are matched by key and class name where the labels have both.
        vocab: K class names, in the order of an array's columns.

    Returns:
        Rows and columns in the order of the labels.

    Raises:
        InputError: an item or a class that only one side has, labels that are neither 0 nor 1,
            predictions outside 0..1; the first offender is named.
    """
    names = None if vocab is None else unique_names(vocab, "vocab")
    if probabilities is None:
        raise InputError("probabilities are missing (N x K out-of-fold predictions)")
    if not isinstance(labels, np.ndarray | pd.DataFrame) and isinstance(labels, HasGiven):
        if np.ndim(labels.given) != 2:
            raise InputError(
                f"{labels.name}: one label an item; softfold.estimate_noise, soften and "
                "rank_issues are for it (softfold.multilabel.read_table reads several an item)"
            )
        item, given, train = training_part(labels)
        what = "predictions", "a prediction"
        matrix = of_training(labels, item, train, probabilities, names, *what)
        own = unique_names(labels.vocab, "classes")
        return AlignedMulti(given.astype(np.int64), check_independent(matrix), item, own)
    return _of_matrices(labels, probabilities, names)


def _of_matrices(labels: Any, probabilities: Any, names: tuple[str, ...] | None) -> AlignedMulti:
    given = as_keyed(labels, "labels", "a label", None, names)
    own = names if given.vocab is None else given.vocab
    matrix = as_keyed(probabilities, "predictions", "a prediction", given.item, own)
    values = _zeros_and_ones(given.values)
    if names is not None and given.vocab is not None:
        values = take_part(values, None, match_columns(given.vocab, names, "labels", "vocab="))
        own = names
    rows = columns = None
    if given.item is not None and matrix.item is not None:
        refuse_repeats(given.item, "keys of the labels")
        lacks, of = f"without {matrix.row}", f"keys of the {matrix.what}"
        rows = match_rows(matrix.item, given.item, lacks, noun="row of labels", of=of)
    elif given.item is None:
        refuse_keys_of_one(probabilities, matrix)
    if own is not None and matrix.vocab is not None:
        columns = match_columns(matrix.vocab, own, matrix.what, "labels")
    found = check_independent(take_part(matrix.values, rows, columns))
    if found.shape != values.shape:
        raise InputError(
            f"labels of shape {values.shape} and predictions of shape {found.shape}: want both "
            "(N, K), a row an item and a column a class"
        )
    own = own or matrix.vocab
    if own is not None and len(own) != values.shape[1]:
        raise InputError(f"vocab has {len(own)} names; there are {values.shape[1]} classes")
    return AlignedMulti(values, found, given.item, own)


def _zeros_and_ones(values: np.ndarray) -> np.ndarray:
    """Labels (N, K) as int64. Raises InputError naming the first that is neither 0 nor 1."""
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(
            f"labels: expected 0 and 1 of shape (items, classes), got shape {values.shape}; one "
            "label an item is for softfold.estimate_noise, soften and rank_issues"
        )
    if values.dtype.kind not in "fiub":
        raise InputError(f"labels: expected 0 and 1, got dtype {values.dtype}")
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        i, k = np.argwhere(wrong)[0]
        raise InputError(
            f"labels: {int(wrong.sum()):,} of {values.size:,} are neither 0 nor 1; the first is "
            f"{values[i, k]} of row {i}, class {k}"
        )
    return values.astype(np.int64)
