"""Rows by key and columns by name, for every public function and every input it accepts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softfold.align import Aligned, align_predictions, align_targets
from softfold.crossfit.oof import OutOfFold
from softfold.crossfit.plain import cross_fit
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.issues import rank_issues
from softfold.job.comparing import compare
from softfold.noise.estimation import estimate_noise
from softfold.soft_labels import SoftLabels
from softfold.softening import soften
from softfold.trainers import BaseModel, BaseTrainer

NAMES = ("ant", "bee", "cow", "dog")
N, K = 400, len(NAMES)


def facts() -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """What is so, in no order: each item's given label, and its predictions by class name."""
    rng = np.random.default_rng(0)
    truth = np.arange(N) % K
    given = np.where((truth == 1) & (rng.random(N) < 0.4), 2, truth)
    p = rng.dirichlet(np.full(K, 0.3), N) * 0.04
    p[np.arange(N), truth] += 0.96
    keys = [f"item {i}" for i in range(N)]
    return (
        {key: NAMES[g] for key, g in zip(keys, given)},
        {key: dict(zip(NAMES, row)) for key, row in zip(keys, p.astype(np.float32))},
    )


GIVEN, PREDICTED = facts()


def shuffled(values, seed: int | None) -> list:
    """In an order of its own; None: sorted."""
    values = sorted(values)
    if seed is None:
        return values
    return [values[i] for i in np.random.default_rng(seed).permutation(len(values))]


def codes(items, names) -> np.ndarray:
    return np.array([list(names).index(GIVEN[i]) for i in items])


def matrix(items, names) -> np.ndarray:
    return np.array([[PREDICTED[i][c] for c in names] for i in items], np.float32)


def a_table(seed: int | None) -> LabelTable:
    """Items and hold-out items in one order, classes in another."""
    items = np.array(shuffled([*GIVEN, *(f"held {i}" for i in range(12))], seed), dtype=object)
    names = shuffled(NAMES, seed)
    valid = np.array([key.startswith("held") for key in items])
    label = [names.index(GIVEN.get(key, "bee")) for key in items]
    rows = np.arange(float(len(items)))[:, None]  # rows that are alike would share a fold
    return LabelTable(items, np.array(label), tuple(names), valid, data=rows)


def a_matrix_of(table: LabelTable) -> np.ndarray:
    """Predictions of all items of a table; those of hold-out items are as wrong as can be."""
    p = np.zeros((len(table), K), np.float32)
    p[:, 0] = 1
    p[~table.valid] = matrix(table.train.item, table.vocab)
    return p


def keyed(kind: str, seed: int | None):
    """The predictions in an order of their own, one item too many."""
    items, names = shuffled(GIVEN, seed), shuffled(NAMES, seed)
    p, more = matrix(items, names), [*items, "another"]
    p = np.vstack([p, p[:1]])
    if kind == "data frame":
        return pd.DataFrame(p, index=more, columns=names)
    if kind == "SoftLabels":
        return SoftLabels(np.array(more, dtype=object), p, tuple(names), "given")
    fold = np.zeros((len(more), 1), np.int16)
    return OutOfFold(np.array(more, dtype=object), p, fold, tuple(names))


def same_rows(kind: str, items, seed: int | None):
    """Predictions with class names in an order of their own, rows in that of the items."""
    names = shuffled(NAMES, seed)
    if kind == "OutOfFold":
        fold = np.zeros((len(items), 1), np.int16)
        return OutOfFold(np.array(items, dtype=object), matrix(items, names), fold, tuple(names))
    return pd.DataFrame(matrix(items, names), columns=names)


def pair(name: str, seed: int | None):
    """labels, probabilities, vocab; and in which order of items and classes the answer is."""
    items, names = shuffled(GIVEN, seed), tuple(shuffled(NAMES, seed))
    other = None if seed is None else seed + 1
    labels = np.array([GIVEN[i] for i in items])
    table = a_table(seed)
    p = matrix(items, names)
    of_table = (table.train.item, table.vocab)
    if name == "integers, array":
        return codes(items, names), p, None, items, names
    if name == "integers, array, vocab":
        return codes(items, names), p, names, items, names
    if name == "names, array":
        return labels, matrix(items, NAMES), None, items, NAMES
    if name == "names, array, vocab":
        return list(labels), p, names, items, names
    if name.startswith("integers with vocab, "):
        return codes(items, names), same_rows(name[21:], items, other), names, items, names
    if name.startswith("names, "):
        mine = tuple(shuffled(NAMES, other))
        return labels, same_rows(name[7:], items, other), None, items, mine
    if name.startswith("Series, "):
        mine = tuple(shuffled(NAMES, other))
        return pd.Series(labels, index=items), keyed(name[8:], other), None, items, mine
    if name == "table, array":
        return table, matrix(*of_table), None, *of_table
    if name == "table, array, vocab":
        mine = tuple(shuffled(NAMES, other))
        return table, matrix(table.train.item, mine), mine, *of_table
    if name == "table, array of all items":
        return table, a_matrix_of(table), None, *of_table
    if name.startswith("table, "):
        return table, keyed(name[7:], other), None, *of_table
    frame = pd.DataFrame(index=items)
    for c in names:
        frame[f"y_true_{c}"] = labels == c
    for c in shuffled(NAMES, other):
        frame[f"y_pred_{c}"] = matrix(items, [c])[:, 0]
    return frame, None, None, items, NAMES


PAIRS = [
    "integers, array",
    "integers, array, vocab",
    "integers with vocab, OutOfFold",
    "integers with vocab, data frame",
    "names, array",
    "names, array, vocab",
    "names, OutOfFold",
    "names, data frame",
    "Series, OutOfFold",
    "Series, SoftLabels",
    "Series, data frame",
    "table, array",
    "table, array, vocab",
    "table, array of all items",
    "table, OutOfFold",
    "table, SoftLabels",
    "table, data frame",
    "frame of y_true and y_pred",
]
SEEDS = [None, 1, 2]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PAIRS)
def test_estimate_noise_matches_rows_and_columns(name, seed):
    labels, p, vocab, items, names = pair(name, seed)
    found = estimate_noise(labels, p, vocab=vocab)
    plain = estimate_noise(codes(items, names), matrix(items, names))
    np.testing.assert_array_equal(found.transition, plain.transition)
    bee, cow = list(names).index("bee"), list(names).index("cow")
    assert 0.2 < found.transition[bee, cow] < 0.6


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PAIRS)
def test_soften_matches_rows_and_columns(name, seed):
    labels, p, vocab, items, names = pair(name, seed)
    made = soften(labels, p, "blend", given_weight=0.25, vocab=vocab)
    if isinstance(made, SoftLabels):
        assert (list(made.item), made.vocab) == (list(items), tuple(names))
        made = made.targets
    else:
        assert name.startswith(("integers", "names"))
    for i, row in zip(items, made):
        for c, value in zip(names, row):
            assert value == pytest.approx(0.75 * PREDICTED[i][c] + 0.25 * (GIVEN[i] == c), abs=1e-5)


def by_item(ranked: pd.DataFrame, items, names) -> dict[str, tuple]:
    """Each item's given and suggested class and suspicion, whatever the order."""

    def named(column):
        return [c if isinstance(c, str) else names[c] for c in ranked[column]]

    keys = [items[i] for i in ranked["index"]]
    if "item" in ranked:
        assert keys == list(ranked["item"])
    found = zip(named("given"), named("suggested"), ranked["suspicion"].round(4))
    return dict(zip(keys, found))


# T[truth, given] of even noise is the same in every order of the classes.
EVEN = np.full((K, K), 0.1) + 0.6 * np.eye(K)
RIGHT = by_item(
    rank_issues(codes(GIVEN, NAMES), matrix(GIVEN, NAMES), noise=EVEN), list(GIVEN), NAMES
)


def assert_ranks_alike(rank, name, seed):
    labels, p, vocab, items, names = pair(name, seed)
    options = {} if vocab is None else {"vocab": vocab}
    ranked = rank(labels, p, noise=EVEN, **options)
    found = by_item(ranked, list(items), names)
    assert {i: f[:2] for i, f in found.items()} == {i: f[:2] for i, f in RIGHT.items()}
    for i, (_, _, suspicion) in found.items():
        assert suspicion == pytest.approx(RIGHT[i][2], abs=1e-3)
    return ranked


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PAIRS)
def test_rank_issues_matches_rows_and_columns(name, seed):
    ranked = assert_ranks_alike(rank_issues, name, seed)
    # The words of the answer are those of the labels.
    assert isinstance(ranked["given"][0], str) == (name != "integers, array")
    assert ("item" in ranked) == name.startswith(("table", "Series", "frame"))


def rank_issues_by_key_alone(table, oof, **options):
    """How rank_issues compared its inputs once: item keys, and no class names."""
    train = table.train
    if not np.array_equal(oof.item, train.item):
        raise InputError("the predictions are of other items than the table's")
    ranked = rank_issues(train.given, np.asarray(oof), vocab=train.vocab, **options)
    return ranked.assign(item=train.item[ranked["index"]])


def test_class_names_that_are_not_compared_turn_right_labels_into_suspects():
    table = a_table(None)
    items, names = table.train.item, ["dog", "ant", "bee", "cow"]
    fold = np.zeros((len(items), 1), np.int16)
    permuted = OutOfFold(items, matrix(items, names), fold, tuple(names))
    right = [i for i in items if max(PREDICTED[i], key=PREDICTED[i].get) == GIVEN[i]]
    old = rank_issues_by_key_alone(table, permuted, noise=EVEN).set_index("item")
    new = rank_issues(table, permuted, noise=EVEN).set_index("item")
    assert (old.loc[right, "suspicion"] > 0.5).all()
    assert (new.loc[right, "suspicion"] < 0.5).all()


def test_the_test_above_fails_for_a_function_that_compares_keys_alone():
    def old(labels, p, **options):
        items = labels.train.item  # in the table's order, so that keys agree
        rows = [list(p.item).index(i) for i in items]
        same = OutOfFold(items, p.probabilities[rows], p.fold[rows], p.vocab)
        return rank_issues_by_key_alone(labels, same, **options)

    assert_ranks_alike(old, "table, OutOfFold", None)
    with pytest.raises(AssertionError):
        assert_ranks_alike(old, "table, OutOfFold", 1)


class Recorder(BaseTrainer, BaseModel):
    """A trainer that keeps each item's target by class name, and predicts anything."""

    name = "recorder"

    def __init__(self) -> None:
        self.seen: list[dict[str, dict[str, float]]] = []

    def describe(self):
        return {}

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        targets = np.asarray(targets)
        self.seen.append(
            {i: dict(zip(table.vocab, row)) for i, row in zip(table.item, targets.tolist())}
        )
        return self

    def predict(self, table):
        return np.full((len(table), K), 1 / K, np.float32)


TARGETS = ["array", "array of all items", "OutOfFold", "SoftLabels", "data frame"]


def targets_of(name: str, seed: int | None):
    table = a_table(seed)
    if name == "array":
        return table, matrix(table.train.item, table.vocab)
    if name == "array of all items":
        return table, a_matrix_of(table)
    return table, keyed(name, None if seed is None else seed + 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", TARGETS)
def test_cross_fit_trains_on_the_targets_of_the_items(name, seed):
    table, targets = targets_of(name, seed)
    trainer = Recorder()
    cross_fit(table, trainer, n_folds=3, targets=targets)
    assert len(trainer.seen) == 3
    assert set().union(*trainer.seen) == set(GIVEN)
    for seen in trainer.seen:
        for item, target in seen.items():
            assert target == pytest.approx(PREDICTED[item], abs=1e-6)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", TARGETS)
def test_compare_trains_on_the_targets_of_the_items(name, seed, several):
    table, targets = targets_of(name, seed)
    trainer = Recorder()
    compare(table, [targets, targets] if several else targets, trainer, seeds=2)
    # the models of the given labels first, one a seed, then those of the soft labels
    for baseline, soft in zip(trainer.seen[:2], trainer.seen[2:], strict=True):
        assert set(baseline) == set(soft) == set(GIVEN)
        for item in soft:
            assert baseline[item] == {c: float(GIVEN[item] == c) for c in NAMES}
            assert soft[item] == pytest.approx(PREDICTED[item], abs=1e-6)


def test_what_is_in_order_is_not_copied(tmp_path):
    table = a_table(None)
    train = table.train
    p = np.lib.format.open_memmap(tmp_path / "p.npy", "w+", np.float32, (len(train), K))
    p[:] = matrix(train.item, train.vocab)
    fold = np.zeros((len(train), 1), np.int16)
    for labels, value in (
        (train.given, p),
        (table, p),
        (table, OutOfFold(train.item, p, fold, train.vocab)),
        (table, SoftLabels(train.item, p, train.vocab, "given")),
    ):
        both = align_predictions(labels, value)
        assert isinstance(both, Aligned)
        assert np.shares_memory(both.probabilities, p)
        assert isinstance(both.probabilities, np.memmap)


P2 = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
TABLE = LabelTable(
    np.array(["x", "y", "z"], dtype=object),
    np.array([0, 1, 1]),
    ("a", "b"),
    np.zeros(3, dtype=bool),
    name="toy",
)
HELD = LabelTable(TABLE.item, TABLE.given, TABLE.vocab, np.array([False, False, True]), name="toy")
FRAME = pd.DataFrame(P2, index=list("xyz"), columns=list("ab"))
TWICE = FRAME.set_axis(["a", "a"], axis=1)


@pytest.mark.parametrize(
    ("labels", "p", "vocab", "line"),
    [
        (TABLE, FRAME.drop(index="y"), None, "1 training item of 3 without a prediction.*'y'"),
        (TABLE, FRAME.rename(columns={"b": "c"}), None, r"predictions lack 'b' \(there are a, c"),
        (TABLE, FRAME.assign(c=0.0), None, "label table lacks 'c'"),
        (TABLE, FRAME.rename(index={"z": "x"}), None, "1 of 3 repeat an earlier one.*'x'"),
        (TABLE, FRAME.astype(str), None, "column 'a' of the data frame holds [a-z]+$"),
        (TABLE, P2[:2], None, r"shape \(2, 2\) do not fit toy with 3 training items and 2"),
        (HELD, np.vstack([P2, P2]), None, r"toy with 2 training items \(3 with the hold-out\)"),
        (TABLE, P2, ["a", "c"], "vocab= lacks 'b'"),
        (TABLE, P2, ["a", "a"], "vocab: 1 of 2 repeat an earlier one; the first is 'a'"),
        (TABLE, None, None, "probabilities are missing"),
        (FRAME, P2, None, "give softfold.read_table"),
        (FRAME.add_prefix("y_true_"), P2, None, "give it alone"),
        (["a", "b", "e"], P2, ["a", "b"], "1 label of 3 of no known class; the first is 'e' at r"),
        (["a", "b", "c"], P2, None, "labels have 3 names, probabilities have 2 columns: .*vocab="),
        (["a", None, "b"], P2, None, "1 of 3 are neither integers nor names; .*None at row 1"),
        ([], P2, None, "labels: .* none|labels: expected"),
        (np.array([], dtype=object), P2, None, "labels: there are none"),
        ([[0], [0, 1]], P2, None, "labels: expected one label an item, got lists of other len"),
        ([0, 1, 0], [[0.5, 0.5], [1.0]], None, "predictions: no matrix, its rows differ in leng"),
        (["a", "b", "a"], P2, ["a", "c"], "no known class"),
        ([0, 1], P2, None, "2 labels, 3 rows"),
        ([0, 1, 0], FRAME, None, "have item keys .*'x'.* and the labels have none"),
        (pd.Series(["a", "b", "a"]), FRAME, None, "the labels have none.*to_numpy"),
        (pd.Series([0, 1], index=["x", "w"]), FRAME, None, "1 label of 2 without a pred.*'w'"),
        (pd.Series([0, 1], index=["x", "x"]), FRAME, None, "keys of the labels: 1 of 2 repeat"),
        (pd.Series(list("ab"), index=list("xy")), TWICE, None, "columns of the pr.* first is 'a'"),
        (TABLE, TWICE, None, "columns of the predictions: 1 of 2 repeat an earlier one; .*'a'"),
    ],
)
def test_what_does_not_match_is_named_in_one_line(labels, p, vocab, line):
    with pytest.raises(InputError, match=line) as error:
        align_predictions(labels, p, vocab)
    assert "\n" not in str(error.value)


def test_what_a_run_predicted_says_which_table_has_its_items():
    table, oof = a_table(None), keyed("oof", None)
    part = OutOfFold(oof.item[1:], oof.probabilities[1:], oof.fold[1:], oof.vocab)
    with pytest.raises(InputError, match=r"without an out-of-fold pred.*run, .* run\.table\(\)$"):
        align_predictions(table, part)


def test_keys_in_a_column_are_said_to_be_wanted_in_the_index():
    keys_in_column = FRAME.rename_axis("path").reset_index()
    with pytest.raises(InputError, match=r"column 'path' .*give frame\.set_index\('path'\)$"):
        align_predictions(TABLE, keys_in_column)
    with pytest.raises(InputError, match=r"column 'path' of the data frame holds [a-z]+$"):
        align_predictions(TABLE, keys_in_column.assign(path="cat"))


def test_items_of_the_hold_out_alone_are_refused():
    held = LabelTable(TABLE.item, TABLE.given, TABLE.vocab, np.ones(3, dtype=bool), name="toy")
    with pytest.raises(InputError, match="toy: all its items are in the hold-out"):
        align_predictions(held, P2)


def test_a_frame_that_pandas_numbered_goes_by_position_unless_its_numbers_are_keys():
    plain = pd.DataFrame(P2)
    np.testing.assert_array_equal(align_predictions(TABLE, plain).probabilities, P2)
    numbers = LabelTable(
        np.array(["2", "0", "1"], dtype=object), TABLE.given, TABLE.vocab, TABLE.valid
    )
    with pytest.raises(InputError, match=r"index are 0 to 2, which may be positions or names"):
        align_predictions(numbers, pd.DataFrame(P2, columns=["a", "b"]))
    digits = LabelTable(TABLE.item, TABLE.given, ("1", "0"), TABLE.valid)
    with pytest.raises(InputError, match=r"columns are 0 to 1, which may be positions or names"):
        align_predictions(digits, pd.DataFrame(P2, index=list("xyz")))


def test_whole_numbers_as_names_are_sorted_by_value():
    names = [str(i) for i in range(11)]
    both = align_predictions(names, np.eye(11))
    assert both.vocab == tuple(names)
    np.testing.assert_array_equal(both.labels, np.arange(11))


def test_targets_that_are_no_distributions_are_refused():
    with pytest.raises(InputError, match="targets: 1 of 3 rows is no probabilities"):
        align_targets(TABLE, P2 * [[1], [1], [2]])
    with pytest.raises(InputError, match="1 training item of 3 without a target"):
        align_targets(TABLE, FRAME.drop(index="z"))


def test_a_series_that_pandas_numbered_meets_a_frame_of_these_numbers_in_another_order():
    given = pd.Series(["a", "b", "a", "b"])
    folds = [pd.DataFrame({"a": [0.1, 0.2], "b": [0.9, 0.8]}, index=[1, 3])]
    folds.append(pd.DataFrame({"a": [0.7, 0.6], "b": [0.3, 0.4]}, index=[0, 2]))
    both = align_predictions(given, pd.concat(folds))
    np.testing.assert_allclose(both.probabilities[:, 0], [0.7, 0.1, 0.6, 0.2])


def test_labels_whose_row_names_stand_in_another_order_are_not_taken_by_position():
    p = np.repeat([[0.9, 0.1], [0.2, 0.8]], 3, axis=0)
    given = pd.Series([0, 0, 0, 1, 1, 1])
    shuffled = given.iloc[[5, 0, 3, 1, 4, 2]]
    with pytest.raises(InputError, match="orders differ; the first wanted is '5'"):
        align_predictions(shuffled, pd.DataFrame(p))
    both = align_predictions(shuffled, pd.DataFrame(p, index=range(6)).iloc[::-1])
    assert (both.probabilities.argmax(1) == shuffled.to_numpy()).all()
    few = given[given.index % 2 == 0]  # names with gaps: the frame is numbered by itself
    assert align_predictions(few, pd.DataFrame(p[::2])).labels.tolist() == [0, 0, 1]


def test_names_in_sorted_order_beside_columns_of_another_order_are_doubted():
    names = np.array(["zero", "one", "two", "three"], object)
    codes = np.arange(80) % 4
    p = 0.1 + 0.6 * np.eye(4)[codes]
    with pytest.warns(UserWarning, match="say it with vocab="):
        align_predictions(names[codes], p)
    columns = [sorted(names).index(n) for n in names]
    sorted_p = np.empty_like(p)
    sorted_p[:, columns] = p
    assert align_predictions(names[codes], sorted_p).labels.tolist() == [columns[c] for c in codes]
    align_predictions(names[codes], p, vocab=names)
    # a model that says one class of nearly everything tells no order, and is not doubted
    align_predictions(names[codes], np.tile([0.1, 0.2, 0.4, 0.3], (80, 1)))
