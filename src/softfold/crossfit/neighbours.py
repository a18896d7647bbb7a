"""Nearest neighbours as a second witness beside a model: what the labels around an item say.

An item's neighbours share its true class more often than not, so their given labels y_j say of
class k how well it explains them: s[i, k] = mean over neighbours of log T[k, y_j]. The evidence of
the model and of the neighbours are joined as p(k | x) proportional to
exp(a log p_model(k | x) + b s[i, k]); a and b are those that make the given labels likeliest
through T. Neighbours come from other folds only, so neither an item's own label nor that of a copy
of it (copies share a fold) says anything of it, and of the neighbours nothing but their given
labels is used.
"""

from __future__ import annotations

import numpy as np

from softfold import nearby
from softfold.arrays import row_blocks
from softfold.large_arrays import scratch
from softfold.machine.runtime import full_float32, gpu_cells, solving_device
from softfold.noise.explanation import Explanation
from softfold.noise.sample import FLOOR

NEIGHBOURS = 10
EXACT_ITEMS = 50_000
"""Items up to which every pair is compared; above that an index finds neighbours."""

MOST_COMPARED = 100_000
"""With more items and no index, neighbours are left out."""

QUERIES = 512
"""Items whose likeness to all others is in memory at a time; of a GPU more."""

FIT_CELLS, SMALLEST_STEP = 200_000, 0.04
"""Probabilities that a and b are fitted to, and how closely their logarithms are searched."""

LEAST_RATE = 1e-4


def can_be_found(n: int) -> bool:
    """Whether neighbours of n items are found in a reasonable time."""
    return n <= MOST_COMPARED or nearby.has_index()


def nearest(features: np.ndarray, fold: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """Rows (N, count) of the nearest items of other folds, by the cosine of centred features on
    their first principal axes.

    features: (N, D); fold: (N,) int. Fewer than `count` where a fold leaves fewer outside it.
    Exact up to `EXACT_ITEMS`; above that by an index (`softfold.nearby`) where there is one.
    """
    names, sizes = np.unique(fold, return_counts=True)
    count = min(count, len(fold) - int(sizes.max()))
    if len(fold) > EXACT_ITEMS and nearby.has_index():
        return _indexed(features, fold, names, count)
    import torch

    x = torch.from_numpy(nearby.centred(features))
    device = solving_device(x.nbytes)
    x, out = x.to(device), np.empty((len(x), count), np.int64)
    queries = QUERIES if device == "cpu" else max(QUERIES, gpu_cells(device) // len(x))
    for one in names:
        inside, outside = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        others = x[torch.from_numpy(outside).to(device)].T.contiguous()
        found = []
        for rows in torch.from_numpy(inside).to(device).split(queries):
            with full_float32(device):
                likeness = x[rows] @ others
            found.append(likeness.topk(count, dim=1).indices)
        out[inside] = outside[torch.cat(found).cpu().numpy()]  # a GPU is read once a fold
    return out


def _indexed(features: np.ndarray, fold: np.ndarray, names: np.ndarray, count: int) -> np.ndarray:
    """`nearest` by an index; where it finds fewer than `count`, the closest one counts again.

    First among all items, twice as many as wanted: those of the own fold go. Items with too few
    others are asked for again, among the other folds alone, which takes longer.
    """
    x = nearby.centred(features)
    index, out = nearby.Index(x), np.empty((len(x), count), np.int64)
    again = np.zeros(len(x), bool)
    for start in range(0, len(x), nearby.BLOCK):
        block = slice(start, start + nearby.BLOCK)
        found = index.nearest(x[block], 2 * count)[1]
        unfit = (found < 0) | (fold[found] == fold[block, None])
        first = np.argsort(unfit, axis=1, kind="stable")[:, :count]
        out[block] = np.take_along_axis(found, first, axis=1)
        again[block] = unfit.sum(axis=1) > count
    for one in names:
        left, outside = np.flatnonzero(again & (fold == one)), fold != one
        for start in range(0, len(left), nearby.BLOCK):
            rows = left[start : start + nearby.BLOCK]
            found = index.nearest(x[rows], count, among=outside)[1]
            lost = found[:, 0] < 0  # all around is of the item's own fold
            if lost.any():
                found[lost] = index.nearest(x[rows[lost]], count, outside, everywhere=True)[1]
            out[rows] = np.where(found < 0, found[:, :1], found)
    return out


def witness(given: np.ndarray, near: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """s[i, k], the mean of log T[k, y_j] over the neighbours j of i: float32 (N, K)."""
    logs = np.log(np.maximum(transition, LEAST_RATE)).T.astype(np.float32)
    out = np.zeros((len(near), len(transition)), np.float32)
    for column in near.T:
        out += logs[given[column]]
    return out / near.shape[1]


def joined(
    given: np.ndarray, probabilities: np.ndarray, noise: Explanation, near: np.ndarray
) -> np.ndarray:
    """p(k | x) from a model's out-of-fold predictions and the neighbours: float32 (N, K).

    given: int (N,); probabilities: (N, K) of the truth; noise: the explanation by class that they
    belong to; near: (N, m) from `nearest`.
    """

    def both(rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        logs = np.log(np.maximum(np.asarray(probabilities[rows], np.float32), FLOOR))
        return logs, witness(given, near[rows], noise.transition)

    n, k = probabilities.shape
    some = np.linspace(0, n - 1, min(n, FIT_CELLS // k)).astype(int)
    a, b = weights(given[some], *both(some), noise)
    out = scratch((n, k))
    for rows in row_blocks(n, k):
        out[rows] = combined(*both(rows), a, b)
    return out


def combined(logs: np.ndarray, heard: np.ndarray, a: float, b: float) -> np.ndarray:
    """exp(a logs + b heard), rows summing to 1: float32 (N, K)."""
    z = np.float32(a) * logs
    z += np.float32(b) * heard
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def weights(
    given: np.ndarray, logs: np.ndarray, heard: np.ndarray, noise: Explanation
) -> tuple[float, float]:
    """The a and b of the likeliest given labels through T: a grid, then ever smaller steps from its
    best. (Far from the top the surface is flat, and searches by its slope end there.)
    """
    through = np.maximum(noise.transition, 1e-12).T.astype(np.float32)[given]

    def level(point: tuple[float, float]) -> float:
        p = combined(logs, heard, *np.exp(point))
        return float(np.log(np.einsum("ij,ij->i", p, through)).mean())

    first = -np.log(noise.temperature)
    grid = [(first + i, j) for i in (-1.4, -0.7, 0.0) for j in np.log((0.01, 0.1, 0.3, 1.0, 3.0))]
    at = {point: level(point) for point in grid}
    best, step = max(at, key=at.__getitem__), 0.7
    while step > SMALLEST_STEP:
        a, b = best
        for point in ((a + step, b), (a - step, b), (a, b + step), (a, b - step)):
            if point not in at:
                at[point] = level(point)
        top = max(at, key=at.__getitem__)
        best, step = (top, step) if top != best else (best, step / 2)
    return float(np.exp(best[0])), float(np.exp(best[1]))
