"""Copies among images: exact ones by their pixels, near ones by their features; broken files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from softfold.data.leaving_out import NO_FILE
from softfold.errors import require
from softfold.machine.row_store import KEY, RowStore, content_key
from softfold.nearby import BLOCK, Index, blocks, has_index, shortened, unit
from softfold.vision.decoding import Advance, decode, image_keys, in_threads, why

if TYPE_CHECKING:
    from softfold.data.table import Images

_SCAN = {"version": 2}

EXACT_ITEMS = 20_000
"""Items up to which all pairs are compared for near copies."""

CLOSEST, MOST_PAIRS = 10, 1_000_000
"""Near copies that an item is found to have above that; pairs that are kept as they are."""


def scan(images: Images, *, progress: Advance | None = None) -> np.ndarray:
    """Digest of the decoded pixels of each image: (N,) of 16 bytes, all zero where none decodes.

    Equal digests are exact copies, whatever the files' formats. Kept in the cache, and with the
    images; but what did not decode is tried again by the next run, since rights and disks change.
    """
    if images.digests is None:
        images.digests = _scan(images, progress)
    return images.digests


def _scan(images: Images, progress: Advance | None) -> np.ndarray:
    require("PIL", extra="fastai")
    keys = image_keys(images, absent=True)
    store = RowStore("scans", _SCAN)
    rows, missing = store.find(keys)
    out = np.zeros(len(images), KEY)
    if rows is not None:
        known = np.flatnonzero(~missing)
        out[known] = np.ascontiguousarray(rows[known]).view(KEY).reshape(-1)
    todo = np.flatnonzero((out == b"") & (keys != b""))
    if not len(todo):
        return out

    def block(start: int) -> np.ndarray:
        return np.array([_digest(images, i) for i in todo[start : start + 64]], KEY)

    done = 0
    with store.writer(len(todo), (KEY.itemsize,), np.uint8, exactly=False) as writer:
        for digests in in_threads(block, range(0, len(todo), 64), os.cpu_count() or 1):
            rows = todo[done : done + len(digests)]
            out[rows] = digests
            found = digests != b""
            writer.write(keys[rows][found], digests[found].view(np.uint8).reshape(-1, KEY.itemsize))
            done += len(digests)
            if progress is not None:
                progress(done, len(todo))
    return out


def _digest(images: Images, i: int) -> bytes:
    try:
        return _pixel_key(images[i])
    except (OSError, ValueError):
        return b""


def _pixel_key(encoded: bytes) -> bytes:
    pixels = np.ascontiguousarray(decode(encoded))
    return content_key(repr(pixels.shape).encode(), pixels.reshape(-1).data)


def broken_images(images: Images, *, progress: Advance | None = None) -> dict[int, str]:
    """The rows of images that cannot be read or do not decode, with the reason, in one line.

    Every image is decoded whole, once for this and later runs: a file that is cut off has a sound
    header. Decoding finds exact copies too, which every run asks for, so that a sound image costs
    nothing more; a broken one is read a second time, for the reason.
    """
    digests, out = scan(images, progress=progress), {}
    for i in np.flatnonzero(digests == b"").tolist():
        try:
            digests[i] = _pixel_key(images[i])
        except FileNotFoundError:
            out[i] = NO_FILE
        except (OSError, ValueError) as error:
            out[i] = why(error) if isinstance(error, OSError) else str(error)
    return out


def exact_copies(images: Images, *, progress: Advance | None = None) -> np.ndarray:
    """Group of each image, int64 (N,): the row of the first image with the same pixels.

    Images that do not decode are groups of their own.
    """
    return _groups(scan(images, progress=progress))


def _groups(digests: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    groups = first[inverse].astype(np.int64)
    broken = digests == b""
    groups[broken] = np.flatnonzero(broken)
    return groups


def can_be_compared(n: int) -> bool:
    """Whether near copies among n items are found in a time that people wait without asking."""
    return n <= EXACT_ITEMS or has_index()


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


Pairs = tuple[np.ndarray, np.ndarray]


def _compared(features: np.ndarray, threshold: float, block: int) -> Iterator[Pairs]:
    """Pairs among all of them, a block at a time."""
    for a, left in blocks(features, block):
        left = unit(left)
        for b, right in blocks(features[a.start :], block):
            similar = left @ (left if b.start == 0 else unit(right)).T
            if b.start == 0:
                similar[np.tril_indices(len(similar))] = -1
            i, j = np.nonzero(similar >= threshold)
            if len(i):
                yield np.stack([i + a.start, j + a.start + b.start], 1), similar[i, j]


def _indexed(features: np.ndarray, threshold: float) -> Iterator[Pairs]:
    """Pairs of each item with the closest that an index finds, exactly compared."""
    short, n = shortened(features), len(features)
    index, codes = Index(short), []
    for rows, queries in blocks(short):
        bound, near = index.nearest(queries, CLOSEST + 1)
        i, at = np.nonzero((bound >= threshold - 1e-4) & (near >= 0))
        a, b = i + rows.start, near[i, at]
        codes.append((np.minimum(a, b) * n + np.maximum(a, b))[a != b])
    del index, short
    for code in _parts(np.unique(np.concatenate(codes))):
        pairs = np.stack([code // n, code % n], 1)
        left, right = (unit(np.asarray(features[side], np.float32)) for side in pairs.T)
        similar = np.einsum("ij,ij->i", left, right)
        kept = similar >= threshold
        yield pairs[kept], similar[kept]


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(values), BLOCK):
        yield values[start : start + BLOCK]


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
