"""The noise model: which class is labelled as which, estimated without any truth.

The given label y of an item of true class k is l with probability T[k, l]. With p(k | x) from
out-of-fold predictions, p(y | x) = sum_k p(k | x) T[k, y], and EM finds the T that makes the
given labels likeliest. `docs/method.md` has the equations and the limits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from softfold.arrays import check_both
from softfold.errors import InputError
from softfold.evidence import (
    EXACT_CLASSES,
    FLOOR,
    Evidence,
    Expected,
    confident_joint,
    expect,
    gather,
    log_likelihood,
    maximise,
    symmetric,
    through,
    unmix,
)

CLEAN_RATE = 1e-3
"""The noise rate that is assumed where nothing shows noise; it keeps suspicions in order."""

SHRINKAGES = (np.inf, 300.0, 30.0, 3.0)
"""Items' worth of even noise that each row of T is drawn to; the likelihood chooses."""

START_RATES = (0.01, 0.03, 0.08, 0.15, 0.22, 0.3, 0.4, 0.5, 0.6, 0.7)
START_TEMPERATURES = (0.15, 0.25, 0.4, 0.63, 1.0, 1.6, 2.5, 4.0)
TEMPERATURES = (0.1, 10.0)
UNMIX_TURNS = 8
SAMPLE = 50_000
"""Items on which temperature, start and shrinkage are chosen; T itself uses all."""


@dataclass(frozen=True)
class NoiseModel:
    """How given labels come from true classes.

    transition:     float64 (K, K), T[truth, given], rows sum to 1
    prior:          float64 (K,), share of each true class
    rate:           share of given labels that are wrong, 0..1
    rate_interval:  its 95% interval by bootstrap over items; the predictions are taken as they
                    are, so it knows nothing of their bias
    temperature:    p(k | x) is proportional to prediction**(1 / temperature)
    unmix:          predictions are of the given label: unmixed through T first, they are p(k | x)
    clean:          nothing shows noise: T explains the given labels no better than (almost) none
    joint:          float64 (K, K), expected items by truth and given label
    log_likelihood: mean over items of log p(given | x)
    """

    transition: np.ndarray
    prior: np.ndarray
    rate: float
    rate_interval: tuple[float, float]
    temperature: float
    clean: bool
    joint: np.ndarray
    log_likelihood: float
    unmix: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them."""
        return {
            "transition": np.round(self.transition, 7).tolist(),
            "prior": np.round(self.prior, 7).tolist(),
            "rate": self.rate,
            "rate_interval": list(self.rate_interval),
            "temperature": self.temperature,
            "clean": self.clean,
            "joint": np.round(self.joint, 3).tolist(),
            "log_likelihood": self.log_likelihood,
            "unmix": self.unmix,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any] | str) -> NoiseModel:
        """What `to_json` gave, as a dict or as text."""
        if isinstance(fields, str):
            fields = json.loads(fields)
        return cls(
            transition=np.asarray(fields["transition"], float),
            prior=np.asarray(fields["prior"], float),
            rate=float(fields["rate"]),
            rate_interval=(float(fields["rate_interval"][0]), float(fields["rate_interval"][1])),
            temperature=float(fields["temperature"]),
            clean=bool(fields["clean"]),
            joint=np.asarray(fields["joint"], float),
            log_likelihood=float(fields["log_likelihood"]),
            unmix=bool(fields.get("unmix", False)),
        )


def as_noise_model(transition: np.ndarray, n_classes: int, prior: Any = None) -> NoiseModel:
    """A NoiseModel with a known transition matrix (K, K), rows truth, columns given."""
    transition = np.asarray(transition, dtype=float)
    if transition.shape != (n_classes, n_classes):
        raise InputError(
            f"noise: expected a transition matrix ({n_classes}, {n_classes}), got shape "
            f"{transition.shape}"
        )
    wrong = ~(np.abs(transition.sum(axis=1) - 1) < 1e-3) | ~(transition >= 0).all(axis=1)
    if wrong.any():
        raise InputError(
            f"noise: {wrong.sum()} rows of the transition matrix are no probabilities (rows are "
            f"the truth and sum to 1); the first is row {int(np.argmax(wrong))}"
        )
    prior = np.full(n_classes, 1 / n_classes) if prior is None else np.asarray(prior, float)
    joint = prior[:, None] * transition
    rate = float(1 - np.trace(joint))
    return NoiseModel(transition, prior, rate, (rate, rate), 1.0, False, joint, float("nan"))


def posterior(labels: np.ndarray, probabilities: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """q(k) proportional to p(k | x) T[k, given]: float32 (n, K), for a block of rows."""
    p = np.maximum(np.asarray(probabilities, np.float32), FLOOR)
    logs = np.log(np.maximum(unmix(p, noise.transition), FLOOR) if noise.unmix else p)
    logs *= np.float32(1 / noise.temperature)
    logs -= logs.max(axis=1, keepdims=True)
    q = np.exp(logs, out=logs)
    q *= np.maximum(noise.transition, 1e-12).T.astype(np.float32)[labels]
    q /= np.maximum(q.sum(axis=1, keepdims=True), 1e-30)
    return q


def estimate_noise(labels: np.ndarray, probabilities: np.ndarray, *, seed: int = 0) -> NoiseModel:
    """The noise model of given labels (N,), int in 0..K-1, and out-of-fold predictions (N, K).

    EM on T (with a temperature for p) from two starts, even noise and the confident joint
    (Northcutt et al. 2021); the likelier is kept. How far rows of T are drawn to even noise is
    chosen by the likelihood of given labels that it was not fitted to. `clean` is set where T
    does not beat almost no noise by more than a standard error. The predictions must be
    out-of-fold; memory maps are read once, in blocks.

    >>> p = np.repeat([[0.98, 0.02], [0.02, 0.98]], 500, axis=0)
    >>> given = np.repeat([0, 1], 500); given[:100] = 1
    >>> estimate_noise(given, p).transition.round(2).tolist()
    [[0.8, 0.2], [0.0, 1.0]]
    """
    labels, probabilities = check_both(labels, probabilities)
    return estimate_from_evidence(gather(labels, probabilities), seed=seed)


def estimate_from_evidence(
    evidence: Evidence, *, seed: int = 0, start: np.ndarray | None = None
) -> NoiseModel:
    """`estimate_noise` on evidence already gathered.

    start: a T that the predictions were trained through; EM begins there alone, and `clean` is
        not asked, since such predictions say nothing of it.
    """
    rng = np.random.default_rng(seed)
    sample, rest = _two_parts(evidence, rng)
    k = evidence.n_classes
    if start is None:
        rate, temperature = _even_start(sample)
        joint = prepared(confident_joint(sample))
        starts = [symmetric(k, rate), joint]
    else:
        temperature = _best_temperature(sample, start, 1.0)
        starts = [start]
    fits = [
        _fit(sample, first, temperature, shrink)
        for shrink in SHRINKAGES
        for first in starts[: 1 if np.isinf(shrink) else None]
    ]
    if start is None and k <= EXACT_CLASSES:
        fits += [_fit_unmixed(sample, joint, shrink) for shrink in SHRINKAGES[1:]]
    best = max(fits, key=lambda fit: fit.score(rest))
    clean = start is None and not _beats_none(rest, best)
    if clean:
        best = _Fit(*almost_none(sample), np.inf, False)
    elif best.unmix:
        best = _fit_unmixed(evidence, best.transition, best.shrink)
    else:
        # The sample may lack classes: T of all items, from where the sample's ended.
        best = _fit(evidence, best.transition, best.temperature, best.shrink)
    shown = best.shown(evidence)
    final = explain(shown, best.transition, best.temperature)
    rate = float(final.suspicion.mean())
    spread = 1.96 * _rate_error(shown, best, rng)
    return NoiseModel(
        transition=best.transition,
        prior=final.counts.sum(axis=1) / max(final.counts.sum(), 1e-30),
        rate=rate,
        rate_interval=(max(0.0, rate - spread), min(1.0, rate + spread)),
        temperature=float(best.temperature),
        clean=clean,
        joint=final.counts,
        log_likelihood=float(final.log_likelihood.mean()),
        unmix=best.unmix,
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


def model_levels(evidence: Evidence, noise: NoiseModel) -> np.ndarray:
    """log p(given | x) of each item (n,) under a noise model."""
    return _Fit(noise.transition, noise.temperature, np.inf, noise.unmix).levels(evidence)


def almost_none(evidence: Evidence) -> tuple[np.ndarray, float]:
    """The T of labels that nothing shows wrong, and the temperature that suits it."""
    transition = symmetric(evidence.n_classes, CLEAN_RATE)
    return transition, _best_temperature(evidence, transition, 1.0)


def _two_parts(evidence: Evidence, rng: np.random.Generator) -> tuple[Evidence, Evidence]:
    """Two disjoint random parts, at most `SAMPLE` items each: one to fit, one to choose by."""
    order = rng.permutation(len(evidence))[: 2 * SAMPLE]
    half = max(1, len(order) // 2)
    return evidence.take(np.sort(order[:half])), evidence.take(np.sort(order[-half:]))


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
    if len(evidence) > SAMPLE:
        evidence = evidence.take(np.linspace(0, len(evidence) - 1, SAMPLE).astype(int))

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
    for rate in START_RATES:
        if rate > 0.9 * (1 - 1 / k):
            break
        taken = through(evidence, symmetric(k, rate))
        for temperature in START_TEMPERATURES:
            score = float(log_likelihood(evidence, temperature, taken).mean())
            best = max(best, (score, rate, temperature))
    return best[1], _best_temperature(evidence, symmetric(k, best[1]), best[2])


def prepared(counts: np.ndarray) -> np.ndarray:
    """Counts as a transition matrix that EM can move: no zeros, and no empty rows."""
    k = len(counts)
    counts = counts + symmetric(k, 0.1) * max(1.0, 0.02 * counts.sum() / k)
    return counts / counts.sum(axis=1, keepdims=True)


def _beats_none(evidence: Evidence, fit: _Fit) -> bool:
    """T beats almost no noise by more than a standard error, on items it did not see."""
    gain = fit.levels(evidence) - _Fit(*almost_none(evidence), np.inf, False).levels(evidence)
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


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
