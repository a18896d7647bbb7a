"""Labels and predictions with a known truth."""

from __future__ import annotations

import numpy as np


def problem(transition, n=6000, skill=3.0, temperature=1.0, seed=0):
    """Truth drawn from p(k | x), given labels from T; predictions p made flat or sharp."""
    rng = np.random.default_rng(seed)
    k = len(transition)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), rng.integers(0, k, n)] += 2 * skill
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    truth = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    given = (transition[truth].cumsum(1) > rng.random((n, 1))).argmax(1)
    shown = p ** (1 / temperature)
    return truth, given, (shown / shown.sum(1, keepdims=True)).astype(np.float32)


def drawn_to_base_rates(transition, n=4000, evidence=0.4, seed=0):
    """Truth of unequal classes, given labels from T, p(given | x), and too unsure predictions.

    p(given | x) is the base rate of the label times its evidence; predictions have the evidence to
    a power below 1.
    """
    rng = np.random.default_rng(seed)
    k = len(transition)
    base = np.arange(1, k + 1) ** 2.0
    base /= base.sum()
    truth = rng.choice(k, n, p=base)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), truth] += 2.0
    p = base * np.exp(2 * logits)  # of logits with mean 2 in the true class and variance 1
    p = p / p.sum(1, keepdims=True) @ transition
    given = (transition[truth].cumsum(1) > rng.random((n, 1))).argmax(1)
    rates = base @ transition
    unsure = rates * (p / rates) ** evidence
    return truth, given, p.astype(np.float32), (unsure / unsure.sum(1, keepdims=True)).astype("f4")


def pair(k, rate):
    """Each class given as the next one at this rate."""
    return (1 - rate) * np.eye(k) + rate * np.roll(np.eye(k), 1, axis=1)


def people(n=6000, k=8, rate=0.3, seed=0):
    """Labels wrong more often where an item is unclear; predictions foresee a part of that."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    other = (truth + rng.integers(1, k, n)) % k
    chance = np.clip(rng.beta(1.2, 1.2 / rate - 1.2, n), 0, 0.9)
    given = np.where(rng.random(n) < chance, other, truth)
    rows = np.arange(n)
    p = np.full((n, k), 0.02)
    p[rows, truth] += 1 - 0.5 * chance
    p[rows, other] += 0.03 * chance
    p *= np.exp(rng.normal(0, 0.8, p.shape))
    return truth, given, (p / p.sum(1, keepdims=True)).astype(np.float32)


def weak_model(n=6000, k=8, seed=0):
    """Right labels; the model is right on some 85%, and knows what it mistakes for what."""
    rng = np.random.default_rng(seed)
    given = rng.integers(0, k, n)
    logits = rng.normal(0, 1.5, (n, k))
    logits[np.arange(n), given] += 4.0
    p = np.exp(1.3 * logits)
    return given, (p / p.sum(1, keepdims=True)).astype(np.float32)


def two_models(n=6000, k=8, rate=0.0, shared=0.7, seed=0):
    """Truth, labels and the predictions of two models, which find the same items hard.

    Labels are wrong by `rate` of the items, more often the more an item looks like another class.
    `shared` is how much of what misleads the models misleads both.
    """
    rng, rows = np.random.default_rng(seed), np.arange(n)
    truth = rng.integers(0, k, n)
    common = rng.normal(0, 1.5, (n, k))
    made = []
    for _ in range(2):
        logits = shared**0.5 * common + (1 - shared) ** 0.5 * rng.normal(0, 1.5, (n, k))
        logits[rows, truth] += 4.0
        p = np.exp(1.3 * logits)
        made.append((p / p.sum(1, keepdims=True)).astype(np.float32))
    common[rows, truth] = -np.inf
    chance = 2 * rate * common.max(1).argsort().argsort() / n
    given = np.where(rng.random(n) < chance, common.argmax(1), truth)
    return truth, given, *made
