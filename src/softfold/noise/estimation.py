"""The noise model: which class is labelled as which, estimated without any truth.

The given label y of an item of true class k is l with probability T[k, l]. With p(k | x) from
out-of-fold predictions, p(y | x) = sum_k p(k | x) T[k, y], and EM finds the T that makes the
given labels likeliest. `docs/method.md` has the equations and the limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np

from softfold.align import align_predictions
from softfold.arrays import each_block
from softfold.noise.evidence import (
    EXACT_CLASSES,
    Evidence,
    Expected,
    Plateau,
    confident_joint,
    expect,
    gather,
    log_likelihood,
    maximise,
    plateau,
    symmetric,
    through,
)
from softfold.noise.model import FLOOR as FLOOR
from softfold.noise.model import NoiseModel as NoiseModel
from softfold.noise.model import as_noise_model as as_noise_model
from softfold.noise.model import posterior as posterior

CLEAN_RATE = 1e-3
"""The noise rate that is assumed where nothing shows noise; it keeps suspicions in order."""

SHRINKAGES = (np.inf, 300.0, 30.0, 3.0)
"""Items' worth of even noise that each row of T is drawn to; the likelihood chooses."""

START_RATES = (0.01, 0.03, 0.08, 0.15, 0.22, 0.3, 0.4, 0.5, 0.6, 0.7)
START_TEMPERATURES = (0.15, 0.25, 0.4, 0.63, 1.0, 1.6, 2.5, 4.0)
TEMPERATURES = (0.1, 10.0)
UNMIX_TURNS = 8
ANCHOR_SHRINK = 30.0
"""The shrinkage of the T that a plateau shows."""

SAMPLE = 50_000
"""Items on which temperature, start and shrinkage are chosen."""

QUICK_SAMPLE, QUICK_TURNS, QUICK_SHRINK = 5_000, 3, 30.0
"""Above `EXACT_CLASSES` classes: items to choose by, EM steps at a time, and shrinkage to begin."""

STEP_SAMPLE = 250_000
"""Of a table too large to fit T on whole, the items that take part in a last EM step."""

STEP_CELLS = 10_000_000
"""And of many classes no more items than have so many probabilities."""

LEAST_COUNTED = 0.01
"""Smaller parts of an item are spread as the prior has it."""


def estimate_noise(
    labels: Any,
    probabilities: Any = None,
    *,
    vocab: Iterable[Any] | None = None,
    seed: int = 0,
) -> NoiseModel:
    """The noise model of given labels (N,), int in 0..K-1, and out-of-fold predictions (N, K).

    Labels may be names or a LabelTable (its training part is used), predictions an OutOfFold or
    a data frame; `vocab` has the K class names in the order of an array's columns
    (`softfold.align.align_predictions` has the rules). T has the classes in the order of the
    table's vocab, else of `vocab`, else of the predictions' columns.

    EM on T (with a temperature for p) from two starts, even noise and the confident joint
    (Northcutt et al. 2021); the likelier is kept. How far rows of T are drawn to even noise is
    chosen by the likelihood of given labels that it was not fitted to. Where even the surest
    predictions disagree with their labels (a `plateau`) and T does not explain that, it is what
    those labels show. `clean` is set where there is no plateau and T does not beat almost no
    noise by more than a standard error. Of more than 100,000 items (10,000 above 64 classes) so
    many are drawn for that, and up to 250,000 (10,000 with 1,000 classes) for one more EM step.
    The predictions must be out-of-fold; memory maps are read in blocks.

    >>> p = np.repeat([[0.98, 0.02], [0.02, 0.98]], 500, axis=0)
    >>> given = np.repeat([0, 1], 500); given[:100] = 1
    >>> estimate_noise(given, p).transition.round(2).tolist()
    [[0.8, 0.2], [0.0, 1.0]]
    """
    both = align_predictions(labels, probabilities, vocab)
    return estimate_checked(both.labels, both.probabilities, seed=seed)


def estimate_checked(labels: np.ndarray, probabilities: np.ndarray, *, seed: int = 0) -> NoiseModel:
    """`estimate_noise` on labels and probabilities that were checked."""
    n, k = probabilities.shape
    exact = k <= EXACT_CLASSES
    most = 2 * (SAMPLE if exact else QUICK_SAMPLE)
    if n <= most:
        return estimate_from_evidence(gather(labels, probabilities), seed=seed)
    rng = np.random.default_rng(seed)
    evidence = gather(labels, probabilities, np.sort(rng.choice(n, most, replace=False)))
    best, clean = _choose(evidence, rng, settle=exact)
    noise = _described(evidence, best, clean, rng)
    some = min(n, STEP_SAMPLE, max(most, STEP_CELLS // k))
    rows = np.sort(rng.choice(n, some, replace=False))
    return _step_on_more(labels, probabilities, rows, noise, best.shrink)


def estimate_from_evidence(
    evidence: Evidence,
    *,
    seed: int = 0,
    start: np.ndarray | None = None,
    fixed: bool = False,
) -> NoiseModel:
    """`estimate_noise` on evidence already gathered.

    start: a T that the predictions were trained through; EM begins there alone, and `clean` is
        not asked, since such predictions say nothing of it.
    fixed: it stays as it is, and temperature alone is fitted.
    """
    rng = np.random.default_rng(seed)
    if fixed:
        best, clean = _Fit(start, _best_temperature(evidence, start, 1.0), np.inf, False), False
    else:
        best, clean = _choose(evidence, rng, start)
    return _described(evidence, best, clean, rng)


def _choose(
    evidence: Evidence,
    rng: np.random.Generator,
    start: np.ndarray | None = None,
    settle: bool = True,
) -> tuple[_Fit, bool]:
    """The likeliest way to explain given labels, and whether to call them clean.

    settle: fit it to all evidence at the end; else it is that of the part that fits were made on.
    """
    sample, rest = _two_parts(evidence, rng)
    k = evidence.n_classes
    exact = k <= EXACT_CLASSES
    if start is None:
        rate, temperature = _even_start(sample)
        joint = prepared(confident_joint(sample))
        starts = [symmetric(k, rate), joint]
    else:
        temperature = _best_temperature(sample, start, 1.0)
        starts = [start]
    if exact:
        fits = [
            _fit(sample, first, temperature, shrink)
            for shrink in SHRINKAGES
            for first in starts[: 1 if np.isinf(shrink) else None]
        ]
        if start is None:
            fits += [_fit_unmixed(sample, joint, shrink) for shrink in SHRINKAGES[1:]]
    else:
        # The grid has made the rate of even noise its best already.
        fits = [_Fit(starts[0], temperature, np.inf, False)]
        if start is not None:
            fits = _quick_fits(sample, start, temperature, np.inf)
        fits += _quick_fits(sample, starts[-1], temperature)
    best = max(fits, key=lambda fit: fit.score(rest))
    flat = plateau(evidence) if start is None else None
    if flat and best.rate(sample) < flat.least:
        return _explaining(evidence, flat), False
    if start is None and not flat and not _beats_none(rest, best):
        return _Fit(*almost_none(sample), np.inf, False), True
    if best.unmix:
        return _fit_unmixed(evidence, best.transition, best.shrink), False
    # The sample may lack classes: T of all items, from where the sample's ended.
    if exact:
        return _fit(evidence, best.transition, best.temperature, best.shrink), False
    temperature = _best_temperature(rest, best.transition, best.temperature)
    if not settle:
        return replace(best, temperature=temperature), False
    return _quick_fits(evidence, best.transition, temperature, best.shrink)[0], False


def _described(evidence: Evidence, best: _Fit, clean: bool, rng: np.random.Generator) -> NoiseModel:
    """The noise model of a fit."""
    shown = best.shown(evidence)
    final = explain(shown, best.transition, best.temperature)
    rate = float(final.suspicion.mean())
    if evidence.n_classes <= EXACT_CLASSES:
        error = _rate_error(shown, best, rng)
    else:
        error = _quick_error(final.suspicion)
    return NoiseModel(
        transition=best.transition,
        prior=final.counts.sum(axis=1) / max(final.counts.sum(), 1e-30),
        rate=rate,
        rate_interval=_interval(rate, error),
        temperature=float(best.temperature),
        clean=clean,
        joint=final.counts,
        log_likelihood=float(final.log_likelihood.mean()),
        unmix=best.unmix,
    )


def _step_on_more(
    labels: np.ndarray,
    probabilities: np.ndarray,
    rows: np.ndarray,
    noise: NoiseModel,
    shrink: float,
) -> NoiseModel:
    """A noise model after one EM step on these rows (n,)."""
    labels = labels[rows]
    n, k = len(rows), probabilities.shape[1]
    counts, suspicion, lock = np.zeros(k * k), np.empty(n, np.float32), Lock()

    def work(part: slice) -> None:
        y = labels[part]
        q = posterior(y, probabilities[rows[part]], noise)
        q[np.arange(len(y)), y] = 0
        suspicion[part] = np.einsum("ij->i", q)
        found = np.flatnonzero(q > LEAST_COUNTED)
        row, truth = np.divmod(found, k)
        cells, parts = truth * k + y[row], q.ravel()[found].astype(float)
        with lock:
            np.add.at(counts, cells, parts)

    each_block(work, n, k)
    joint = counts.reshape(k, k)
    given = np.bincount(labels, minlength=k)
    wrong = np.bincount(labels, weights=suspicion, minlength=k)
    left = np.maximum(wrong - joint.sum(axis=0), 0)
    joint += noise.prior[:, None] * (left / np.maximum(1 - noise.prior, 1e-9))
    np.fill_diagonal(joint, given - wrong)
    rate = float(suspicion.mean(dtype=float))
    return replace(
        noise,
        transition=noise.transition if noise.clean else maximise(joint, shrink),
        prior=joint.sum(axis=1) / joint.sum(),
        rate=rate,
        rate_interval=_interval(rate, _quick_error(suspicion)),
        joint=joint,
    )


@dataclass(frozen=True)
class _Fit:
    """One way to explain given labels."""

    transition: np.ndarray
    temperature: float
    shrink: float
    unmix: bool

    def shown(self, evidence: Evidence) -> Evidence:
        """The evidence with p(k | x) as this fit takes it, before its temperature."""
        return evidence.unmixed(self.transition) if self.unmix else evidence

    def levels(self, evidence: Evidence) -> np.ndarray:
        """log p(given | x) of each item (n,)."""
        shown = self.shown(evidence)
        return log_likelihood(shown, self.temperature, through(shown, self.transition))

    def score(self, evidence: Evidence) -> float:
        return float(self.levels(evidence).mean())

    def rate(self, evidence: Evidence) -> float:
        """Share of given labels that are wrong by this fit."""
        shown = self.shown(evidence)
        return float(explain(shown, self.transition, self.temperature).suspicion.mean())


def model_levels(evidence: Evidence, noise: NoiseModel) -> np.ndarray:
    """log p(given | x) of each item (n,) under a noise model."""
    return _Fit(noise.transition, noise.temperature, np.inf, noise.unmix).levels(evidence)


def anchored(flat: Plateau) -> np.ndarray:
    """T (K, K) as the surer half of the predictions shows it, one class's labels at a time."""
    return maximise(flat.counts, ANCHOR_SHRINK)


def _explaining(evidence: Evidence, flat: Plateau) -> _Fit:
    """T as the plateau shows it, and predictions as sure as its share of wrong labels needs."""
    transition = anchored(flat)
    low, high = np.log(TEMPERATURES[0]), 0.0
    while high - low > 0.03:
        middle = (low + high) / 2
        if _Fit(transition, np.exp(middle), np.inf, False).rate(evidence) < flat.share:
            high = middle
        else:
            low = middle
    return _Fit(transition, float(np.exp(low)), np.inf, False)


def almost_none(evidence: Evidence) -> tuple[np.ndarray, float]:
    """The T of labels that nothing shows wrong, and the temperature that suits it."""
    transition = symmetric(evidence.n_classes, CLEAN_RATE)
    return transition, _best_temperature(evidence, transition, 1.0)


def _two_parts(evidence: Evidence, rng: np.random.Generator) -> tuple[Evidence, Evidence]:
    """Two disjoint random parts, of at most `_enough` items: one to fit, one to choose by."""
    order = rng.permutation(len(evidence))[: 2 * _enough(evidence)]
    half = max(1, len(order) // 2)
    return evidence.take(np.sort(order[:half])), evidence.take(np.sort(order[-half:]))


def _enough(evidence: Evidence) -> int:
    """Items that temperature, start and shrinkage are chosen by."""
    return SAMPLE if evidence.n_classes <= EXACT_CLASSES else QUICK_SAMPLE


def explain(evidence: Evidence, transition: np.ndarray, temperature: float) -> Expected:
    """One E-step at this temperature: expected counts, log likelihoods, suspicions."""
    return expect(evidence, *evidence.at(temperature), transition)


def _fit(
    evidence: Evidence,
    transition: np.ndarray,
    temperature: float,
    shrink: float,
    iterations: int = 60,
) -> _Fit:
    """EM on T, and the temperature that suits it, in turns."""
    before = -np.inf
    p = evidence.at(temperature)
    for i in range(iterations):
        step = expect(evidence, *p, transition)
        transition = maximise(step.counts, shrink)
        score = float(step.log_likelihood.mean())
        settled = score - before < 1e-5
        before = score
        if settled or i % 8 == 4:
            new = _best_temperature(evidence, transition, temperature)
            change = np.log(new / temperature)
            if settled and abs(change) < 0.05:
                break
            # T and temperature trade off, so that turns creep: go further than asked.
            temperature = float(np.clip(temperature * np.exp(1.5 * change), *TEMPERATURES))
            p = evidence.at(temperature)
    return _Fit(transition, temperature, shrink, False)


def _quick_fits(
    evidence: Evidence, transition: np.ndarray, temperature: float, shrink: float | None = None
) -> list[_Fit]:
    """A few EM steps on T alone; a fit of this shrinkage, or of each that they can end with."""
    p = evidence.at(temperature)
    for _ in range(QUICK_TURNS):
        counts = expect(evidence, *p, transition).counts
        transition = maximise(counts, shrink or QUICK_SHRINK)
    ends = SHRINKAGES[1:] if shrink is None else (shrink,)
    return [_Fit(maximise(counts, end), temperature, end, False) for end in ends]


def _fit_unmixed(evidence: Evidence, transition: np.ndarray, shrink: float) -> _Fit:
    """The same for predictions of given labels: they are unmixed through each new T.

    A model of given labels has the noise in it, and a temperature takes out no more than even
    noise. The likeliest of `UNMIX_TURNS` is kept.
    """
    temperature, best = 1.0, None
    for _ in range(UNMIX_TURNS):
        shown = evidence.unmixed(transition)
        temperature = _best_temperature(shown, transition, temperature)
        p = shown.at(temperature)
        step = expect(shown, *p, transition)
        score = float(step.log_likelihood.mean())
        if best is None or score > best[0]:
            best = (score, _Fit(transition, temperature, shrink, True))
        for _ in range(3):
            transition = maximise(step.counts, shrink)
            step = expect(shown, *p, transition)
    return best[1]


def _best_temperature(evidence: Evidence, transition: np.ndarray, near: float) -> float:
    """Maximises the likelihood of given labels through T: golden section on log temperature."""
    if len(evidence) > (enough := _enough(evidence)):
        evidence = evidence.take(np.linspace(0, len(evidence) - 1, enough).astype(int))

    taken = through(evidence, transition)

    def loss(log_t: float) -> float:
        return -float(log_likelihood(evidence, np.exp(log_t), taken).mean())

    low, high = np.log(TEMPERATURES[0]), np.log(TEMPERATURES[1])
    a, b = max(low, np.log(near) - 0.8), min(high, np.log(near) + 0.8)
    ratio = (np.sqrt(5) - 1) / 2
    x, y = b - ratio * (b - a), a + ratio * (b - a)
    fx, fy = loss(x), loss(y)
    while b - a > 0.03:
        if fx < fy:
            b, y, fy = y, x, fx
            x = b - ratio * (b - a)
            fx = loss(x)
        else:
            a, x, fx = x, y, fy
            y = a + ratio * (b - a)
            fy = loss(y)
    return float(np.exp((a + b) / 2))


def _even_start(evidence: Evidence) -> tuple[float, float]:
    """The likeliest rate of even noise and temperature, on a grid: the surface has two tops where
    noise and unsure predictions explain the same labels.
    """
    k = evidence.n_classes
    best = (-np.inf, CLEAN_RATE, 1.0)
    for temperature in START_TEMPERATURES:
        own = evidence.at(temperature)[0][evidence.own].astype(float)
        for rate in START_RATES:
            if rate > 0.9 * (1 - 1 / k):
                break
            # Even noise: p(given | x) follows from p of the given label alone.
            score = float(np.log(own * (1 - rate) + (1 - own) * rate / (k - 1)).mean())
            best = max(best, (score, rate, temperature))
    return best[1], _best_temperature(evidence, symmetric(k, best[1]), best[2])


def prepared(counts: np.ndarray) -> np.ndarray:
    """Counts as a transition matrix that EM can move: no zeros, and no empty rows."""
    k = len(counts)
    counts = symmetric(k, 0.1) * max(1.0, 0.02 * counts.sum() / k) + counts
    counts /= counts.sum(axis=1, keepdims=True)
    return counts


def _beats_none(evidence: Evidence, fit: _Fit) -> bool:
    """T beats almost no noise by more than a standard error, on items it did not see."""
    gain = fit.levels(evidence) - _Fit(*almost_none(evidence), np.inf, False).levels(evidence)
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def _interval(rate: float, error: float) -> tuple[float, float]:
    return max(0.0, rate - 1.96 * error), min(1.0, rate + 1.96 * error)


def _quick_error(suspicion: np.ndarray) -> float:
    """Standard error of the noise rate by its Fisher information, the rest of T as it is."""
    rate = float(suspicion.mean(dtype=float))
    spread = max(float(suspicion.std(dtype=float)), 1e-9)
    return rate * (1 - rate) / (spread * np.sqrt(len(suspicion)))


def _rate_error(
    evidence: Evidence, fit: _Fit, rng: np.random.Generator, replicates: int = 20
) -> float:
    """Standard error of the noise rate: items drawn again, EM going on from T."""
    n = len(evidence)
    if n > SAMPLE:
        evidence = evidence.take(np.sort(rng.choice(n, SAMPLE, replace=False)))
    p = evidence.at(fit.temperature)
    rates = []
    for _ in range(replicates):
        weights = rng.multinomial(len(evidence), np.full(len(evidence), 1 / len(evidence)))
        weights = weights.astype(np.float32)
        current = fit.transition
        for _ in range(3):
            step = expect(evidence, *p, current, weights)
            current = maximise(step.counts, fit.shrink)
        rates.append(1 - np.trace(step.counts) / step.counts.sum())
    return float(np.std(rates, ddof=1) * np.sqrt(len(evidence) / n))
