"""The explanation "no_class": some items belong to no class, whatever label they were given."""

from __future__ import annotations

import numpy as np

from softfold.noise.explanation import HEAT, Explanation
from softfold.noise.matrices import symmetric
from softfold.noise.readings import heats
from softfold.noise.sample import Sample

SHARE = 0.5
"""How many of the contradicted labels it takes for such items: half of them, not knowing better."""

FARTHEST = 60.0


def no_class(sample: Sample) -> Explanation:
    """P(no class) is a logistic function of `heat`; half as many such items as contradictions."""
    hot = np.float32(-HEAT) * heats(sample)
    wanted = SHARE * sample.disagreement
    low, high = -FARTHEST, FARTHEST
    while high - low > 1e-3:
        middle = (low + high) / 2
        cold = np.exp(np.minimum(hot - np.float32(middle), np.float32(80)))  # beyond, it overflows
        if (1 / (1 + cold)).mean(dtype=float) < wanted:
            low = middle
        else:
            high = middle
    transition = symmetric(sample.n_classes, max(wanted, 1e-6))
    return Explanation("no_class", transition, sample.temperature, offset=low)
