"""The mean of several models' predictions: rows matched by item key, columns by class name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import align_several
from softfold.errors import InputError

FACTS = ("item", "predicted", "predicted_name", "confidence")
"""What stands before the probabilities in a frame of `softfold.load(run).predict`."""


def average_predictions(*predictions: Any, weights: Sequence[float] | None = None) -> Any:
    """The mean of several models' probabilities of the same items and classes.

    Args:
        predictions: each a matrix (N, K), an OutOfFold, a frame that `softfold.load(run).predict`
            gave, or a data frame whose index has the items' keys and whose columns have the class
            names. What has keys and names is matched by them, in any order.
        weights: one a model, at least 0; all the same where None.

    Returns:
        float32: a data frame with the first's items as index and the first's classes as columns;
        an array (N, K) where none has keys.

    Raises:
        InputError: an item or a class that only one of them has, rows that are no probabilities,
            weights that do not fit.

    >>> one = pd.DataFrame({"cat": [1.0, 0.5], "dog": [0.0, 0.5]}, index=["a.png", "b.png"])
    >>> two = pd.DataFrame({"dog": [0.5, 1.0], "cat": [0.5, 0.0]}, index=["b.png", "a.png"])
    >>> average_predictions(one, two).loc["a.png"].tolist()
    [0.5, 0.5]
    """
    matrices, item, vocab = align_several([_by_item(each) for each in predictions])
    share = _shares(weights, len(matrices))
    mean = np.zeros(matrices[0].shape, np.float64)
    for matrix, weight in zip(matrices, share, strict=True):
        mean += weight * matrix
    out = mean.astype(np.float32)
    if item is None and vocab is None:
        return out
    return pd.DataFrame(out, index=item, columns=None if vocab is None else list(vocab))


def _by_item(value: Any) -> Any:
    """A frame of predictions with its items as index and nothing but probabilities."""
    if not isinstance(value, pd.DataFrame) or not {"item", "predicted"} <= set(value.columns):
        return value
    facts = [name for name in FACTS if name in value.columns]
    return value.set_index("item").drop(columns=[name for name in facts if name != "item"])


def _shares(weights: Sequence[float] | None, n: int) -> np.ndarray:
    """(n,) weights that sum to 1."""
    found = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if found.shape != (n,):
        raise InputError(f"weights {found.tolist()}: want one for each of {n} predictions")
    if not np.isfinite(found).all() or (found < 0).any() or not found.sum() > 0:
        raise InputError(f"weights {found.tolist()}: want numbers of at least 0, not all 0")
    return found / found.sum()
