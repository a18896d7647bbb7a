"""The explanation "clean": the given labels are right, and the model is unsure."""

from __future__ import annotations

from softfold.noise.explanation import Explanation
from softfold.noise.matrices import symmetric
from softfold.noise.sample import Sample

CLEAN_RATE = 0.005
"""The noise rate that is assumed even so; it keeps suspicions in order."""


def clean(sample: Sample) -> Explanation:
    """T nearly the identity, at the temperature that makes given labels likeliest."""
    return Explanation("clean", symmetric(sample.n_classes, CLEAN_RATE), sample.temperature)
