"""The noise model estimated, without any truth or with a few checked items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from softfold.align import align_checked, align_predictions, align_second
from softfold.arrays import each_block
from softfold.errors import InputError
from softfold.noise.audit import FEWEST, audited_rate, reweighed, tilt_into
from softfold.noise.classwise import by_class, even
from softfold.noise.clean import clean
from softfold.noise.explanation import Explanation
from softfold.noise.matrices import normalised_counts
from softfold.noise.model import NoiseModel
from softfold.noise.no_class import no_class
from softfold.noise.readings import level, truth, wrong
from softfold.noise.sample import Sample
from softfold.noise.surest import surest
from softfold.noise.weighing import CLASSWISE, told_apart, weighed
from softfold.noise.witnesses import hear

ITEMS, CELLS, LEAST_ITEMS = 10_000, 2_000_000, 2_000
"""Items that a model is fitted to: no more than the first, and of many classes no more than have
so many probabilities, but never fewer than the last."""

RATE_ITEMS = 5_000
"""Items that the rate of each explanation is the mean of."""

BY_CLASS_CLASSES = 64
"""With more classes, few items would say much of any entry of T: noise by class is left out."""

LEAST_NEWS = 2.0
"""Predictions whose news of the labels is fewer standard errors from none tell nothing."""

ALIVE = 0.15
"""Explanations with so much of the weight of the best bound the interval."""

SLACK = (0.75, 1.1)
"""An explanation that is true in the main misses the rate by so much (on made noise)."""

UNSEEN = 0.07
"""Where labels may all be right, or wrong in ways that a model foresees, so many of the labels that
the predictions agree with may be wrong too."""

JOINT_SHRINK = 1.0


def estimate_noise(
    labels: Any,
    probabilities: Any = None,
    *,
    second: Any = None,
    checked: tuple[Any, Any] | None = None,
    vocab: Iterable[Any] | None = None,
    seed: int = 0,
) -> NoiseModel:
    """How given labels come from true classes, as weighed explanations.

    Predictions of a model that was trained on given labels are predictions of given labels: "right
    labels, unsure model" and "wrong labels, sure model" explain the same data. So several
    explanations are kept, each with a weight, and the interval of the rate spans those that are
    alive. A few items checked at random settle it. docs/method.md has the equations.

    Args:
        labels: given labels, int (N,) in 0..K-1, or names (N,), or a LabelTable (its training part
            is used).
        probabilities: out-of-fold predictions, float (N, K), memory maps stay on disk; or an
            OutOfFold or a data frame (`softfold.align.align_predictions` has the rules).
        second: out-of-fold predictions of another model on the same labels, in any form that
            `probabilities` have: a second witness of how many labels are wrong. It should look at
            items another way (another backbone, other features); of what both models have learned
            by heart it cannot tell. Explanations stay those of `probabilities`.
        checked: (rows, truth) of items that were drawn at random and checked. Rows (m,) are
            integers, in the order of the labels, or item keys where the labels have keys. Truth
            (m,) are class names where these are known, or integers, the number of a class in the
            order of T; -1, None, NaN or "" for none of the classes. Of 30 items and more, rate and
            interval are those of the audit; fewer change nothing.
        vocab: K class names, in the order of an array's columns. T has the classes in the order of
            the table's vocab, else of `vocab`, else of the predictions' columns.
        seed: draws the items that the model is fitted to, of more than 10,000.

    Raises:
        InputError: labels and probabilities that do not belong together; rows checked twice.

    >>> p = np.repeat([[0.98, 0.02], [0.02, 0.98]], 500, axis=0)
    >>> given = np.repeat([0, 1], 500); given[:100] = 1
    >>> round(estimate_noise(given, p).rate, 2)
    0.1
    """
    both = align_predictions(labels, probabilities, vocab)
    other = None if second is None else align_second(labels, probabilities, second, vocab)
    if checked is not None:
        checked = align_checked(checked, both, labels)
    noise = estimate_checked(
        both.labels, both.probabilities, second=other, seed=seed, checked=checked
    )
    return replace(noise, vocab=both.columns)


def estimate_checked(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    second: np.ndarray | None = None,
    seed: int = 0,
    checked: tuple[np.ndarray, np.ndarray] | None = None,
) -> NoiseModel:
    """`estimate_noise` on labels and probabilities that were checked."""
    n, k = probabilities.shape
    some = min(n, max(LEAST_ITEMS, min(ITEMS, CELLS // k)))
    rows = np.arange(n)
    if some < n:
        rows = np.sort(np.random.default_rng(seed).choice(n, some, replace=False))
    sample = Sample.of(labels, probabilities, rows).evened()
    noise = estimate_from_sample(sample)
    if second is not None:
        noise = _witnessed(noise, sample, Sample.of(labels, second, rows).evened())
    if checked is None:
        return noise
    return audited(noise, labels, probabilities, checked)


def estimate_from_sample(sample: Sample) -> NoiseModel:
    """The noise model of these items, to be read with predictions shifted as theirs are."""
    share, news = sample.information()
    explanations, step = [clean(sample)], -(-len(sample) // RATE_ITEMS)
    with ThreadPoolExecutor(2) as beside:
        if news >= LEAST_NEWS:
            few = sample.n_classes <= BY_CLASS_CLASSES
            last = [beside.submit(by_class, sample)] if few else []
            # What weighing will ask for.
            beside.submit(lambda: (sample.foreseen, sample.strength))
            explanations += [no_class(sample), *surest(sample), even(sample)]
            explanations += [found.result() for found in last]
        rates = list(beside.map(lambda e: float(wrong(sample, e, step).mean()), explanations))
    found = weighed(sample, [replace(e, shift=sample.shift) for e in explanations], rates)
    noise = described(found, sample)
    if news < LEAST_NEWS:
        return replace(noise, rate=float("nan"), rate_interval=(0.0, 1.0), information=0.0)
    return replace(noise, rate_interval=interval(found, sample), information=share)


def described(explanations: tuple[Explanation, ...], sample: Sample) -> NoiseModel:
    """The noise model of weighed explanations: their joint counts, rate and likelihood."""
    k = sample.n_classes
    any_matrix = explanations[0].transition  # stands where the counts of q will be
    draft = NoiseModel(explanations, 0.0, (0.0, 1.0), any_matrix, np.ones(k) / k, joint=any_matrix)
    q, counted = np.empty_like(sample.p), list(zip(draft.counted, draft.shares, strict=True))

    def work(rows: slice) -> None:
        q[rows] = sum(truth(sample, e, share, rows) for e, share in counted)

    each_block(work, *q.shape)
    joint = sample.tally(q)
    rate = max(0.0, float(1 - q[sample.rows, sample.labels].mean(dtype=float)))
    return replace(
        draft,
        rate=rate,
        rate_interval=(rate, rate),
        transition=normalised_counts(joint, JOINT_SHRINK),
        prior=joint.sum(axis=1) / max(joint.sum(), 1e-30),
        joint=joint,
        log_likelihood=level(sample, draft.best),
    )


def interval(explanations: Sequence[Explanation], sample: Sample) -> tuple[float, float]:
    """From the cleanest to the noisiest explanation that is alive, with sampling error on top."""
    most = max(e.weight for e in explanations)
    rates = [e.rate for e in explanations if e.weight >= ALIVE * most]
    low, high = SLACK[0] * min(rates), SLACK[1] * max(rates)
    doubt = sum(e.weight for e in explanations if e.name in ("clean", "no_class"))
    if doubt >= ALIVE * (1 - doubt):
        low, high = 0.0, max(high, sample.disagreement + UNSEEN * (1 - sample.disagreement))
    n = len(sample)
    low -= 1.96 * np.sqrt(low * (1 - low) / n)
    high += 1.96 * np.sqrt(max(high * (1 - high), 1 / n) / n)
    return max(0.0, float(low)), min(1.0, float(high))


def _witnessed(noise: NoiseModel, sample: Sample, second: Sample) -> NoiseModel:
    """The noise model after a second model's predictions of the same items were heard.

    They say what noise that is not by class comes to. `surest` and the explanations of right labels
    are weighed so that together they say the same; the weight of noise by class stays. The interval
    is widened to hold the new rate. What is less certain than what was open is not heard.
    """
    told = hear(sample, second) if noise.rate == noise.rate else None
    low, high = noise.rate_interval
    if told is None or 1.96 * told.error > (high - low) / 2:
        return noise
    by_class = noise.weight(*CLASSWISE)
    found = told_apart(noise.explanations, told.rate)
    rate = (1 - by_class) * told.rate
    rate += sum(e.weight * e.rate for e in noise.explanations if e.name in CLASSWISE)
    error = 1.96 * (1 - by_class) * told.error
    low, high = min(low, SLACK[0] * rate - error), max(high, SLACK[1] * rate + error)
    return replace(
        described(found, sample),
        rate=rate,
        rate_interval=(max(0.0, low), min(1.0, high)),
        information=noise.information,
    )


def audited(
    noise: NoiseModel,
    labels: np.ndarray,
    probabilities: np.ndarray,
    checked: tuple[np.ndarray, np.ndarray],
) -> NoiseModel:
    """The noise model after items drawn at random were checked; see `estimate_noise`."""
    from softfold.noise.scoring import score

    rows, truth = checked
    if len(rows) < min(FEWEST, len(labels)):
        return noise
    found = reweighed(noise.explanations, labels[rows], probabilities[rows], truth)
    noise = replace(noise, explanations=found, tilt=0.0)
    suspicion = score(labels, probabilities, noise).suspicion
    rate, low, high = audited_rate(suspicion, rows, truth != labels[rows])
    tilt = tilt_into(suspicion, low, high)
    return replace(noise, rate=rate, rate_interval=(low, high), audited=len(rows), tilt=tilt)


def check_second(second: Any, noise: Any) -> None:
    """A second model's predictions help to estimate noise. Raises InputError where it is given."""
    if second is not None and noise is not None:
        raise InputError("second has no use beside noise: give it to estimate_noise, or leave one")
