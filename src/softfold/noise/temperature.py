"""The temperature of predictions: how much surer or less sure than they say they should be read.

p^(1/t), normalised, is flatter than p where t is above 1 and sharper where it is below (Guo et al.
2017, "On calibration of modern neural networks").
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
    part = sample.about(max(LEAST_ITEMS, CELLS // sample.n_classes))
    return search(lambda t: part.even_level(part.own(t), NEARLY_CLEAN), *TEMPERATURES)


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
