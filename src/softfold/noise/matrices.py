"""Transition matrices T[truth, given]: made, counted, and taken out of predictions."""

from __future__ import annotations

import numpy as np

UNMIX_POWERS = (1, 2) * 10
"""Steps of Richardson and Lucy's EM, a power of 2 for two at once: 30, to nearer than one step does
in the end. More of them learn the sampling error of predictions."""

UNMIX_ROWS = 2_000
"""Rows unmixed together: their products stay in the cache, and at ten classes are too small for
OpenBLAS to give them to threads of its own beside ours."""

MANY_CLASSES = 64
"""From here on a row of predictions is long enough to be worked on by itself."""

LEAST = np.float32(1e-12)

SAFE_ENTRY = 1e-9
"""Where no entry of T is smaller, nothing in `unmix` comes near `LEAST`."""


def symmetric(n_classes: int, rate: float) -> np.ndarray:
    """(1 - rate) on the diagonal, the rest spread evenly over the other classes: float64 (K, K)."""
    transition = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition


def even_entries(transition: np.ndarray) -> tuple[float, float] | None:
    """What T (K, K) has on its diagonal and beside it, where that is one number each."""
    k, first = len(transition), transition[0, 1:]
    if (first != first[0]).any():
        return None
    others = np.ascontiguousarray(transition).ravel()[1:].reshape(k - 1, k + 1)[:, :-1]
    right = np.diag(transition)
    if (right != right[0]).any() or (others != first[0]).any():
        return None
    return float(right[0]), float(first[0])


def normalised_counts(counts: np.ndarray, shrink: float) -> np.ndarray:
    """T (K, K) from counts (K, K), rows truth, columns given.

    Each row is drawn to even noise at the overall rate by `shrink` items, so that a class with few
    items has a usable row.
    """
    k = len(counts)
    rate = 1 - np.trace(counts) / max(counts.sum(), 1e-30)
    rate = float(np.clip(rate, 1e-6, 1 - 1 / k))
    drawn = counts + shrink * rate / (k - 1)
    np.einsum("ii->i", drawn)[:] += shrink * (1 - rate - rate / (k - 1))
    drawn /= drawn.sum(axis=1, keepdims=True)
    return drawn


def by_columns(p: np.ndarray) -> np.ndarray:
    """p (n, K), one class after another in memory where there are few: rows of ten are slow."""
    return np.asfortranarray(p) if p.shape[1] < MANY_CLASSES else np.ascontiguousarray(p)


def column_of_most(p: np.ndarray) -> np.ndarray:
    """`p.argmax(axis=1)` of p (n, K) laid out as `by_columns`: int64 (n,)."""
    if p.shape[1] >= MANY_CLASSES:
        return p.argmax(axis=1)
    top, at = p[:, 0].copy(), np.zeros(len(p), np.int8)
    for k in range(1, p.shape[1]):
        column = p[:, k]
        np.maximum(at, (column > top).view(np.int8) * np.int8(k), out=at)
        np.maximum(top, column, out=top)
    return at.astype(np.int64)


def unmix(p: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """The q (n, K) on the simplex whose q T is nearest to predictions p (n, K) of given labels.

    Nearest by Kullback-Leibler divergence, by 30 steps of EM (Richardson 1972, Lucy 1974).
    Stopped early, it does not blow up what the predictions are unsure of.
    """
    back = np.ascontiguousarray(transition, np.float32)
    forward = np.ascontiguousarray(transition.T, np.float32)
    q = np.empty((p.shape[1], len(p)), np.float32)
    # Columns of q sum to at least 1 at every step: no entry of T q is below the least of T.
    may_vanish = forward.min() < SAFE_ENTRY
    for start in range(0, len(p), UNMIX_ROWS):
        seen = np.ascontiguousarray(p[start : start + UNMIX_ROWS].T, np.float32)
        part = seen / seen.sum(axis=0)
        ratio, step = np.empty_like(part), np.empty_like(part)
        for power in UNMIX_POWERS:
            np.matmul(forward, part, out=ratio)
            if may_vanish:
                np.maximum(ratio, LEAST, out=ratio)
            np.divide(seen, ratio, out=ratio)
            np.matmul(back, ratio, out=step)
            for _ in range(power):
                part *= step
        np.divide(part, np.maximum(part.sum(axis=0), LEAST), out=q[:, start : start + UNMIX_ROWS])
    return q.T
