"""What explanations make of the items that a noise model is fitted to, each thing computed once.

Weights, rates, counts and the likelihood all need p(k | x) and p(given | x) under an explanation.
The sample remembers them (`Sample.remembered`).
"""

from __future__ import annotations

import numpy as np

from softfold.noise.classwise import unmixed_logs
from softfold.noise.model import HEAT, Explanation, heat
from softfold.noise.sample import Sample


def view(sample: Sample, explanation: Explanation) -> np.ndarray:
    """p(k | x) as the explanation takes it: float32 (n, K)."""
    transition, temperature = explanation.transition, explanation.temperature
    if not explanation.unmix:
        return sample.sharpened(temperature)
    key = ("view", id(transition), temperature)
    made = lambda: (sample.at(temperature, unmixed_logs(sample, transition)), transition)  # noqa: E731
    return sample.remembered(key, made)[0]


def seen(sample: Sample, explanation: Explanation) -> np.ndarray:
    """p(given | x) under the explanation's T: float32 (n,)."""
    transition = explanation.transition
    key = ("seen", id(transition), explanation.temperature, explanation.unmix)
    return sample.remembered(key, lambda: (_seen(sample, explanation), transition))[0]


def _seen(sample: Sample, explanation: Explanation) -> np.ndarray:
    v = view(sample, explanation)
    if explanation.even is None:
        return np.einsum("ij,ij->i", v, explanation.columns(sample.block))
    right, wrong = explanation.even
    return sample.block.given(v) * np.float32(right - wrong) + np.float32(wrong)


def level(sample: Sample, explanation: Explanation) -> float:
    """Mean of log p(given | x), in nats."""
    return float(np.log(seen(sample, explanation)).mean(dtype=float))


def wrong(sample: Sample, explanation: Explanation, step: int = 1) -> np.ndarray:
    """P(given label is wrong) of every item, or of every so many: float64 (n / step,)."""
    if explanation.offset is not None:
        odds = np.float32(explanation.offset) + np.float32(HEAT) * heats(sample)[::step]
        return 1 / (1 + np.exp(-odds.astype(float)))
    labels, given = sample.labels[::step], seen(sample, explanation)[::step]
    own = sample.block.given(view(sample, explanation))[::step]
    right = own * np.diag(explanation.transition).astype(np.float32)[labels]
    return 1 - np.minimum(right, given) / given.astype(float)


def truth(sample: Sample, explanation: Explanation, weight: float = 1.0) -> np.ndarray:
    """q(k | x, given) times weight: float32 (n, K), a new array."""
    if explanation.offset is not None:
        return explanation.read_block(sample.block, weight)[0]
    v = view(sample, explanation).copy(order="K")
    return explanation.weigh(sample.block, v, weight)[0]


def heats(sample: Sample) -> np.ndarray:
    """`heat` of each item (n,), by predictions at the temperature of the given labels."""
    return sample.remembered(
        "heat",
        lambda: heat(sample.labels, sample.logs * np.float32(1 / sample.temperature)),
    )
