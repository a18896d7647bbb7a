"""Near copies among items: those whose features are close."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from softfold.machine.runtime import full_float32, solving_device
from softfold.nearby import BLOCK, Index, blocks, has_index, shortened, unit

EXACT_ITEMS = 20_000
"""Items up to which all pairs are compared for near copies."""

MOST_COMPARED = 100_000
"""Items up to which all pairs are compared where that was asked for and there is no index."""

CLOSEST, MOST_PAIRS = 10, 1_000_000
"""Near copies that an item is found to have above that; pairs that are kept as they are."""


def can_be_compared(n: int, *, asked: bool = False) -> bool:
    """Whether near copies among n items are found in a time that people wait; `asked` for them, or
    without asking.
    """
    return n <= (MOST_COMPARED if asked else EXACT_ITEMS) or has_index()


def near_copies(
    features: np.ndarray, threshold: float = 0.97, *, block: int = 2048
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of items whose features are close, closest first.

    Up to `EXACT_ITEMS` items, and where there is no index, every pair is compared. Above that each
    item is compared with the `CLOSEST` that an index finds (`softfold.nearby`). Of more than
    `MOST_PAIRS` pairs, as among hundreds of pictures of one thing, those are kept that hold each
    group together, the closest ones: fewer than items.

    Args:
        features: float (N, D).
        threshold: least cosine similarity of a pair.
        block: rows compared together; memory is about 4 * block**2 bytes above the input.

    Returns:
        pairs int64 (P, 2) with first < second, and their similarity float32 (P,).
    """
    indexed = len(features) > EXACT_ITEMS and has_index()
    parts = _indexed(features, threshold) if indexed else _compared(features, threshold, block)
    pairs, similarity = np.empty((0, 2), np.int64), np.empty(0, np.float32)
    for found, values in parts:
        pairs, similarity = np.concatenate([pairs, found]), np.concatenate([similarity, values])
        if len(pairs) > MOST_PAIRS:
            kept = _forest(pairs, similarity, len(features))
            pairs, similarity = pairs[kept], similarity[kept]
    order = np.argsort(-similarity, kind="stable")
    return pairs[order].astype(np.int64), similarity[order]


_ROUNDING, _MANY = 1e-4, 64
"""More than what rounding takes off a bound; one pair of so many is many."""

Pairs = tuple[np.ndarray, np.ndarray]


def _compared(features: np.ndarray, threshold: float, block: int) -> Iterator[Pairs]:
    """Pairs among all of them, a block at a time.

    A bound on few axes says first which pairs can be close, on a GPU where there is one. Where they
    are many, all are compared.
    """
    short: Any = shortened(features)
    device, n = solving_device(short.nbytes), len(short)
    if device != "cpu":
        import torch

        short = torch.from_numpy(short).to(device)
    for a in _slices(0, n, block):
        for b in _slices(a.start, n, block):
            with full_float32(device):
                bound = short[a] @ short[b].T
            i, j = _later(bound, threshold - _ROUNDING, a == b)
            if _MANY * len(i) < bound.shape[0] * bound.shape[1]:
                yield from _exactly(features, threshold, i + a.start, j + b.start)
                continue
            similar = _units(features, a) @ _units(features, b).T
            i, j = _later(similar, threshold, a == b)
            yield np.stack([i + a.start, j + b.start], 1), similar[i, j]


def _slices(start: int, stop: int, size: int) -> Iterator[slice]:
    return (slice(at, min(at + size, stop)) for at in range(start, stop, size))


def _later(similar: Any, threshold: float, same: bool) -> Any:
    """Rows (P,) and columns (P,) of close pairs, each once where both sides are the `same`.

    similar: of NumPy, or a tensor on a GPU, of which the pairs alone are read.
    """
    if not isinstance(similar, np.ndarray):
        close = similar >= threshold
        return (close.triu(1) if same else close).nonzero().cpu().numpy().T
    if same:
        similar[np.tril_indices(len(similar))] = -1
    return np.nonzero(similar >= threshold)


def _units(features: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    return unit(np.asarray(features[rows], np.float32))


def _indexed(features: np.ndarray, threshold: float) -> Iterator[Pairs]:
    """Pairs of each item with the closest that an index finds, exactly compared."""
    short, n = shortened(features), len(features)
    index, codes = Index(short), []
    for rows, queries in blocks(short):
        bound, near = index.nearest(queries, CLOSEST + 1)
        i, at = np.nonzero((bound >= threshold - _ROUNDING) & (near >= 0))
        a, b = i + rows.start, near[i, at]
        codes.append((np.minimum(a, b) * n + np.maximum(a, b))[a != b])
    del index, short
    code = np.unique(np.concatenate(codes))
    yield from _exactly(features, threshold, code // n, code % n)


def _exactly(
    features: np.ndarray, threshold: float, first: np.ndarray, second: np.ndarray
) -> Iterator[Pairs]:
    """Those of the pairs (P,), (P,) whose features are close."""
    for start in range(0, len(first), BLOCK):
        pairs = np.stack([first[start : start + BLOCK], second[start : start + BLOCK]], 1)
        similar = np.einsum("ij,ij->i", *(_units(features, side) for side in pairs.T))
        kept = similar >= threshold
        yield pairs[kept], similar[kept]


def _forest(pairs: np.ndarray, similarity: np.ndarray, n: int) -> np.ndarray:
    """Of (P, 2) pairs among n items those, as (p,) rows, that hold each group together.

    The closest ones: a maximum spanning forest (Kruskal 1956).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    weights = 2.5 - similarity.astype(float)  # above 0, which stands for no pair
    graph = csr_array((weights, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    tree = minimum_spanning_tree(graph).tocoo()
    codes = pairs[:, 0] * n + pairs[:, 1]
    return np.flatnonzero(np.isin(codes, tree.row.astype(np.int64) * n + tree.col))
