"""The explanation "surest": the likeliest class is the true one, and noise follows the item.

People err where an item looks like another class, and a model learns to foretell that. Its
probabilities are then right about given labels and too unsure about the truth, and no transition
matrix of classes alone explains the labels better. What is left to go by is the class that it
finds likeliest.
"""

from __future__ import annotations

from softfold.noise.explanation import Explanation
from softfold.noise.matrices import normalised_counts
from softfold.noise.sample import Sample

SHARPER = (0.6, 0.4, 0.25)
"""How much sharper than for the given labels predictions are for the truth: not known, so several.
From 1 (as unsure of the truth as of the labels) to 0 (the likeliest class is certain)."""

SHRINK = 30.0


def surest(sample: Sample) -> list[Explanation]:
    """T[k, l]: share of the label l among the items predicted as k."""
    transition = normalised_counts(sample.predicted_counts(), SHRINK)
    return [Explanation("surest", transition, sample.temperature * f) for f in SHARPER]
