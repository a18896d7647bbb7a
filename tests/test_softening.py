"""Soft labels: each strategy's targets, what goes in, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softfold.crossfit.oof import OutOfFold
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.issues import rank_issues
from softfold.noise.matrices import symmetric
from softfold.noise.model import as_noise_model
from softfold.softening import soften

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.85, 0.05], [0.3, 0.3, 0.4]], np.float32)
Y = np.array([0, 2, 1])


def noisy_problem(n: int = 3000, rate: float = 0.3, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    p = np.full((n, 3), 0.02)
    p[np.arange(n), truth] = 0.96
    given = truth.copy()
    wrong = rng.random(n) < rate
    given[wrong] = (truth[wrong] + 1) % 3
    return truth, given, p


def test_blend_weighs_the_given_label_with_the_probabilities():
    soft = soften(Y, P, "blend", given_weight=0.7)
    expected = 0.3 * P + 0.7 * np.eye(3)[Y]
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, expected, atol=1e-6)


def test_blend_hard_is_the_posts_formula():
    soft = soften(Y, P, "blend", hard=True)
    np.testing.assert_allclose(soft, 0.7 * np.eye(3)[Y] + 0.3 * np.eye(3)[P.argmax(1)], atol=1e-6)


def test_gate_keeps_given_labels_where_the_prediction_is_unsure_and_does_not_disagree():
    soft = soften(Y, P, "gate", threshold=0.8)
    np.testing.assert_allclose(soft[0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(soft[1], 0.3 * P[1] + 0.7 * np.eye(3)[2], atol=1e-6)


def test_posterior_is_bayes():
    T = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    q = P * T[:, Y].T
    np.testing.assert_allclose(
        soften(Y, P, "posterior", noise=T), q / q.sum(1, keepdims=True), atol=1e-5
    )


def test_auto_mends_noisy_labels_and_keeps_clean_ones():
    truth, given, p = noisy_problem()
    assert (soften(given, p).argmax(1) == truth).mean() > 0.95
    # Predictions that are unsure, and wrong as often as they say.
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(3, 0.2), 3000)
    truth = (p.cumsum(1) > rng.random((3000, 1))).argmax(1)
    assert (soften(truth, p).argmax(1) == truth).mean() > 0.995


def test_targets_are_distributions_for_every_strategy():
    _, given, p = noisy_problem(500)
    for strategy in ("auto", "posterior", "blend", "gate", "people", "given"):
        soft = soften(given, p, strategy)
        assert soft.shape == p.shape
        assert (soft >= 0).all()
        np.testing.assert_allclose(soft.sum(1), 1, atol=1e-5)


def test_writes_into_a_given_array_also_over_the_input(tmp_path):
    _, given, p = noisy_problem(500)
    expected = soften(given, p, "posterior")
    mapped = np.lib.format.open_memmap(tmp_path / "p.npy", "w+", np.float32, p.shape)
    mapped[:] = p
    made = soften(given, mapped, "posterior", out=mapped)
    assert made is mapped
    np.testing.assert_allclose(mapped, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [bool, int, float])
def test_takes_the_posts_data_frame(dtype):
    names = ["cat", "dog", "owl"]
    frame = pd.DataFrame(index=[f"{i}.jpg" for i in range(3)])
    for k, name in enumerate(names):
        frame[f"y_true_{name}"] = (k == Y).astype(dtype)
    for k in (2, 0, 1):  # another order of the classes
        frame[f"y_pred_{names[k]}"] = (P.argmax(1) == k).astype(dtype)
    soft = soften(frame, strategy="blend")
    assert soft.vocab == ("cat", "dog", "owl")
    assert list(soft.item) == list(frame.index)
    np.testing.assert_allclose(
        soft.targets, 0.7 * np.eye(3)[Y] + 0.3 * np.eye(3)[P.argmax(1)], atol=1e-6
    )


@pytest.mark.filterwarnings("ignore:.*sorted")
def test_columns_have_the_order_of_the_vocab_else_of_the_predictions_else_of_the_sorted_names():
    names, p = np.array(["b", "c", "a"]), np.eye(3)
    frame = pd.DataFrame(p, columns=["b", "c", "a"])
    for predictions, vocab, order in (
        (frame, None, "bca"),
        (frame, ["a", "b", "c"], "abc"),
        (p, ["c", "a", "b"], "cab"),
        (p, None, "abc"),
    ):
        given = soften(names, predictions, "given", vocab=vocab)
        assert [order[k] for k in given.argmax(axis=1)] == list(names)


def a_table(n: int = 40) -> tuple[LabelTable, OutOfFold]:
    rng = np.random.default_rng(0)
    item = np.array([f"i{j}" for j in range(n)], dtype=object)
    given = np.arange(n) % 3
    valid = np.arange(n) >= n - 10
    table = LabelTable(item=item, given=given, vocab=("a", "b", "c"), valid=valid)
    p = rng.dirichlet(np.ones(3), n - 10).astype(np.float32)
    # rows and columns in another order than the table's
    order, columns = rng.permutation(n - 10), [2, 0, 1]
    oof = OutOfFold(
        item=item[: n - 10][order],
        probabilities=p[order][:, columns],
        fold=np.zeros((n - 10, 1), np.int16),
        vocab=("c", "a", "b"),
    )
    return table, oof


def test_a_table_and_its_predictions_are_matched_by_key_and_class_name():
    table, oof = a_table()
    soft = soften(table, oof, "blend", given_weight=0.0)
    assert len(soft) == 30
    row = list(oof.item).index("i7")
    mine = soft.targets[list(soft.item).index("i7")]
    for name in "abc":
        assert mine[soft.vocab.index(name)] == pytest.approx(
            oof.probabilities[row, oof.vocab.index(name)], abs=1e-6
        )


def test_a_training_item_without_prediction_is_named():
    table, oof = a_table()
    short = OutOfFold(oof.item[1:], oof.probabilities[1:], oof.fold[1:], oof.vocab)
    with pytest.raises(InputError, match=f"1 training item of 30 .*'{oof.item[0]}'"):
        soften(table, short)


@pytest.mark.parametrize(
    ("labels", "p", "options", "line"),
    [
        ([0, 3, 1], P, {}, r"1 of 3 are outside 0..2 .*the first is 3 at row 1"),
        ([0, -1, 1], P, {}, r"the first is -1 at row 1"),
        ([0.0, 1.0, 2.0], P, {}, "expected integers"),
        ([0, 1], P, {}, r"2 labels, 3 rows"),
        (Y, P * [[1], [2], [1]], {}, r"1 of 3 rows is no probabilities.*row 1.*sums to 2"),
        (Y, np.where(P == 0.85, np.nan, P), {}, r"row 1, which is not finite"),
        (Y, P + [[0, 0, 0], [0, 0, 0], [-0.5, 0.5, 0]], {}, r"row 2, which holds -0.2"),
        (Y, P[0], {}, "expected a matrix"),
        (Y, P, {"strategy": "magic"}, "strategy 'magic' is unknown; there are auto, blend"),
        (Y, P, {"strategy": "blend", "given_weight": 1.2}, "given_weight is 1.2"),
        (Y, P, {"strategy": "blend", "threshold": 0.5}, "threshold belongs to strategy 'gate'"),
        (Y, P, {"noise": np.eye(2)}, r"transition matrix \(3, 3\)"),
    ],
)
def test_bad_input_gets_one_line(labels, p, options, line):
    with pytest.raises(InputError, match=line) as error:
        soften(np.asarray(labels), p, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda f: f.rename(columns={"y_pred_b": "y_pred_B"}),
            "class 'B' has a column y_pred_B and none named y_true_B",
        ),
        (lambda f: f.drop(columns="y_pred_b"), "2 of 2 rows are no probabilities"),
        (lambda f: f.assign(y_true_b=1), "not one-hot; the first is 'x'"),
        (lambda f: f[["y_true_a", "y_true_b"]], "no columns y_true_.* and y_pred_"),
        (lambda f: pd.concat([f, f]), "repeat an earlier one; the first is 'x'"),
    ],
)
def test_bad_data_frames_get_one_line(change, line):
    frame = pd.DataFrame(
        {"y_true_a": [1, 0], "y_true_b": [0, 1], "y_pred_a": [0.5, 0.1], "y_pred_b": [0.5, 0.9]},
        index=["x", "y"],
    )
    with pytest.raises(InputError, match=line):
        soften(change(frame))


@pytest.mark.parametrize("lacks", ["y_pred", "y_true"])
def test_a_class_that_get_dummies_has_no_column_of_is_zero(lacks):
    names = pd.DataFrame({"y_true": list("abc"), "y_pred": list("cab")}, index=list("xyz"))
    names.loc[names[lacks] == "c", lacks] = "a"
    frame = pd.get_dummies(names, columns=["y_true", "y_pred"])
    assert f"{lacks}_c" not in frame
    soft = soften(frame, strategy="blend")
    assert soft.vocab == ("a", "b", "c")
    expected = [[0.7 * (t == k) + 0.3 * (p == k) for k in "abc"] for t, p in names.to_numpy()]
    np.testing.assert_allclose(soft.targets, expected, atol=1e-6)


def test_a_noise_model_given_is_used_as_it_is():
    noise = as_noise_model(np.eye(3), 3)
    np.testing.assert_allclose(soften(Y, P, noise=noise), np.eye(3)[Y], atol=1e-6)


def test_people_are_of_more_minds_than_one_label_shows():
    # soft truth: ten people each; the given label is one of them, the model knows the mixture
    rng = np.random.default_rng(0)
    mind = rng.dirichlet(np.full(4, 0.15), 4000)
    people = np.stack([rng.multinomial(10, m) / 10 for m in mind])
    given = (mind.cumsum(1) > rng.random((4000, 1))).argmax(1)
    p = mind**1.5 / (mind**1.5).sum(1, keepdims=True)

    def cross_entropy(q):
        return -(people * np.log(np.maximum(q, 1e-3))).sum(1).mean()

    said = cross_entropy(soften(given, p, "people"))
    assert said < cross_entropy(soften(given, p, "blend"))
    assert said < cross_entropy(soften(given, p, "given"))


def test_predictions_that_tell_nothing_are_said_to_and_labels_stay_as_given():
    rng = np.random.default_rng(0)
    keys = np.array([f"i{i}" for i in range(300)], dtype=object)
    table = LabelTable(keys, np.arange(300) % 3, ("a", "b", "c"), np.zeros(300, bool))
    p = rng.dirichlet(np.ones(3), 300)
    with pytest.warns(UserWarning, match="tell nothing .* so the soft labels are the given ones"):
        soft = soften(table, p)
    assert "'given', since predictions tell nothing" in repr(soft)
    assert (soft.targets.argmax(1) == table.given).all()
    with pytest.warns(UserWarning, match="tell nothing .* trust no list of wrong ones"):
        rank_issues(table, p)
    assert "since" not in repr(soften(table, p, "given"))


def test_targets_do_not_depend_on_how_many_work_on_them(monkeypatch):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(8), 40_000).astype(np.float32)
    given, noise, found = rng.integers(0, 8, len(p)), symmetric(8, 0.2), []
    for cores in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        found.append(soften(given, p, "posterior", noise=noise))
    np.testing.assert_array_equal(*found)
    few = soften(given[::4000], p[::4000], "posterior", noise=noise)
    np.testing.assert_allclose(found[0][::4000], few, rtol=1e-6)
