"""The explanations "by_class" and "even": given the true class, the label is a matter of chance.

p(given | x) = sum over k of p(k | x) T[k, given], and T makes the given labels likeliest.
"""

from __future__ import annotations

import numpy as np

from softfold.noise.explanation import Explanation
from softfold.noise.matrices import by_columns, normalised_counts, symmetric, unmix
from softfold.noise.sample import FLOOR, Sample
from softfold.noise.temperature import search

START_SHRINK, SHRINK = 10.0, 3.0
"""Items' worth of even noise in each row of T, before and during EM."""

TURNS, STEPS = 4, 3
"""How often predictions are unmixed anew, and EM steps on T between."""

RATES = (*np.arange(0.01, 0.1, 0.015), *np.arange(0.1, 0.72, 0.05))
SHARPER = (0.1, 0.15, 0.22, 0.33, 0.5, 0.75, 1.0)
MOST_NOISE = 0.9
"""Of the rate at which labels would be independent of the truth, 1 - 1/K."""

CELLS, LEAST_ITEMS = 40_000, 3_000
"""How much of a sample is fitted to: some cells, and enough items for the rows of T."""


def by_class(sample: Sample) -> Explanation:
    """T by EM on predictions that are taken back through T, anew as T changes.

    A model that was trained on given labels predicts given labels: where two of five of a class
    are called the next one, it says 0.6 and 0.4. Unmixed through T that is 1 and 0 again. The start
    is the confident joint (Northcutt et al. 2021). Temperature and T take turns, and the likeliest
    turn is kept.
    """
    part = _part(sample)
    transition, temperature = normalised_counts(confident_joint(part), START_SHRINK), 1.0
    best: tuple[float, Explanation] = (-np.inf, Explanation("by_class", transition, 1.0))
    for _ in range(TURNS):
        logs = unmixed_logs(part, transition)
        temperature = _best_temperature(part, logs, transition, temperature)
        v = part.at(temperature, logs)
        score = part.log_likelihood(v, transition)
        if score > best[0]:
            best = (score, Explanation("by_class", transition, temperature, unmix=True))
        for _ in range(STEPS):
            transition = _em_step(part, v, transition)
    return best[1]


def refined(
    sample: Sample, transition: np.ndarray, temperature: float, steps: int = 20
) -> Explanation:
    """EM on T from a start (K, K), for predictions of the truth (trained through such a T)."""
    for _ in range(3):
        v = sample.at(temperature)
        for _ in range(steps):
            transition = _em_step(sample, v, transition)
        temperature = _best_temperature(sample, None, transition, temperature)
    return Explanation("by_class", transition, temperature)


def even(sample: Sample) -> Explanation:
    """All wrong classes alike: rate and temperature are the likeliest of a grid."""
    k, part = sample.n_classes, _part(sample)
    best = (-np.inf, sample.temperature, float(RATES[0]))
    for sharper in SHARPER:
        temperature = sample.temperature * sharper
        own = part.own(temperature)
        for rate in RATES:
            if rate > MOST_NOISE * (1 - 1 / k):
                break
            score = part.even_level(own, rate)
            if score > best[0]:
                best = (score, temperature, float(rate))
    return Explanation("even", symmetric(k, best[2]), best[1])


def confident_joint(sample: Sample) -> np.ndarray:
    """Counts (K, K), rows truth, columns given (Northcutt et al. 2021, equation 1).

    An item counts for the likeliest class among those whose probability reaches the mean that
    the class has over the items given as it; rows are then scaled to the given labels' counts.
    """
    k, y, p, rows = sample.n_classes, sample.labels, sample.p, sample.rows
    given = np.bincount(y, minlength=k)
    threshold = np.bincount(y, weights=p[rows, y], minlength=k) / np.maximum(given, 1)
    threshold[given == 0] = np.inf
    sure = p >= threshold
    truth = np.where(sure, p, -1).argmax(axis=1)
    counted = sure[rows, truth]
    cells = truth[counted] * k + y[counted]
    joint = np.bincount(cells, minlength=k * k).reshape(k, k).astype(float)
    empty = np.flatnonzero(joint.sum(axis=0) == 0)
    joint[empty, empty] = given[empty]
    return joint * (given / np.maximum(joint.sum(axis=0), 1e-30))


def unmixed_logs(sample: Sample, transition: np.ndarray) -> np.ndarray:
    """Logarithms of the predictions taken back through T: float32 (n, K), as `by_columns`."""
    return np.log(by_columns(np.maximum(unmix(sample.p, transition), FLOOR)))


def _part(sample: Sample) -> Sample:
    return sample.about(max(LEAST_ITEMS, CELLS // sample.n_classes))


def _em_step(sample: Sample, v: np.ndarray, transition: np.ndarray) -> np.ndarray:
    joint, total = sample.weighed(v, transition)
    joint /= total[:, None]
    return normalised_counts(sample.tally(joint), SHRINK)


def _best_temperature(
    sample: Sample, logs: np.ndarray | None, transition: np.ndarray, near: float
) -> float:
    return search(
        lambda t: sample.log_likelihood(sample.at(t, logs), transition),
        max(0.1, near / 2),
        min(4.0, near * 2),
        tolerance=0.2,
    )
