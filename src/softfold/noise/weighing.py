"""How much each explanation is believed.

All explanations are wrong in part, so the likelihood of thousands of items would choose one of them
with a certainty that none deserves. Two things are weighed instead:

1. How far predictions foresee the labels that contradict them (`Sample.foreseen`). Each
   explanation says what to expect of that, and this decides alone between labels that are right
   and labels whose mistakes follow the item: their likelihoods say nothing of it.
2. For noise by class, which does say how likely the given labels are, also their likelihood,
   counted as that of `ITEMS` items (a coarsened posterior: Miller and Dunson 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from softfold.noise.explanation import Explanation
from softfold.noise.readings import level, likeness
from softfold.noise.sample import Sample

ITEMS = 100.0
"""How many items' likelihood counts, at ten classes; their bits where there are more."""

CHANCE = 0.5
"""What is foreseen where the wrong label does not depend on the item."""

STRONG = 0.45
"""Predictions whose surer half agrees with labels so far above chance foresee what they can."""

EXPECTED = {"clean": (0.78, 0.05), "no_class": (0.80, 0.025), "surest": (0.62, 0.08)}
"""How far contradictions are foreseen, mean and standard deviation: of right labels under weak
models, of such with items of no class among them, and of people's mistakes (docs/method.md)."""

CLASSWISE = ("by_class", "even")
CLASSWISE_EXPECTED = (CHANCE, 0.025)

PRIOR = {"clean": 1.0, "no_class": 0.7, "surest": 2.0, "by_class": 0.35, "even": 0.35}

RATE_POWER = 2.0
"""The prior of a noise rate r falls as (1 - r) to this power: most labels are right."""


def weighed(
    sample: Sample, explanations: Sequence[Explanation], rates: Sequence[float]
) -> tuple[Explanation, ...]:
    """The explanations with weights that sum to 1, likeliest first.

    rates: share of wrong labels by each. Explanations of one name share its prior.
    """
    unit = _unit(sample.n_classes)
    levels = np.array([_level(sample, e) for e in explanations])
    names = np.array([e.name for e in explanations])
    best = levels[~np.isin(names, CLASSWISE)].max(initial=-np.inf)
    logs = np.empty(len(explanations))
    for i, (explanation, rate) in enumerate(zip(explanations, rates, strict=True)):
        name = explanation.name
        logs[i] = np.log(PRIOR[name]) + RATE_POWER * np.log(max(1 - rate, 1e-9))
        logs[i] += _expectation(sample, explanation)
        if name in CLASSWISE:
            logs[i] += unit * (levels[i] - best)
        elif name == "surest":
            of_name = unit * (levels[names == name] - levels[i])
            logs[i] -= np.log(np.exp(np.clip(of_name, None, 700.0)).sum())
    return with_weights(explanations, rates, logs)


def with_weights(
    explanations: Sequence[Explanation], rates: Sequence[float], logs: np.ndarray
) -> tuple[Explanation, ...]:
    """Explanations with weights proportional to exp(logs), likeliest first."""
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    return tuple(
        replace(explanations[i], weight=float(weights[i]), rate=float(rates[i])) for i in order
    )


def told_apart(explanations: Sequence[Explanation], rate: float) -> tuple[Explanation, ...]:
    """Explanations of which those that are not of noise by class say `rate` together.

    `surest` gets so much of their weight, and right labels the rest, that their mean rate is as
    near to `rate` as it can be. Within both, and for noise by class, proportions stay.
    """
    groups = (
        [e for e in explanations if e.name == "surest"],
        [e for e in explanations if e.name in ("clean", "no_class")],
    )
    weights = [max(sum(e.weight for e in g), 1e-9) for g in groups]
    rates = [sum(e.weight * e.rate for e in g) / w for g, w in zip(groups, weights, strict=True)]
    span = max(rates[0] - rates[1], 1e-9)
    share = float(np.clip((rate - rates[1]) / span, 0.0, 1.0))
    left = sum(weights)
    factor = {"surest": left * share / weights[0]}
    factor |= dict.fromkeys(("clean", "no_class"), left * (1 - share) / weights[1])
    logs = [np.log(max(e.weight * factor.get(e.name, 1.0), 1e-12)) for e in explanations]
    return with_weights(explanations, [e.rate for e in explanations], np.array(logs))


def evidence(gain: np.ndarray, n_classes: int) -> float:
    """What (N,) gains of log likelihood add to the log of a weight: 0 unless they are certain.

    A standard error is taken off their mean, and the likelihood counts as that of `ITEMS` items.
    """
    certain = float(gain.mean()) - float(gain.std()) / np.sqrt(len(gain))
    return _unit(n_classes) * max(0.0, certain)


def _unit(n_classes: int) -> float:
    return ITEMS / float(np.log10(max(n_classes, 3)))


def _level(sample: Sample, explanation: Explanation) -> float:
    """Mean log likelihood of given labels, less what free entries of T gain by chance (AIC)."""
    if explanation.offset is not None:
        return -np.inf  # it says nothing of which label is given
    found = level(sample, explanation)
    if explanation.name in ("surest", "by_class"):
        k, n = sample.n_classes, len(sample)
        found -= min(k * (k - 1), n * sample.disagreement) / n
    return found


def _expectation(sample: Sample, explanation: Explanation) -> float:
    """Log density of how far contradictions are foreseen, by what the explanation expects."""
    seen, error = sample.foreseen
    if explanation.name in CLASSWISE:
        mean, spread = CLASSWISE_EXPECTED
        if explanation.unmix:
            v = likeness(sample, explanation)
            v /= np.einsum("ij->i", v)[:, None]
            seen, error = sample.foreseen_by(v)
        beyond = max(seen, mean)
    elif explanation.name == "surest":
        mean, spread = EXPECTED["surest"]
        beyond = max(seen, mean)
    else:
        mean, spread = EXPECTED[explanation.name]
        mean = CHANCE + (mean - CHANCE) * min(1.0, max(0.0, sample.strength / STRONG))
        beyond = min(seen, mean)
    spread = float(np.hypot(spread, error))
    return -(((beyond - mean) / spread) ** 2) / 2 - np.log(spread)
