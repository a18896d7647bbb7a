"""Given labels and probabilities as arrays: checks at the public edge, and blocks of rows.

Everything that reads an N x K matrix goes through it block by block, so that a memory map of
1,000,000 x 1,000 needs no more memory than a small one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from softfold.errors import InputError, count_of

BLOCK_CELLS = 1 << 20
"""Cells of an N x K matrix looked at together: 4 MiB as float32, which caches hold."""

CORE_CELLS = 1 << 18
"""Cells a core works on at a time in `each_block`: 1 MiB as float32. With fewer, calls cost more
than the cache saves."""

ROW_SUM_TOLERANCE = 0.01
"""How far the sum of a row of probabilities may be from 1 (float16 predictions need this)."""


def row_blocks(n_rows: int, n_columns: int, cells: int = BLOCK_CELLS) -> Iterator[slice]:
    """Slices that cover all rows, each of about `cells` cells.

    >>> list(row_blocks(5, BLOCK_CELLS // 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, cells // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def each_block(work: Callable[[slice], None], n_rows: int, n_columns: int) -> None:
    """Calls `work` with slices that cover all rows, on all cores at once.

    NumPy lets go of the interpreter while it computes, so threads are enough.
    """

    blocks = list(row_blocks(n_rows, n_columns, CORE_CELLS))
    if len(blocks) == 1:
        work(blocks[0])
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(work, blocks):
            pass


def check_probabilities(probabilities: np.ndarray, name: str = "probabilities") -> np.ndarray:
    """`probabilities` as a matrix (N, K), K >= 2: finite, >= 0, rows summing to 1.

    Memory maps stay memory maps. Raises InputError naming the first bad row.
    """
    array = np.asanyarray(probabilities)
    if array.ndim != 2 or array.shape[1] < 2 or array.shape[0] == 0:
        raise InputError(
            f"{name}: expected a matrix (items, classes) with at least one item and two "
            f"classes, got shape {array.shape}"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: expected numbers, got dtype {array.dtype}")
    bad, first, why = 0, -1, ""
    for rows in _doubtful(array):
        block = np.asarray(array[rows])
        with np.errstate(invalid="ignore", over="ignore"):
            total = block.sum(axis=1, dtype=np.float64)
            low = block.min(axis=1)
        wrong = ~(np.abs(total - 1) <= ROW_SUM_TOLERANCE) | ~(low >= 0)
        if wrong.any():
            if first < 0:
                at = int(np.argmax(wrong))
                first = rows.start + at
                if not np.isfinite(total[at]):
                    why = "not finite"
                elif low[at] < 0:
                    why = f"holds {float(low[at]):.4g}, below 0"
                else:
                    why = f"sums to {float(total[at]):.4g}"
            bad += int(wrong.sum())
    if bad:
        raise InputError(
            f"{name}: {bad:,} of {count_of(array.shape[0], 'row')} "
            f"{'is' if bad == 1 else 'are'} no probabilities (finite, at least 0, summing "
            f"to 1); the first is row {first}, which {why if why != 'not finite' else 'is ' + why}"
        )
    return array


def check_independent(probabilities: np.ndarray, name: str = "probabilities") -> np.ndarray:
    """`probabilities` of K classes that do not exclude each other, (N, K): each in 0..1.

    Rows need not sum to 1. Raises InputError naming the first bad row.
    """
    array = np.asanyarray(probabilities)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name}: expected a matrix (items, classes), each with at least one, got shape "
            f"{array.shape}"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: expected numbers, got dtype {array.dtype}")
    bad, first = 0, -1
    for rows in row_blocks(*array.shape):
        block = np.asarray(array[rows])
        wrong = ~((block >= 0) & (block <= 1)).all(axis=1)
        if wrong.any():
            first = rows.start + int(np.argmax(wrong)) if first < 0 else first
            bad += int(wrong.sum())
    if bad:
        raise InputError(
            f"{name}: {bad:,} of {count_of(array.shape[0], 'row')} hold what is outside 0..1; the "
            f"first is row {first}"
        )
    return array


def _doubtful(array: np.ndarray) -> list[slice]:
    """Blocks of rows, in order, that a quick look does not find to be probabilities."""
    found = []
    kind = np.promote_types(array.dtype, np.float32)

    def work(rows: slice) -> None:
        block = np.asarray(array[rows])
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.abs(np.einsum("ij->i", block, dtype=kind, casting="unsafe") - 1).max()
            if not (off <= 0.99 * ROW_SUM_TOLERANCE and block.min() >= 0):
                found.append(rows)

    each_block(work, *array.shape)
    return sorted(found, key=lambda rows: rows.start)


def check_labels(labels: np.ndarray, n_classes: int, n_items: int | None = None) -> np.ndarray:
    """`labels` as int64 (N,), each in 0..K-1. Raises InputError naming the first offender."""
    array = np.asarray(labels)
    _check_one_label(array)
    if array.dtype.kind not in "iu":
        raise InputError(
            f"labels: expected integers in 0..{n_classes - 1} (an index into the classes), "
            f"got dtype {array.dtype}"
        )
    if n_items is not None and len(array) != n_items:
        raise InputError(
            f"labels and probabilities differ in length: {count_of(len(array), 'label')}, "
            f"{count_of(n_items, 'row')} of probabilities"
        )
    wrong = (array < 0) | (array >= n_classes)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"labels: {int(wrong.sum()):,} of {len(array):,} are outside 0..{n_classes - 1} "
            f"(there are {n_classes} columns of probabilities); the first is "
            f"{array[first]} at row {first}"
        )
    return array.astype(np.int64, copy=False)


def _check_one_label(labels: np.ndarray) -> None:
    if np.ndim(labels) != 1:
        several = "" if np.ndim(labels) != 2 else "; several labels an item: softfold.multilabel"
        raise InputError(f"labels: expected one label an item, got shape {labels.shape}{several}")


def check_both(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Given labels (N,) and probabilities (N, K) that belong together, checked."""
    _check_one_label(labels)
    probabilities = check_probabilities(probabilities)
    labels = check_labels(labels, probabilities.shape[1], probabilities.shape[0])
    return labels, probabilities


def one_hot(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Given labels (N,) as float32 (N, K).

    >>> one_hot(np.array([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    targets = np.zeros((len(labels), n_classes), np.float32)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def target_blocks(targets: np.ndarray, n_classes: int) -> Iterator[np.ndarray]:
    """Targets as float32 (n, K), a block of rows after the other.

    targets: labels int (N,), which stand for one-hot rows; or (N, K).

    >>> [block.tolist() for block in target_blocks(np.array([1, 0]), 2)]
    [[[0.0, 1.0], [1.0, 0.0]]]
    """
    for rows in row_blocks(len(targets), n_classes):
        part = targets[rows]
        yield one_hot(part, n_classes) if part.ndim == 1 else np.ascontiguousarray(part, np.float32)


def likeliest(probabilities: np.ndarray) -> np.ndarray:
    """The likeliest class int64 (N,) of each row; argmax would copy a memory map.

    >>> likeliest(np.array([[0.25, 0.75], [1.0, 0.0]]))
    array([1, 0])
    """
    out = np.empty(len(probabilities), np.int64)
    for rows in row_blocks(*probabilities.shape):
        out[rows] = np.asarray(probabilities[rows]).argmax(axis=1)
    return out
