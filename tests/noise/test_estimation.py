"""The noise model: found again from labels and predictions alone, or with a few checked items."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_noise import pair, people, problem, weak_model

from softfold import InputError, LabelTable, estimate_noise, rank_issues, soften
from softfold.noise.matrices import symmetric
from softfold.noise.model import NoiseModel, as_noise_model, posterior
from softfold.noise.scoring import score


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_even_noise_is_found_whatever_the_confidence_of_the_predictions(rate, temperature):
    truth, given, p = problem(symmetric(8, rate), temperature=temperature)
    noise = estimate_noise(given, p)
    wrong = (truth != given).mean()
    assert not noise.clean
    assert abs(noise.rate - wrong) < 0.03
    assert noise.rate_interval[0] < wrong < noise.rate_interval[1]


def test_structured_noise_is_found():
    transition = pair(6, 0.3)
    truth, given, p = problem(transition)
    noise = estimate_noise(given, p)
    assert noise.best.name == "by_class"
    assert np.abs(noise.transition - transition).max() < 0.06
    np.testing.assert_allclose(noise.transition.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(noise.prior, np.bincount(truth, minlength=6) / len(truth), atol=0.03)


def test_right_labels_under_a_weak_model_stay_and_the_rate_is_left_open():
    given, p = weak_model()
    noise = estimate_noise(given, p)
    assert noise.clean
    assert noise.rate_interval[0] == 0
    assert noise.rate_interval[1] > (p.argmax(1) != given).mean()
    assert (soften(given, p, noise=noise).argmax(1) == given).mean() > 0.995


def test_noise_that_follows_the_item_is_not_taken_for_an_unsure_model():
    truth, given, p = people()
    noise = estimate_noise(given, p)
    wrong = (truth != given).mean()
    assert noise.rate == pytest.approx(wrong, abs=0.08)
    assert noise.rate_interval[0] < wrong < noise.rate_interval[1]
    q = soften(given, p, noise=noise)
    right = (q.argmax(1) == truth).mean()
    assert right > (given == truth).mean() + 0.1


def test_checked_items_settle_the_rate():
    given, p = weak_model()
    rows = np.random.default_rng(1).choice(len(given), 100, replace=False)
    wide = estimate_noise(given, p)
    noise = estimate_noise(given, p, checked=(rows, given[rows]))
    low, high = noise.rate_interval
    assert noise.audited == 100
    assert low == 0
    assert high < 0.05 < wide.rate_interval[1]
    assert noise.rate < 0.01
    # the explanations that these items speak against are believed less
    assert noise.weight("clean") > wide.weight("clean")


def test_a_handful_of_checked_items_does_not_take_the_place_of_the_estimate():
    given, p = weak_model()
    before, rows = estimate_noise(given, p), np.arange(29)
    few = estimate_noise(given, p, checked=(rows, given[rows]))
    assert few.audited == 0 and few.rate_interval == before.rate_interval
    assert estimate_noise(given, p, checked=(np.arange(30), given[:30])).audited == 30


def test_an_audit_overrules_what_predictions_seem_to_say():
    # every third label wrong, and the predictions foresee most of it
    rng = np.random.default_rng(0)
    given, p = weak_model()
    truth = np.where(rng.random(len(given)) < 0.3, (given + 1) % 8, given)
    rows = rng.choice(len(given), 150, replace=False)
    noise = estimate_noise(given, p, checked=(rows, truth[rows]))
    low, high = noise.rate_interval
    assert low < (truth != given).mean() < high
    # what is said of single items adds up to it
    assert low - 0.01 <= score(given, p, noise).suspicion.mean() <= high + 0.01
    soft = soften(given, p, noise=noise)[np.arange(len(given)), given]
    # an item of no class keeps a share of its given label
    assert low - 0.03 <= 1 - soft.mean() <= high + 0.01


@pytest.mark.filterwarnings("ignore:predictions tell nothing")
def test_useless_predictions_give_no_rate():
    rng = np.random.default_rng(0)
    given = rng.integers(0, 4, 3000)
    p = rng.dirichlet(np.ones(4), 3000)
    noise = estimate_noise(given, p)
    assert np.isnan(noise.rate)
    assert noise.rate_interval == (0.0, 1.0)
    assert noise.information == 0
    assert (soften(given, p).argmax(1) == given).all()
    assert "rate" not in noise.to_json()
    assert np.isnan(NoiseModel.from_json(noise.to_json()).rate)


@pytest.mark.parametrize("k", [2, 3, 10])
@pytest.mark.parametrize("spread", [0.1, 0.3, 1.0, 3.0])
def test_predictions_that_say_little_leave_the_rate_open(k, spread):
    rng = np.random.default_rng(0)
    p = np.exp(rng.normal(0, spread, (3000, k)))
    p /= p.sum(axis=1, keepdims=True)
    given = (p.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
    noise = estimate_noise(given, p)
    assert noise.rate_interval[0] < 0.02 or np.isnan(noise.rate)


def test_small_classes_do_not_break_it():
    rng = np.random.default_rng(0)
    truth = np.r_[np.zeros(1900, int), np.ones(97, int), [2, 2, 2]]
    p = np.full((2000, 4), 0.01)  # the fourth class is nobody's
    p[np.arange(2000), truth] = 0.97
    given = np.where(rng.random(2000) < 0.1, rng.integers(0, 2, 2000), truth)
    noise = estimate_noise(given, p)
    assert np.isfinite(noise.transition).all()
    assert (noise.transition >= 0).all()
    np.testing.assert_allclose(noise.transition.sum(1), 1, atol=1e-6)
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.02)


def test_many_classes():
    k, n = 500, 8000
    rng = np.random.default_rng(0)
    truth = np.arange(n) % k
    p = rng.random((n, k), dtype=np.float32) * 2e-5
    p[np.arange(n), truth] += 0.9
    p /= p.sum(1, keepdims=True)
    given = truth.copy()
    wrong = rng.random(n) < 0.2
    given[wrong] = rng.integers(0, k, wrong.sum())
    noise = estimate_noise(given, p)
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.02)
    q = posterior(given[:500], p[:500], noise)
    assert (q.argmax(1) == truth[:500]).mean() > 0.99


def test_zeros_and_ones_as_probabilities():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    given = np.where(rng.random(900) < 0.2, (truth + 1) % 3, truth)
    noise = estimate_noise(given, np.eye(3, dtype=np.float32)[truth])
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.02)


def test_a_large_table_is_fitted_on_a_sample(monkeypatch):
    from softfold.noise import estimation as module

    transition = pair(6, 0.3)
    truth, given, p = problem(transition, n=40_000)
    monkeypatch.setattr(module, "ITEMS", 6000)
    noise = estimate_noise(given, p)
    assert np.abs(noise.transition - transition).max() < 0.06
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.03)


@pytest.mark.parametrize(
    ("checked", "says"),
    [
        (([0, 1], [0]), "shapes"),
        (([0, 99_999], [0, 0]), "outside 0..499; the first is 99999"),
        (([0, 1], [0, 7]), r"1 of 2 are no class; the first is 7: .* columns .*, 0\.\.2; -1 or"),
        (([2**70], [0]), "1 of 1 row are outside 0..499"),
        (([0, 1], [-2, 0]), "1 of 2 are no class; the first is -2"),
        (([0, 1], [0.5, np.nan]), "1 of 2 are no class; the first is 0.5"),
        (([0, 1], ["a", "b"]), "2 of 2 are no class; the first is 'a': expected numbers"),
        (([3, 3], [0, 1]), "row 3 is there 2 times"),
        (([0.5], [1]), "expected integers"),
        ((["k1"], [1]), "expected integers, got string"),
        ((3, [1]), r"expected rows \(m,\)"),
        (np.full(500, -1), r"expected \(rows, truth\), two arrays, got ndarray"),
        ({3: 1}, "got dict"),
    ],
)
def test_checked_items_that_cannot_be_are_named(checked, says):
    _, given, p = problem(symmetric(3, 0.2), n=500)
    with pytest.raises(InputError, match=says):
        estimate_noise(given, p, checked=checked)


def checked_by_key(order):
    """Labels by key and name, predictions with their columns in an order, and 60 checked items."""
    truth, given, p = problem(symmetric(3, 0.2), n=500)
    names, keys = np.array(["ant", "bee", "cow"]), np.array([f"k{i}" for i in range(500)])
    labels = pd.Series(names[given], index=keys)
    predicted = pd.DataFrame(p, index=keys, columns=names)[order].iloc[::-1]
    rows = np.random.default_rng(0).choice(500, 60, replace=False)
    told = [None, np.nan, "", -1, *names[truth[rows[4:]]]]
    codes = [-1] * 4 + [order.index(name) for name in told[4:]]
    return labels, predicted, keys, rows, told, codes


@pytest.mark.parametrize("order", [["ant", "bee", "cow"], ["cow", "ant", "bee"]])
def test_checked_items_are_found_by_key_and_their_truth_by_name(order):
    labels, predicted, keys, rows, told, codes = checked_by_key(order)
    expected = estimate_noise(labels, predicted, checked=(rows, codes))
    assert expected.audited == 60 and expected.rate >= 4 / 60
    names = ("ant", "bee", "cow")
    numbers = labels.map(names.index).to_numpy()
    table = LabelTable(keys.astype(object), numbers, names, np.zeros(500, bool))
    for given in (labels, table):
        found = estimate_noise(given, predicted, checked=(keys[rows], told))
        assert found.rate == pytest.approx(expected.rate, abs=1e-4)
        assert found.audited == 60
    floats = np.where(np.array(codes) < 0, np.nan, codes)  # as pandas holds numbers with gaps
    assert estimate_noise(labels, predicted, checked=(rows, floats)).rate == expected.rate


def test_checked_items_and_classes_that_there_are_not_are_named():
    labels, predicted, *_ = checked_by_key(["cow", "ant", "bee"])
    for checked, line in (
        ((["k1", "z"], ["ant", "ant"]), "checked: 1 item of 2 not among the labels; .* 'z'"),
        ((["k1", "k1"], ["ant", "ant"]), "row 'k1' is there 2 times"),
        (([0.5], ["ant"]), "expected integers or item keys such as 'k0', got floating"),
        ((["k1"], ["Ant"]), "first is 'Ant': expected names .* in this order: cow, ant, bee; -1"),
    ):
        with pytest.raises(InputError, match=line):
            estimate_noise(labels, predicted, checked=checked)


def test_items_of_no_class_are_suspected_whatever_their_label():
    rng = np.random.default_rng(0)
    n, k = 4000, 8
    truth = rng.integers(0, k, n)
    odd = rng.random(n) < 0.08
    logits = rng.normal(0, 1.2, (n, k))
    logits[np.arange(n), truth] += np.where(odd, 0.3, 6.0)
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    issues = rank_issues(truth, p).sort_values("index")
    suspected = issues["none_of_these"].to_numpy()
    assert suspected[odd].mean() > 3 * suspected[~odd].mean()


def test_a_noise_model_that_is_none_is_refused():
    with pytest.raises(InputError, match="expected a NoiseModel or a transition matrix"):
        as_noise_model("x", 2)
