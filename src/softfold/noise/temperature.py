"""The temperature of predictions: how much surer or less sure than they say they should be read.

p^(1/t), normalised, is flatter than p where t is above 1 and sharper where it is below (Guo et al.
2017, "On calibration of modern neural networks").

A temperature is about what an item shows, not about how frequent classes are. Predictions that are
too unsure (regularised, stopped early) are drawn to the model's base rates: p is proportional to
base rate times evidence^t. Sharpening them as they are would raise the base rates with the evidence
and give frequent classes what is not theirs. `base_shift` is what takes that back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from softfold.noise.sample import Sample

TEMPERATURES = (0.1, 8.0)
"""Temperatures that are looked at, least and most."""

CELLS, LEAST_ITEMS = 20_000, 200
"""Probabilities that a temperature is fitted to, of so many items at least: among twenty there may
be no wrong label, and the sharpest predictions would look best."""

NEARLY_CLEAN = 0.002
"""Even noise assumed where temperature alone is fitted: one slip costs no more than log 0.002."""


def fitted_temperature(sample: Sample) -> float:
    """The t at which p^(1/t) makes the given labels likeliest, all of them taken as right."""
    part = _fitted(sample)
    return search(lambda t: part.even_level(part.own(t), NEARLY_CLEAN), *TEMPERATURES)


def base_shift(sample: Sample) -> np.ndarray | None:
    """What is added to log p (n, K) before a temperature below 1: float32 (K,), mean 0.

    With b the mean prediction, p^(1/t) b^(1 - 1/t) sharpens the evidence p / b alone; t is that of
    the likeliest given labels, and the shift is (t - 1) log b. None where predictions are not too
    unsure.
    """
    if sample.temperature >= 1:
        return None
    base = sample.p.mean(axis=0, dtype=float)
    logs = np.log(base)
    logs -= logs.mean()
    part = _fitted(sample)
    evidence = np.log(part.p) - logs.astype(np.float32)
    evidence -= evidence.max(axis=1, keepdims=True)

    def own(t: float) -> np.ndarray:
        z = part.at(t, evidence) * base.astype(np.float32)
        return z[part.rows, part.labels] / z.sum(axis=1)

    t = search(lambda t: part.even_level(own(t), NEARLY_CLEAN), TEMPERATURES[0], 1.0)
    return ((t - 1) * logs).astype(np.float32)


def _fitted(sample: Sample) -> Sample:
    """The items that a temperature is fitted to."""
    return sample.about(max(LEAST_ITEMS, CELLS // sample.n_classes))


def search(score: Callable[[float], float], low: float, high: float, tolerance: float = 0.05):
    """The value in low..high where `score` is largest: golden section on its logarithm."""
    ratio = (np.sqrt(5) - 1) / 2
    a, b = np.log(low), np.log(high)
    x, y = b - ratio * (b - a), a + ratio * (b - a)
    at_x, at_y = score(float(np.exp(x))), score(float(np.exp(y)))
    while b - a > tolerance:
        if at_x < at_y:
            a, x, at_x = x, y, at_y
            y = a + ratio * (b - a)
            at_y = score(float(np.exp(y)))
        else:
            b, y, at_y = y, x, at_x
            x = b - ratio * (b - a)
            at_x = score(float(np.exp(x)))
    return float(np.exp((a + b) / 2))
