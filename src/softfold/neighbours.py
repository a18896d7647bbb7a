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

from softfold.evidence import FLOOR, unmix
from softfold.noise import NoiseModel

NEIGHBOURS = 10
MOST_ITEMS = 100_000
"""With more items every pair is no longer compared, and neighbours are left out."""

WIDTH, WIDE_ITEMS = 128, 20_000
"""With more than `WIDE_ITEMS`, features are first cut to so many principal axes."""

QUERIES = 512
"""Items whose likeness to all others is in memory at a time."""

FIT_ROWS = 20_000
LEAST_RATE = 1e-4
WEIGHTS = (1e-2, 20.0)
"""Between which a and b are searched."""


def nearest(features: np.ndarray, fold: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """Rows (N, count) of the nearest items of other folds, by the cosine of centred features.

    features: (N, D); fold: (N,) int. Fewer than `count` where a fold leaves fewer outside it.
    """
    import torch

    x = torch.as_tensor(np.asarray(features, dtype=np.float32))
    x = x - x.mean(dim=0)
    if len(x) > WIDE_ITEMS and x.shape[1] > WIDTH:
        some = x[:: max(1, len(x) // WIDE_ITEMS)]
        axes = torch.linalg.eigh(some.T @ some)[1][:, -WIDTH:]
        x = x @ axes
    x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
    names, sizes = np.unique(fold, return_counts=True)
    count = min(count, len(x) - int(sizes.max()))
    out = np.empty((len(x), count), np.int64)
    for one in names:
        inside, outside = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        others = x[torch.from_numpy(outside)].T.contiguous()
        for start in range(0, len(inside), QUERIES):
            rows = inside[start : start + QUERIES]
            likeness = x[torch.from_numpy(rows)] @ others
            out[rows] = outside[likeness.topk(count, dim=1).indices.numpy()]
    return out


def witness(given: np.ndarray, near: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """s[i, k], the mean of log T[k, y_j] over the neighbours j of i: float32 (N, K)."""
    logs = np.log(np.maximum(transition, LEAST_RATE)).T.astype(np.float32)
    out = np.zeros((len(near), len(transition)), np.float32)
    for column in near.T:
        out += logs[given[column]]
    return out / near.shape[1]


def joined(
    given: np.ndarray, probabilities: np.ndarray, noise: NoiseModel, near: np.ndarray
) -> np.ndarray:
    """p(k | x) from a model's out-of-fold predictions and the neighbours: float32 (N, K).

    given: int (N,); probabilities: (N, K); near: (N, m) from `nearest`.
    """
    p = np.maximum(np.asarray(probabilities, np.float32), FLOOR)
    if noise.unmix:
        p = np.maximum(unmix(p, noise.transition), FLOOR)
    logs = np.log(p)
    said = witness(given, near, noise.transition)
    a, b = _weights(given, logs, said, noise)
    z = np.float32(a) * logs
    z += np.float32(b) * said
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def _weights(
    given: np.ndarray, logs: np.ndarray, said: np.ndarray, noise: NoiseModel
) -> tuple[float, float]:
    """The a and b of the likeliest given labels through T, by L-BFGS on their logarithms."""
    import torch

    rows = np.linspace(0, len(given) - 1, min(len(given), FIT_ROWS)).astype(int)
    model, around = torch.from_numpy(logs[rows]), torch.from_numpy(said[rows])
    taken = np.maximum(noise.transition, 1e-12).T.astype(np.float32)[given[rows]]
    through = torch.from_numpy(taken)
    low, high = np.log(WEIGHTS)
    start = [-np.log(noise.temperature), -2.0]
    point = torch.tensor(start, dtype=torch.float32, requires_grad=True)
    search = torch.optim.LBFGS([point], max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        a, b = point.clamp(low, high).exp()
        p = torch.softmax(a * model + b * around, dim=1)
        value = -(p * through).sum(dim=1).clamp_min(1e-30).log().mean()
        value.backward()
        return value

    search.step(loss)
    a, b = point.detach().clamp(low, high).exp().tolist()
    return a, b
