"""Rows that are close to one another, found without comparing every pair.

Above a size, an inverted file (Jegou et al. 2011) by the library faiss: rows are dealt to the
nearest of 4 sqrt(N) centres, and a query is compared with the rows of a few centres alone. Time
grows with N^1.5. What is found is compared exactly; some of what is close may be missed
(`benchmarks/growth.py --images`). Centres are drawn with a fixed seed: the same rows give the same
answer, on as many threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np

from softfold.errors import require

WIDTH = 128
"""Principal axes that rows are compared on."""

BLOCK = 4096
"""Rows that are read or asked for at a time."""

_SOME = 5000
"""Rows that axes are taken from."""

_CELLS, _PROBES, _ROUNDS, _ROWS_A_CENTRE = 4, 16, 5, 40


def has_index() -> bool:
    """Whether faiss is installed (`softfold[index]`)."""
    return find_spec("faiss") is not None


class Index:
    """Finds rows of a matrix by their inner product with a query.

    rows: float32 (N, d) of length 1.

    Raises:
        MissingDependency: faiss is not installed.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._faiss = require("faiss", extra="index")
        n, d = rows.shape
        cells = max(1, min(round(_CELLS * n**0.5), n // _ROWS_A_CENTRE))
        self._centres = self._faiss.IndexFlatIP(d)
        self._index = self._faiss.IndexIVFFlat(
            self._centres, d, cells, self._faiss.METRIC_INNER_PRODUCT
        )
        self._index.cp.niter = _ROUNDS
        self._index.cp.max_points_per_centroid = _ROWS_A_CENTRE
        self._index.train(rows[:: max(1, n // (_ROWS_A_CENTRE * cells))])
        for start in range(0, n, BLOCK):
            self._index.add(rows[start : start + BLOCK])

    def nearest(
        self,
        queries: np.ndarray,
        count: int,
        among: np.ndarray | None = None,
        *,
        everywhere: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows with the largest products with each query, largest first.

        Args:
            queries: float32 (n, d).
            count: how many.
            among: (N,) bool, rows that may be found; all where None.
            everywhere: compare with every row.

        Returns:
            products float32 (n, count) and rows int64 (n, count), -1 where too few were found.
        """
        asked = {"nprobe": self._index.nlist if everywhere else _PROBES}
        if among is not None:
            bits = np.packbits(among, bitorder="little")
            asked["sel"] = self._faiss.IDSelectorBitmap(bits)
        how = self._faiss.SearchParametersIVF(**asked)
        return self._index.search(np.ascontiguousarray(queries, np.float32), count, params=how)


def blocks(features: np.ndarray, size: int = BLOCK) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of rows, and these rows of features (N, D) as float32."""
    for start in range(0, len(features), size):
        rows = slice(start, min(start + size, len(features)))
        yield rows, np.asarray(features[rows], dtype=np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) brought to length 1; rows of zeros stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def centred(features: np.ndarray) -> np.ndarray:
    """Features less their mean, on their first principal axes, of length 1: float32 (N, d)."""
    total = np.zeros(features.shape[1])
    for _, block in blocks(features):
        total += block.sum(axis=0, dtype=float)
    mean = (total / len(features)).astype(np.float32)
    axes = _axes(np.asarray(_some(features), np.float32) - mean)
    out = np.empty((len(features), axes.shape[1]), np.float32)
    for rows, block in blocks(features):
        out[rows] = unit((block - mean) @ axes)
    return out


def shortened(features: np.ndarray) -> np.ndarray:
    """Rows of length 1 whose products are nowhere below the cosines of features: (N, d) float32.

    The first principal axes of features of length 1, and as one column more what of each row lies
    outside them: the product of two such lengths is the most that it can add.
    """
    axes = _axes(unit(np.asarray(_some(features), np.float32)))
    out = np.empty((len(features), axes.shape[1] + 1), np.float32)
    for rows, block in blocks(features):
        part = unit(block) @ axes
        rest = np.sqrt(np.maximum(1 - np.einsum("ij,ij->i", part, part), 0))
        out[rows] = np.concatenate([part, rest[:, None]], axis=1)
    return out


def _some(features: np.ndarray) -> np.ndarray:
    return features[:: max(1, len(features) // _SOME)]


def _axes(rows: np.ndarray) -> np.ndarray:
    """The first principal axes (D, d) of rows (n, D)."""
    return first_axes(rows.T @ rows, min(WIDTH, rows.shape[1]))[1].astype(np.float32)


def first_axes(gram: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """About the `count` largest eigenvalues (count,), in ascending order, of a symmetric matrix
    float32 (D, D), and their vectors (D, count), which are orthonormal: float64.

    By subspace iteration from random numbers that are always the same (Halko, Martinsson and Tropp
    2011, algorithm 4.4).
    """
    import torch  # whose threads wait asleep; those of NumPy's LAPACK spin

    q = torch.from_numpy(np.random.default_rng(0).standard_normal((len(gram), count)))
    whole = torch.from_numpy(gram)
    for _ in range(3):
        q = torch.linalg.qr(whole @ q.float())[0]
    # NumPy's: torch's (MKL) does not always converge
    values, vectors = np.linalg.eigh((q.T @ (whole @ q)).numpy().astype(float))
    return values, q.numpy().astype(float) @ vectors
