"""Labels and probabilities at the public edge: what passes, what is named, and blocks of rows."""

import numpy as np
import pytest

from softfold.arrays import (
    BLOCK_CELLS,
    ROW_SUM_TOLERANCE,
    check_both,
    check_labels,
    check_probabilities,
    each_block,
    one_hot,
    row_blocks,
)
from softfold.errors import InputError

GOOD = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])


def with_row(row, values, like=GOOD):
    out = like.copy()
    out[row] = values
    return out


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (np.ones(3), r"expected a matrix .* got shape \(3,\)"),
        (np.ones((3, 1)), r"two classes, got shape \(3, 1\)"),
        (np.ones((0, 2)), r"at least one item .* got shape \(0, 2\)"),
        (GOOD.astype(str), "expected numbers, got dtype <U"),
        (GOOD.astype(object), "expected numbers, got dtype object"),
        (GOOD.astype(complex), "expected numbers, got dtype complex128"),
        (with_row(1, [0.2, 0.7]), r"1 of 3 rows is no .* row 1, which sums to 0\.9$"),
        (with_row(2, [1.25, -0.25]), r"row 2, which holds -0\.25, below 0$"),
        (with_row(0, [np.nan, 1]), "row 0, which is not finite$"),
        (with_row(0, [np.inf, 0]), "row 0, which is not finite$"),
        (GOOD[:1] * 2, "1 of 1 row is no probabilities"),
        (with_row(slice(1, 3), [2, 0]), "2 of 3 rows are no .* the first is row 1"),
    ],
)
def test_what_is_no_matrix_of_probabilities_is_named_with_its_first_bad_row(wrong, line):
    with pytest.raises(InputError, match=f"^predictions: .*{line}"):
        check_probabilities(wrong, "predictions")


def test_bad_rows_of_different_blocks_are_counted_together_and_the_first_is_named():
    n = BLOCK_CELLS // 2 + 100
    p = np.full((n, 2), 0.5, np.float32)
    p[[70, n - 1]] = 0.4
    with pytest.raises(InputError, match=rf"2 of {n:,} rows are .* row 70, which sums to 0\.8$"):
        check_probabilities(p)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_of_short_floats_is_no_fault(dtype):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(50), 200).astype(dtype)
    assert check_probabilities(p) is p


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_certain_predictions_may_be_whole_numbers(dtype):
    p = np.eye(3, dtype=dtype)
    assert check_probabilities(p) is p


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_row_may_miss_one_by_the_tolerance_and_no_more(sign):
    edge = with_row(1, [0.2, 0.8 + sign * 0.98 * ROW_SUM_TOLERANCE])
    check_probabilities(edge)
    with pytest.raises(InputError, match="row 1, which sums to"):
        check_probabilities(with_row(1, [0.2, 0.8 + sign * 1.02 * ROW_SUM_TOLERANCE]))


def test_a_memory_map_stays_one(tmp_path):
    np.save(tmp_path / "p.npy", GOOD)
    p = check_probabilities(np.load(tmp_path / "p.npy", mmap_mode="r"))
    assert isinstance(p, np.memmap)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (np.zeros((3, 1), int), r"one label an item, got shape \(3, 1\)"),
        (np.zeros(3), r"integers in 0\.\.1 .* got dtype float64"),
        (np.array([True, False, True]), "got dtype bool"),
        (np.array(["a", "b", "a"]), "got dtype <U1"),
        (np.array([0]), "differ in length: 1 label, 3 rows of probabilities"),
        (np.array([0, 2, 7]), r"2 of 3 are outside 0\.\.1 .* the first is 2 at row 1$"),
        (np.array([0, 1, -1]), "the first is -1 at row 2$"),
    ],
)
def test_labels_that_are_no_classes_of_the_predictions_are_named(wrong, line):
    with pytest.raises(InputError, match=line):
        check_both(wrong, GOOD)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_whole_numbers_become_int64(dtype):
    labels = check_labels(np.array([0, 2, 1], dtype), 3)
    assert labels.dtype == np.int64 and labels.tolist() == [0, 2, 1]


def test_one_hot_rows_are_probabilities_with_the_class_in_its_place():
    labels = np.array([2, 0, 2])
    targets = one_hot(labels, 4)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(check_probabilities(targets).argmax(1), labels)


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (7, 3), (50, 1000), (3, 10**9)])
def test_blocks_cover_every_row_once_and_in_order(shape):
    blocks = list(row_blocks(*shape, cells=10_000))
    rows = [row for block in blocks for row in range(block.start, block.stop)]
    assert rows == list(range(shape[0]))
    assert all(block.stop - block.start == 1 for block in blocks) or (
        max((b.stop - b.start) * shape[1] for b in blocks) <= 10_000
    )


@pytest.mark.parametrize("n", [0, 1, 10, 5000])
def test_every_row_is_worked_on_once_by_all_cores_together(n):
    seen = np.zeros(n, int)

    def work(rows):
        seen[rows] += 1

    each_block(work, n, 1000)
    assert (seen == 1).all()


def test_an_error_of_any_block_reaches_the_caller():
    def work(rows):
        if rows.stop == 5000:
            raise RuntimeError("the last block")

    with pytest.raises(RuntimeError, match="the last block"):
        each_block(work, 5000, 1000)
