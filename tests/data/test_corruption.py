"""Label noise is exact in its counts, by the seed in its choice, and refuses what cannot be."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.data.corruption import corrupt, corrupt_file, corrupt_table
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.errors import InputError

IMAGEWOOF = Path(__file__).parents[3] / "shared/data/imagewoof2-160/noisy_imagewoof.csv"


def counts(truth, noisy, k):
    out = np.zeros((k, k), dtype=int)
    np.add.at(out, (truth, noisy), 1)
    return out


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=8),
    rate=st.floats(0, 1),
    kind=st.sampled_from(["symmetric", "pair", "instance"]),
    seed=st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_exactly_rate_times_n_labels_are_wrong(sizes, rate, kind, seed):
    truth = np.repeat(np.arange(len(sizes)), sizes)
    features = np.random.default_rng(0).normal(size=(len(truth), 3)) if kind == "instance" else None
    noisy = corrupt(truth, rate, kind, features=features, seed=seed)
    assert (noisy != truth).sum() == round(rate * len(truth))
    assert noisy.min() >= 0 and noisy.max() < len(sizes)


def test_same_seed_same_labels_other_seed_other_labels():
    truth = np.arange(500) % 10
    first = corrupt(truth, 0.3, seed=4)
    assert (first == corrupt(truth, 0.3, seed=4)).all()
    assert (first != corrupt(truth, 0.3, seed=5)).any()


def test_symmetric_spreads_over_all_cells_alike():
    truth = np.repeat(np.arange(5), 100)
    matrix = counts(truth, corrupt(truth, 0.4), 5)
    assert (matrix == 10 + 50 * np.eye(5)).all()


def test_pair_moves_each_class_into_the_next_in_proportion():
    truth = np.repeat([0, 1, 2], [100, 50, 10])
    matrix = counts(truth, corrupt(truth, 0.2, "pair"), 3)
    assert matrix.tolist() == [[80, 20, 0], [0, 40, 10], [2, 0, 8]]


def test_transition_counts_follow_the_matrix():
    truth = np.repeat([0, 1, 2], [200, 100, 50])
    transition = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.5, 0.1, 0.4]])
    noisy = corrupt(truth, None, "transition", transition=transition)
    assert counts(truth, noisy, 3).tolist() == [[140, 40, 20], [0, 100, 0], [25, 5, 20]]


@given(seed=st.integers(0, 1000), n=st.integers(3, 300))
@settings(max_examples=60, deadline=None)
def test_transition_is_within_one_item_of_the_matrix_everywhere(seed, n):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    transition = rng.dirichlet([5, 1, 1], 3)
    matrix = counts(
        truth, corrupt(truth, None, "transition", transition=transition, n_classes=3), 3
    )
    expected = np.bincount(truth, minlength=3)[:, None] * transition
    assert np.abs(matrix - expected).max() < 2


def test_transition_scaled_to_a_rate():
    truth = np.repeat([0, 1], [300, 100])
    noisy = corrupt(truth, 0.1, "transition", transition=np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert counts(truth, noisy, 2).tolist() == [[270, 30], [10, 90]]


def test_instance_noise_depends_on_the_features():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 20)) * 1000 + 5
    truth = rng.integers(0, 6, 3000)
    noisy = corrupt(truth, 0.4, "instance", features=features, seed=1)
    wrong = noisy != truth
    # items alike in features and class go the same way: twins agree far above chance (1 in 5)
    twin = corrupt(
        np.repeat(truth, 2), 0.4, "instance", features=np.repeat(features, 2, axis=0), seed=1
    ).reshape(-1, 2)
    both = (twin != truth[:, None]).all(axis=1)
    assert wrong.sum() == 1200
    assert (twin[both, 0] == twin[both, 1]).mean() > 0.6
    # some items are likelier to flip than others, so twins flip together above 0.4 * 0.4
    scaled = corrupt(truth, 0.4, "instance", features=features * 7 - 3, seed=1)
    assert (scaled == noisy).all()


def test_names_series_and_dtypes_stay():
    names = pd.Series(["a", "b", "c", "a"] * 25)
    noisy = corrupt(names, 0.25)
    assert noisy.dtype == np.asarray(names).dtype
    assert set(noisy) == {"a", "b", "c"} and (noisy != names.to_numpy()).sum() == 25
    assert corrupt(np.zeros(4, np.int16), 0.5, n_classes=2).dtype == np.int16
    labels = np.array([3, 7, 3, 7])
    assert set(corrupt(labels, 0.5)) == {3, 7}


def test_input_is_not_changed():
    labels = np.arange(10) % 2
    corrupt(labels, 1.0)
    assert labels.tolist() == [0, 1] * 5


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (dict(rate=25), "rate 25 is not a fraction from 0 to 1 (25 percent is 0.25)"),
        (dict(rate=0.1, kind="flip"), "unknown kind of noise 'flip'"),
        (dict(rate=None), "needs a rate"),
        (dict(rate=0.1, kind="instance"), "needs features"),
        (dict(rate=0.1, kind="transition"), "needs transition"),
        (dict(rate=0.1, transition=np.eye(2)), "used by kind 'transition' only"),
        (dict(rate=0.1, kind="transition", transition=np.eye(3)), "shape (3, 3); want (2, 2)"),
        (dict(rate=0.1, kind="transition", transition=np.eye(2)), "the rate must be 0"),
        (dict(rate=None, kind="transition", transition=[[1, 0], [0.5, 0.4]]), "row 1 sums to 0.9"),
        (dict(rate=0.9, kind="transition", transition=[[1, 0], [0.5, 0.5]]), "lower the rate"),
        (dict(rate=0.1, kind="instance", features=np.zeros((3, 2))), "shape (3, 2); want (6, D)"),
        (dict(rate=0.1, kind="instance", features=np.full((6, 2), np.nan)), "NaN"),
        (dict(rate="0.2"), "rate '0.2' is str, not a number from 0 to 1"),
        (dict(rate=0.1, n_classes=1), "not in 0 to 0; the first is 1 in row 1"),
        (dict(rate=0.1, labels=["a", "a"]), "one class"),
        (dict(rate=0.1, labels=["a", None, "b"]), "1 of 3 labels are missing; the first is row 1"),
        (dict(rate=0.1, labels=[]), "empty"),
        (dict(rate=0.1, labels=[[0, 1]]), "shape (1, 2)"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, line):
    arguments = {"labels": [0, 1] * 3, **arguments}
    with pytest.raises(InputError) as error:
        corrupt(**arguments)
    assert line in str(error.value) and "\n" not in str(error.value)


def small_table(n=100, n_valid=40):
    given = np.arange(n) % 4
    return LabelTable(
        item=np.array([f"train/{i}.png" for i in range(n)], dtype=object),
        given=given,
        vocab=("a", "b", "c", "d"),
        valid=np.arange(n) >= n - n_valid,
    )


def test_table_has_the_layout_of_imagewoof_and_keeps_the_holdout():
    table = small_table()
    frame = corrupt_table(table, [0.05, 0.5])
    assert list(frame) == [
        "path",
        "noisy_labels_0",
        "noisy_labels_5",
        "noisy_labels_50",
        "is_valid",
    ]
    wrong = (frame["noisy_labels_50"] != frame["noisy_labels_0"]).to_numpy()
    assert wrong[~table.valid].sum() == 30 and wrong[table.valid].sum() == 0
    asked = corrupt_table(table, [0.5], holdout=True)
    wrong = (asked["noisy_labels_50"] != asked["noisy_labels_0"]).to_numpy()
    assert wrong[~table.valid].sum() == 30 and wrong[table.valid].sum() == 20


def test_written_file_is_read_again_with_items_in_place(tmp_path):
    table = small_table()
    line = corrupt_file(table, tmp_path / "noisy.csv", [0.25], "pair")
    assert line.endswith("of 60 training items 15 wrong in noisy_labels_25 (pair, seed 0)")
    again = read_table(
        tmp_path / "noisy.csv",
        label="noisy_labels_25",
        truth="noisy_labels_0",
        valid="is_valid",
        check_files=False,
    )
    assert (again.item == table.item).all() and (again.truth == table.given).all()
    assert (again.given != again.truth).sum() == 15


def test_files_for_transition_and_features(tmp_path):
    table = small_table()
    matrix = np.full((4, 4), 0.1) + 0.6 * np.eye(4)
    (tmp_path / "noise.json").write_text(json.dumps({"transition": matrix.tolist()}))
    line = corrupt_file(
        table,
        tmp_path / "a.csv",
        [None],
        "transition",
        transition=tmp_path / "noise.json",
    )
    assert "18 wrong in noisy_labels_30" in line
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(100, 3)))
    corrupt_file(table, tmp_path / "b.csv", [0.2], "instance", features=tmp_path / "x.npy")
    with pytest.raises(InputError, match="no such file"):
        corrupt_file(table, tmp_path / "c.csv", [0.2], "instance", features=tmp_path / "no.npy")
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        corrupt_file(table, tmp_path / "c.txt", [0.2])


@pytest.mark.skipif(not IMAGEWOOF.exists(), reason=f"{IMAGEWOOF} is not here")
def test_layout_is_the_one_that_imagewoof_ships():
    shipped = pd.read_csv(IMAGEWOOF)
    table = read_table(IMAGEWOOF, label="noisy_labels_0", valid="is_valid", check_files=False)
    frame = corrupt_table(table, [0.01, 0.05, 0.25, 0.5])
    assert list(frame) == list(shipped)
    assert (frame["path"] == shipped["path"]).all()
    assert (frame["noisy_labels_0"] == shipped["noisy_labels_0"]).all()
