"""What explanations make of the items that a noise model is fitted to, each thing computed once.

Weights, rates and the likelihood need a few numbers of each item under an explanation. The sample
remembers those (`Sample.remembered`), but no matrix that is soon made again: it is made of some
rows at a time, which caches hold.
"""

from __future__ import annotations

import numpy as np

from softfold.arrays import each_block
from softfold.noise.block import powers
from softfold.noise.classwise import unmixed_logs
from softfold.noise.explanation import HEAT, Explanation, heat
from softfold.noise.sample import Sample

ALL = slice(None)


def likeness(sample: Sample, explanation: Explanation, rows: slice = ALL) -> np.ndarray:
    """p(k | x) as the explanation takes it, up to a factor a row: float32 (n, K), a new array."""
    logs, transition = sample.logs, explanation.transition
    if explanation.unmix:
        made = lambda: (unmixed_logs(sample, transition), transition)  # noqa: E731
        logs = sample.remembered(("unmixed", id(transition)), made)[0]
    return powers(logs[rows], explanation.temperature)


def chances(sample: Sample, explanation: Explanation) -> tuple[np.ndarray, np.ndarray]:
    """p(y | x) of the given label y being the truth, and of its being given: float32 (n,) each."""
    transition = explanation.transition
    key = ("chances", id(transition), explanation.temperature, explanation.unmix)
    return sample.remembered(key, lambda: (_chances(sample, explanation), transition))[0]


def _chances(sample: Sample, explanation: Explanation) -> tuple[np.ndarray, np.ndarray]:
    own, given = np.empty((2, len(sample)), np.float32)

    def work(rows: slice) -> None:
        block, z = sample.part(rows), likeness(sample, explanation, rows)
        total = np.einsum("ij->i", z)
        own[rows] = block.given(z) / total
        if explanation.even is None:
            given[rows] = np.einsum("ij,ij->i", z, explanation.columns(block)) / total
        else:
            right, wrong = explanation.even
            given[rows] = own[rows] * np.float32(right - wrong) + np.float32(wrong)

    each_block(work, *sample.p.shape)
    return own, given


def level(sample: Sample, explanation: Explanation) -> float:
    """Mean of log p(given | x), in nats."""
    _, given = chances(sample, explanation)
    return float(np.log(np.maximum(given, np.float32(1e-30))).mean(dtype=float))


def wrong(sample: Sample, explanation: Explanation, step: int = 1) -> np.ndarray:
    """P(given label is wrong) of every item, or of every so many: float64 (n / step,)."""
    if explanation.offset is not None:
        odds = np.float32(explanation.offset) + np.float32(HEAT) * heats(sample)[::step]
        return 1 / (1 + np.exp(-odds.astype(float)))
    own, given = (part[::step] for part in chances(sample, explanation))
    right = own * np.diag(explanation.transition).astype(np.float32)[sample.labels[::step]]
    given = np.maximum(given, np.float32(1e-30))
    return 1 - np.minimum(right, given) / given.astype(float)


def truth(
    sample: Sample, explanation: Explanation, weight: float = 1.0, rows: slice = ALL
) -> np.ndarray:
    """q(k | x, given) times weight: float32 (n, K), a new array."""
    if explanation.offset is not None:
        return explanation.read_block(sample.part(rows), weight)[0]
    z = likeness(sample, explanation, rows)
    return explanation.weigh(sample.part(rows), z[None], np.array([weight]))[0]


def heats(sample: Sample) -> np.ndarray:
    """`heat` of each item (n,), by predictions at the temperature of the given labels."""
    return sample.remembered("heat", lambda: _heats(sample))


def _heats(sample: Sample) -> np.ndarray:
    hot, sharper = np.empty(len(sample), np.float32), np.float32(1 / sample.temperature)

    def work(rows: slice) -> None:
        hot[rows] = heat(sample.labels[rows], sample.logs[rows] * sharper)

    each_block(work, *sample.p.shape)
    return hot
