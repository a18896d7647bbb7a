"""Which given labels are probably wrong, most suspicious first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import align_predictions, align_second, doubt_rows
from softfold.errors import check_top
from softfold.noise.estimation import check_second, estimate_checked
from softfold.noise.model import NoiseModel, matched_noise
from softfold.noise.scoring import Scores, score


def rank_issues(
    labels: Any,
    probabilities: Any = None,
    top: int | None = None,
    *,
    noise: NoiseModel | np.ndarray | None = None,
    second: Any = None,
    vocab: Iterable[Any] | None = None,
) -> pd.DataFrame:
    """Items by how probably their given label is wrong.

    Args:
        labels: int (N,), each in 0..K-1, or names (N,); or a LabelTable (its training part is
            used): then there is a column `item` beside.
        probabilities: out-of-fold predictions, float (N, K); or an OutOfFold or a data frame,
            matched to a table by key and class name (`softfold.align.align_predictions` has the
            rules).
        top: how many to return (all by default); only these are sorted.
        noise: a NoiseModel, its classes matched by name where it knows them, or a transition
            matrix; estimated by itself.
        second: another model's out-of-fold predictions, in any form that `probabilities` have: a
            second witness where the noise is estimated (`softfold.estimate_noise`).
        vocab: K class names, in the order of the columns of an array.

    Returns:
        A data frame with columns index (row of the item, in a table's training part), given,
        suggested (the likeliest other class), suspicion (0..1, how likely the label is wrong) and
        none_of_these (0..1, how likely the item belongs to no class; a part of suspicion). Classes
        are names where the labels have names (a table, names, `vocab`), else class indices. Equal
        suspicions keep the order of the rows.

    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> T = np.array([[0.8, 0.2], [0.2, 0.8]])
    >>> rank_issues(np.array([0, 1, 1]), p, top=1, noise=T).round(2)
       index  given  suggested  suspicion  none_of_these
    0      1      1          0       0.69            0.0
    """
    check_top(top)
    both, found = _scored(labels, probabilities, noise, second, vocab)
    order = found.ranking[: len(both.labels) if top is None else top]
    given, suggested = both.labels[order], found.suggested[order]
    if both.vocab is not None:
        names = np.asarray(both.vocab, dtype=object)
        given, suggested = names[given], names[suggested]
    columns = {
        "index": order,
        "given": given,
        "suggested": suggested,
        "suspicion": found.falling[: len(order)],
        "none_of_these": found.no_class[order],
    }
    ranked = pd.DataFrame(columns, copy=False)
    if both.item is not None:
        ranked.insert(1, "item", both.item[order])
    return ranked


def label_quality(
    labels: Any,
    probabilities: Any = None,
    *,
    noise: NoiseModel | np.ndarray | None = None,
    second: Any = None,
    vocab: Iterable[Any] | None = None,
) -> np.ndarray:
    """How probably each given label is right, in the order of the items.

    It is 1 - suspicion of `rank_issues`. Where it is below 0.5, the label is more likely wrong than
    right: `label_quality(labels, probabilities) < 0.5` is a mask of the labels to check.

    Args:
        labels: as `rank_issues` takes them.
        probabilities: out-of-fold predictions, as `rank_issues` takes them.
        noise: a NoiseModel, its classes matched by name where it knows them, or a transition
            matrix; estimated by itself.
        second: another model's out-of-fold predictions, see `rank_issues`.
        vocab: K class names, in the order of the columns of an array.

    Returns:
        float64 (N,), 0..1; row i is that of `labels[i]`, of a table the i-th training item.

    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> T = np.array([[0.8, 0.2], [0.2, 0.8]])
    >>> label_quality(np.array([0, 1, 1]), p, noise=T).round(2)
    array([0.97, 0.31, 0.94])
    """
    _, found = _scored(labels, probabilities, noise, second, vocab)
    return 1 - found.suspicion


def _scored(
    labels: Any,
    probabilities: Any,
    noise: NoiseModel | np.ndarray | None,
    second: Any,
    vocab: Iterable[Any] | None,
) -> tuple[Any, Scores]:
    """What was given, matched, and what the noise model says of it."""
    check_second(second, noise)
    both = align_predictions(labels, probabilities, vocab)
    if second is not None:
        second = align_second(labels, probabilities, second, vocab)
    if noise is None:
        noise = estimate_checked(both.labels, both.probabilities, second=second)
        if noise.rate != noise.rate:
            doubt_rows(len(both.labels), "so trust no list of wrong ones")
    else:
        noise = matched_noise(noise, both.probabilities.shape[1], both.columns)
    return both, score(both.labels, both.probabilities, noise)
