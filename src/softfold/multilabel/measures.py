"""How good predictions of several labels an item are, and whether one set of them is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from softfold.arrays import check_independent
from softfold.errors import InputError
from softfold.evaluation import average_precision, interval_of

GROUPS = 50
"""Parts that items are dealt to, of which each is left out once."""

UNSEEN = 1 / 6
"""Variance of the difference between two precisions of which nothing is known but 0 to 1."""


def mean_average_precision(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of the average precision with which items are ranked; 0 to 1.

    Classes that no item has are left out; nan where none is left.

    Args:
        probabilities: (M, K), each in 0..1.
        labels: (M, K), 1 where the item has the class.

    >>> mean_average_precision(np.array([[0.9, 0.2], [0.3, 0.8]]), np.array([[1, 0], [0, 1]]))
    1.0
    """
    probabilities, labels = _checked(probabilities, labels)
    found = [average_precision(p, y) for p, y in zip(probabilities.T, labels.T)]
    known = [each for each in found if each is not None]
    return float(np.mean(known)) if known else float("nan")


def micro_f1(probabilities: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """F1 over all items and classes together, of what is at least as probable as `threshold`.

    Args:
        probabilities: (M, K), each in 0..1.
        labels: (M, K), 1 where the item has the class.

    Returns:
        0 to 1; nan where nothing is predicted and nothing is there.

    >>> micro_f1(np.array([[0.9, 0.2], [0.3, 0.8]]), np.array([[1, 1], [0, 1]]))
    0.8
    """
    probabilities, labels = _checked(probabilities, labels)
    predicted = probabilities >= threshold
    total = predicted.sum() + labels.sum()
    return float(2 * (predicted & labels).sum() / total) if total else float("nan")


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mean_average_precision": mean_average_precision,
    "micro_f1": micro_f1,
}


def differences(
    baseline: np.ndarray, soft: np.ndarray, labels: np.ndarray, *, seed: int = 0
) -> dict[str, dict[str, float | str]]:
    """By measure: that of `soft` less that of `baseline`, with a 95% interval.

    Neither measure is a mean over items. So items are dealt to groups, each of which is left out
    once, and what that changes stands for the group (the jackknife's pseudo-values: Tukey 1958,
    Miller 1974); the interval is then that of `softfold.evaluation.paired_difference`, over seeds
    and groups of items.

    Of a class that few items have, the average precision hangs on these few, and where they happen
    to agree nothing shows how far others would differ. So each class's variance is as if one more
    item had the class, of which nothing is known, and the degrees of freedom are those of the
    items that have the classes.

    Args:
        baseline, soft: (S, M, K) probabilities of S seeds on M items.
        labels: (M, K), 1 where the item has the class.
        seed: deals the items, and draws.

    Returns:
        `mean`, `low`, `high`, `p_value` and `over` of each measure in `MEASURES`.
    """
    if np.shape(baseline) != np.shape(soft) or np.ndim(soft) != 3:
        raise InputError(
            f"baseline {np.shape(baseline)} and soft {np.shape(soft)}: want both (S, M, K)"
        )
    labels = np.asarray(labels).astype(bool)
    m = len(labels)
    unseen = _unseen(labels.sum(axis=0))
    if np.array_equal(baseline, soft):
        unseen = (0.0, np.inf)
    group = np.random.default_rng(seed).permutation(m) % min(GROUPS, m)
    n_groups = int(group.max()) + 1
    made = {}
    for name, measure in MEASURES.items():

        def gains(rows: np.ndarray, of: Callable = measure) -> np.ndarray:
            some = labels[rows]
            return np.array([of(s[rows], some) - of(b[rows], some) for b, s in zip(baseline, soft)])

        whole = gains(np.arange(m))
        if n_groups < 2:
            made[name] = interval_of(whole[:, None], float(whole.mean()), seed=seed)
            continue
        left = np.stack([gains(np.flatnonzero(group != g)) for g in range(n_groups)], axis=1)
        pseudo = n_groups * whole[:, None] - (n_groups - 1) * left
        more = unseen if measure is mean_average_precision else (0.0, np.inf)
        made[name] = interval_of(pseudo, float(whole.mean()), seed=seed, unseen=more)
    return made


def _unseen(counts: np.ndarray) -> tuple[float, float]:
    """What `interval_of` takes, of the items (K,) that have each class; classes weigh the same.

    With n items a class's mean varies by 1 / n; one unknown item among n + 1 adds `UNSEEN` / (n
    (n + 1)). Degrees of freedom by Satterthwaite 1946.
    """
    n = counts[counts > 0].astype(float)
    if not len(n):
        return 0.0, np.inf
    variance = (UNSEEN / (n * (n + 1))).sum() / len(n) ** 2
    freedom = (1 / n).sum() ** 2 / (1 / n**2 / np.maximum(n - 1, 1)).sum()
    return float(variance), float(freedom)


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = check_independent(probabilities), np.asarray(labels).astype(bool)
    if labels.shape != probabilities.shape:
        raise InputError(
            f"probabilities {probabilities.shape} and labels {labels.shape}: want both (M, K)"
        )
    return probabilities, labels
