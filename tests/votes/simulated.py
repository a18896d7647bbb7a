"""Votes of simulated annotators with known truth."""

from __future__ import annotations

import numpy as np


def draw(n=3000, k=4, accuracy=(0.9, 0.75, 0.6), share=1.0, seed=0):
    """Truth (n,) and votes (n, W); annotator w is right on accuracy[w], else any other class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    votes = np.empty((n, len(accuracy)), np.int64)
    for w, right in enumerate(accuracy):
        wrong = (truth + rng.integers(1, k, n)) % k
        votes[:, w] = np.where(rng.random(n) < right, truth, wrong)
    votes[rng.random(votes.shape) >= share] = -1
    return truth, votes


def predictions(truth, k, right=0.7, seed=1):
    """Calibrated predictions (n, k) whose largest entry is right on that share."""
    rng = np.random.default_rng(seed)
    said = np.where(
        rng.random(len(truth)) < right, truth, (truth + rng.integers(1, k, len(truth))) % k
    )
    p = np.full((len(truth), k), (1 - right) / (k - 1))
    p[np.arange(len(truth)), said] = right
    return p
