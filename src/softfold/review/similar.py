"""Groups of similar items, so that a whole cluster of the same mistake goes in one stroke."""

from __future__ import annotations

import numpy as np

from softfold.report.reading import RunData, memory_map

MOST_GROUPED = 20_000
"""Only the most suspicious items are grouped; the rest are groups of one."""

GROUP_SIZE = 24
"""Most items in a group: as many as one can look at before one key decides them all."""

CLOSE = {"features": 0.6, "probabilities": 0.9}
"""Least cosine similarity to the first item of a group."""


def groups_of(run: RunData, given: np.ndarray, suggested: np.ndarray) -> np.ndarray:
    """(N,) group numbers. Items of a group share given label and suggestion and look alike.

    Likeness is the cosine of the run's features where it has `features.safetensors` (features,
    float32 (N, D)), else of the square roots of the out-of-fold probabilities (the Bhattacharyya
    coefficient). Groups are grown from the most suspicious item down.
    """
    groups = np.arange(len(given))
    top = run.ranking[:MOST_GROUPED]
    pair = given[top] * (len(run.vocab) + 1) + suggested[top]
    order = np.argsort(pair, kind="stable")
    for part in np.split(top[order], np.flatnonzero(np.diff(pair[order])) + 1):
        if len(part) > 1:
            vectors, close = _vectors(run, part)
            for members in _leaders(vectors, close):
                groups[part[members]] = part[members[0]]
    return groups


def _vectors(run: RunData, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit vectors (n, D) that say how items look, and how close counts as similar."""
    file = run.path / "features.safetensors"
    if file.is_file():
        vectors = np.asarray(memory_map(file, "features")[rows], dtype=np.float32)
        close = CLOSE["features"]
    elif run.probabilities is not None:
        vectors = np.sqrt(np.asarray(run.probabilities[rows], dtype=np.float32))
        close = CLOSE["probabilities"]
    else:
        vectors, close = np.ones((len(rows), 1), np.float32), 0.0
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), close


def _leaders(vectors: np.ndarray, close: float) -> list[np.ndarray]:
    """Groups as positions: the first item left leads, the closest others join."""
    left = np.arange(len(vectors))
    out = []
    while len(left):
        likeness = vectors[left] @ vectors[left[0]]
        likeness[0] = np.inf
        near = np.argsort(-likeness, kind="stable")[:GROUP_SIZE]
        near = np.sort(near[likeness[near] >= close])
        out.append(left[near])
        left = np.delete(left, near)
    return out
