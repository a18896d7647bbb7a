"""Which given labels are probably wrong, most suspicious first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import align_predictions
from softfold.arrays import each_block
from softfold.errors import InputError
from softfold.noise.estimation import estimate_checked
from softfold.noise.model import NoiseModel, as_noise_model, weigh


def suspicions(
    labels: np.ndarray, probabilities: np.ndarray, noise: NoiseModel
) -> tuple[np.ndarray, np.ndarray]:
    """Suspicion float32 (N,) = P(truth differs from given | x, given), and the likeliest other
    class int64 (N,).
    """
    n, k = probabilities.shape
    suspicion = np.empty(n, np.float32)
    suggested = np.empty(n, np.int64)

    def work(rows: slice) -> None:
        y = labels[rows]
        q = weigh(y, probabilities[rows], noise)
        here = np.arange(len(y))
        own = q[here, y]
        q[here, y] = 0
        # The sum over the others keeps its digits where 1 - q(given) would lose them.
        others = np.einsum("ij->i", q)
        suspicion[rows] = others / np.maximum(own + others, 1e-30)
        q[here, y] = -1
        suggested[rows] = q.argmax(axis=1)

    each_block(work, n, k)
    return suspicion, suggested


def rank_issues(
    labels: Any,
    probabilities: Any = None,
    top: int | None = None,
    *,
    noise: NoiseModel | np.ndarray | None = None,
    vocab: Iterable[Any] | None = None,
) -> pd.DataFrame:
    """Items by how probably their given label is wrong.

    labels:        int (N,), each in 0..K-1, or names (N,); or a LabelTable (its training part is
                   used): then there is a column `item` beside
    probabilities: out-of-fold predictions, float (N, K); or an OutOfFold or a data frame, matched
                   to a table by key and class name (`softfold.align.align_predictions` has the
                   rules)
    top:           how many to return (all by default); only these are sorted
    noise:         a NoiseModel or transition matrix; estimated by itself
    vocab:         K class names, in the order of the columns of an array

    Returns a data frame with columns index (row of the item, in a table's training part), given,
    suggested (the likeliest other class), suspicion (0..1). Classes are names where the labels
    have names (a table, names, `vocab`), else class indices. Equal suspicions keep the order of
    the rows.

    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> T = np.array([[0.8, 0.2], [0.2, 0.8]])
    >>> rank_issues(np.array([0, 1, 1]), p, top=1, noise=T).round(2)
       index  given  suggested  suspicion
    0      1      1          0       0.69
    """
    if top is not None and top < 0:
        raise InputError(f"top is {top}; it must be at least 0")
    both = align_predictions(labels, probabilities, vocab)
    labels, probabilities = both.labels, both.probabilities
    n, k = probabilities.shape
    if noise is None:
        noise = estimate_checked(labels, probabilities)
    elif not isinstance(noise, NoiseModel):
        noise = as_noise_model(noise, k)
    suspicion, suggested = suspicions(labels, probabilities, noise)
    order = _first(suspicion, n if top is None else min(top, n))
    given, suggested = labels[order], suggested[order]
    if both.vocab is not None:
        names = np.asarray(both.vocab, dtype=object)
        given, suggested = names[given], names[suggested]
    columns = {"index": order, "given": given, "suggested": suggested}
    ranked = pd.DataFrame(columns | {"suspicion": suspicion[order]}, copy=False)
    if both.item is not None:
        ranked.insert(1, "item", both.item[order])
    return ranked


def _first(score: np.ndarray, count: int) -> np.ndarray:
    """Rows of the `count` largest scores, largest first, ties by row."""
    if count < len(score):
        bound = np.partition(score, len(score) - count)[len(score) - count] if count else np.inf
        rows = np.flatnonzero(score > bound)
        ties = np.flatnonzero(score == bound)[: count - len(rows)]
        rows = np.sort(np.concatenate([rows, ties]))
    else:
        rows = np.arange(len(score))
    # Scores are at least 0, so that their bits are in the same order; one sort for both keys.
    keys = (~score[rows].view(np.uint32)).astype(np.uint64) << np.uint64(32)
    keys |= rows.astype(np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
