"""Transition matrices T[truth, given]: made, counted, and taken out of predictions."""

from __future__ import annotations

import numpy as np

UNMIX_STEPS = 30
"""Steps of Richardson and Lucy's EM; more of them learn the sampling error of predictions."""

UNMIX_ROWS = 3_000
"""Rows unmixed together: their products stay in the cache."""

LEAST = np.float32(1e-12)

SAFE_ENTRY = 1e-9
"""Where no entry of T is smaller, nothing in `unmix` comes near `LEAST`."""


def symmetric(n_classes: int, rate: float) -> np.ndarray:
    """(1 - rate) on the diagonal, the rest spread evenly over the other classes: float64 (K, K)."""
    transition = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition


def normalised_counts(counts: np.ndarray, shrink: float) -> np.ndarray:
    """T (K, K) from counts (K, K), rows truth, columns given.

    Each row is drawn to even noise at the overall rate by `shrink` items, so that a class with few
    items has a usable row.
    """
    k = len(counts)
    rate = 1 - np.trace(counts) / max(counts.sum(), 1e-30)
    rate = float(np.clip(rate, 1e-6, 1 - 1 / k))
    drawn = counts + shrink * symmetric(k, rate)
    return drawn / drawn.sum(axis=1, keepdims=True)


def unmix(p: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """The q (n, K) on the simplex whose q T is nearest to predictions p (n, K) of given labels.

    Nearest by Kullback-Leibler divergence, by `UNMIX_STEPS` of EM (Richardson 1972, Lucy 1974).
    Stopped early, it does not blow up what the predictions are unsure of.
    """
    forward = np.ascontiguousarray(transition, np.float32)
    back = np.ascontiguousarray(transition.T, np.float32)
    q = p / np.einsum("ij->i", p)[:, None]
    # Rows of q sum to 1 at every step: no entry of q T is below the least of T.
    may_vanish = forward.min() < SAFE_ENTRY
    for start in range(0, len(p), UNMIX_ROWS):
        seen, part = p[start : start + UNMIX_ROWS], q[start : start + UNMIX_ROWS]
        ratio, step = np.empty_like(part), np.empty_like(part)
        for _ in range(UNMIX_STEPS):
            np.matmul(part, forward, out=ratio)
            if may_vanish:
                np.maximum(ratio, LEAST, out=ratio)
            np.divide(seen, ratio, out=ratio)
            np.matmul(ratio, back, out=step)
            part *= step
        part /= np.maximum(np.einsum("ij->i", part), LEAST)[:, None]
    return q
