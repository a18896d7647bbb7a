"""What checked items say: the noise rate from an audit, and which explanation they speak for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softfold.noise.explanation import Explanation, log_floored
from softfold.noise.weighing import with_weights

FEWEST = 30
"""Checked items from which the audit's rate takes the place of the estimate."""

SLIP = 0.02
"""How often any explanation may be plainly wrong about an item: none is ruled out by one."""

MOST_TILT = 20.0
"""Bound of what is added to log-odds."""

LEAST = 1e-12
"""How near to 0 and 1 a suspicion is taken to be."""


def audited_rate(
    suspicion: np.ndarray, rows: np.ndarray, wrong: np.ndarray
) -> tuple[float, float, float]:
    """The noise rate and its 95% interval from items checked at random.

    A prediction-powered mean (Angelopoulos et al. 2023): lambda mean(s) + mean(b - lambda s), where
    s is suspicion and b is 1 where the checked label is wrong; lambda = Cov(b, s) / Var(s).

    Args:
        suspicion: (N,) of all items, 0..1.
        rows: int (m,), the items that were drawn at random and checked, each once.
        wrong: bool (m,), whether their given labels are wrong.

    Returns:
        rate, low, high: fractions of 1.
    """
    m, n = len(rows), len(suspicion)
    slope, variance = _unexplained(suspicion, rows, wrong)
    b = np.asarray(wrong, float)
    rate = slope * float(suspicion.mean(dtype=float)) + float((b - slope * suspicion[rows]).mean())
    left = max(0.0, 1 - m / n)
    half = 2.0 * float(np.sqrt(left * (variance / m + 1 / m**2)))
    known = float(b.sum()) / n
    low, high = max(known, rate - half), min(1 - float((1 - b).sum()) / n, rate + half)
    return float(np.clip(rate, known, max(known, high))), low, max(low, high)


def tilt_into(suspicion: np.ndarray, low: float, high: float) -> float:
    """What to add to all log-odds of a wrong label so that suspicions agree with an audit.

    0 where the mean of suspicion (N,) is within low..high, else what brings it to the nearer bound:
    an audit moves single suspicions as far as it contradicts them, and no further.
    """
    mean = float(suspicion.mean(dtype=float))
    goal = float(np.clip(mean, low, high))
    if goal == mean or not 0 < goal < 1:
        return 0.0
    odds = log_odds(suspicion)
    below, above = -MOST_TILT, MOST_TILT
    while above - below > 1e-3:
        middle = (below + above) / 2
        if with_odds(odds + middle).mean() < goal:
            below = middle
        else:
            above = middle
    return (below + above) / 2


def log_odds(suspicion: np.ndarray) -> np.ndarray:
    """Of probabilities float64 (N,), at least LEAST away from 0 and 1."""
    s = np.clip(suspicion, LEAST, 1 - LEAST)
    return np.log(s) - np.log1p(-s)


def with_odds(odds: np.ndarray) -> np.ndarray:
    """The probabilities of log-odds."""
    return 1 / (1 + np.exp(-odds))


def wanted_checks(
    suspicion: np.ndarray, rows: np.ndarray, wrong: np.ndarray, half_width: float
) -> int:
    """How many more items to check for a rate to plus or minus `half_width`: the stopping rule.

    Solves half_width = 2 sqrt(v / m + 1 / m^2) for m, where v is what suspicion leaves unexplained
    so far. Args are those of `audited_rate`; none need be checked yet.
    """
    if len(rows) > 1:
        _, variance = _unexplained(suspicion, rows, wrong)
    else:
        rate = float(suspicion.mean(dtype=float))
        variance = rate * (1 - rate)
    m = 2 / (np.sqrt(variance**2 + half_width**2) - variance)
    return max(0, min(int(np.ceil(m)), len(suspicion)) - len(rows))


def _unexplained(suspicion: np.ndarray, rows: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """lambda, and the variance of b - lambda s among the checked items."""
    s, b = suspicion[rows].astype(float), np.asarray(wrong, float)
    slope = 0.0
    if len(rows) > 2 and s.var() > 1e-12:
        slope = float(np.clip(np.cov(b, s)[0, 1] / s.var(ddof=1), 0.0, 1.0))
    return slope, float((b - slope * s).var(ddof=min(1, len(rows) - 1)))


def reweighed(
    explanations: Sequence[Explanation],
    labels: np.ndarray,
    probabilities: np.ndarray,
    truth: np.ndarray,
) -> tuple[Explanation, ...]:
    """Explanations weighed again by what checked items are.

    labels int (m,), probabilities (m, K), truth int (m,), -1 for none of the classes. Which items
    were looked at does not matter here, as long as that followed from labels and predictions.
    """
    logs, k = log_floored(probabilities), probabilities.shape[1]
    rows, nothing = np.arange(len(truth)), truth < 0
    scores = np.empty(len(explanations))
    for i, explanation in enumerate(explanations):
        q, odds = explanation.read(labels, logs)
        here = q[rows, np.maximum(truth, 0)]
        if explanation.offset is not None:
            wrong = with_odds(odds.astype(float))
            here = np.where(nothing, wrong, np.where(truth == labels, 1 - wrong, wrong / k))
        else:
            here = np.where(nothing, 0.0, here)
        likely = (1 - SLIP) * here + SLIP / (k + 1)
        scores[i] = np.log(explanation.weight + 1e-12) + np.log(likely).sum()
    return with_weights(explanations, [e.rate for e in explanations], scores)
