"""Measures agree with scikit-learn's; the paired difference holds what its interval claims."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.errors import InputError
from softfold.evaluation import (
    accuracy,
    average_precision,
    calibration_error,
    log_loss,
    paired_difference,
    roc_auc,
)

metrics = pytest.importorskip("sklearn.metrics")


def predictions(m, k, seed, coarse=False):
    """Probabilities and labels; coarse ones have many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(m) % k)
    scores = rng.normal(size=(m, k)) + 1.5 * np.eye(k)[labels]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return (np.round(p, 1) if coarse else p), labels


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize(("m", "k"), [(200, 2), (999, 3), (500, 17)])
def test_measures_agree_with_scikit_learn(m, k, coarse):
    p, y = predictions(m, k, seed=m, coarse=coarse)
    assert accuracy(p, y) == metrics.accuracy_score(y, p.argmax(axis=1))
    areas = [metrics.roc_auc_score(y == j, p[:, j]) for j in range(k)]
    assert roc_auc(p, y) == pytest.approx(areas[1] if k == 2 else np.mean(areas), abs=1e-12)
    expected = metrics.average_precision_score(y == 1, p[:, 1])
    assert average_precision(p[:, 1], y == 1) == pytest.approx(expected, abs=1e-12)
    if not coarse:
        assert log_loss(p, y) == pytest.approx(metrics.log_loss(y, p, labels=range(k)), abs=1e-6)


@given(
    scores=st.lists(st.integers(0, 4), min_size=2, max_size=30),
    bits=st.lists(st.booleans(), min_size=30, max_size=30),
)
@settings(max_examples=100, deadline=None)
def test_ties_count_as_in_scikit_learn(scores, bits):
    y = np.array(bits[: len(scores)])
    s = np.array(scores) / 4
    if y.all() or not y.any():
        assert roc_auc(np.c_[1 - s, s], y.astype(int)) is None
    else:
        expected = metrics.roc_auc_score(y, s)
        assert roc_auc(np.c_[1 - s, s], y.astype(int)) == pytest.approx(expected)
    if y.any():
        assert average_precision(s, y) == pytest.approx(metrics.average_precision_score(y, s))


def test_area_is_absent_where_a_class_is():
    p, _ = predictions(10, 3, seed=0)
    assert roc_auc(p, np.arange(10) % 2) is None
    assert average_precision(np.ones(3), np.zeros(3, bool)) is None


def test_calibration_error_of_calibrated_and_of_overconfident_predictions():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 200_000)
    right = rng.random(200_000) < confidence
    p = np.c_[confidence, 1 - confidence]
    assert calibration_error(p, np.where(right, 0, 1)) < 0.01
    sure = np.tile([0.99, 0.01], (1000, 1))
    assert calibration_error(sure, np.arange(1000) % 2) == pytest.approx(0.49)


def test_fifty_thousand_items_take_well_under_a_second():
    p, y = predictions(50_000, 10, seed=1)
    base = np.stack([np.roll(y, 1)] * 3)
    soft = np.random.default_rng(0).integers(0, 10, (3, 50_000))
    start = time.process_time()  # others may be at work on the machine
    roc_auc(p, y)
    average_precision(p[:, 0], y == 0)
    paired_difference(base, soft, y)
    assert time.process_time() - start < 3


def seeds_and_items(n_seeds, m, seed_sd, rng, gain=0.0):
    """Predicted classes (S, M) of a baseline and a soft model that differ by chance, plus a gain.

    Items and seeds both vary: an item is one on which models tend to differ, a seed has luck.
    """
    item = rng.normal(size=m)
    chance = 0.05 + 0.05 * (item > 0)
    shift = (rng.normal(0, seed_sd, n_seeds) + gain)[:, None] / 2
    draw = rng.random((n_seeds, m))
    better, worse = draw < chance + shift, draw > 1 - chance + shift
    return np.where(better, 1, 0), np.where(worse, 1, 0), np.zeros(m, dtype=int)


@pytest.mark.parametrize(
    ("n_seeds", "seed_sd"), [(1, 0.0), (3, 0.0), (3, 0.01), (3, 0.03), (5, 0.02)]
)
def test_interval_covers_the_true_difference_in_95_of_100_studies(n_seeds, seed_sd):
    rng = np.random.default_rng(0)
    studies, covered = 400, 0
    for i in range(studies):
        base, soft, y = seeds_and_items(n_seeds, 400, seed_sd, rng, gain=0.01)
        found = paired_difference(base, soft, y, n_boot=500, seed=i)
        covered += found["low"] <= 0.01 <= found["high"]
    # standard error of the coverage: 1.1 points
    assert 0.92 <= covered / studies <= 0.99


def test_resampling_three_seeds_alone_would_be_too_narrow():
    rng = np.random.default_rng(0)
    naive, ours = 0, 0
    for i in range(200):
        base, soft, y = seeds_and_items(3, 400, 0.03, rng)
        d = (soft == y).astype(float) - (base == y)
        means = d.mean(axis=1)[rng.integers(0, 3, (500, 3))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        naive += low <= 0 <= high
        found = paired_difference(base, soft, y, n_boot=500, seed=i)
        ours += found["low"] <= 0 <= found["high"]
    assert naive / 200 < 0.85 < ours / 200


def test_one_seed_says_that_it_covers_items_only():
    base, soft, y = seeds_and_items(1, 300, 0, np.random.default_rng(0))
    assert paired_difference(base, soft, y)["over"] == "items"
    base, soft, y = seeds_and_items(2, 300, 0, np.random.default_rng(0))
    assert paired_difference(base, soft, y)["over"] == "seeds and items"


def test_no_difference_and_a_plain_difference():
    y = np.arange(1000) % 4
    right = np.stack([y] * 3)
    same = paired_difference(right, right, y)
    assert (same["mean"], same["low"], same["high"], same["p_value"]) == (0, 0, 0, 1)
    worse = np.where(np.random.default_rng(0).random((3, 1000)) < 0.1, (y + 1) % 4, y)
    found = paired_difference(worse, right, y)
    assert found["mean"] == pytest.approx(0.1, abs=0.02)
    assert 0.05 < found["low"] < found["mean"] < found["high"] < 0.15
    assert found["p_value"] < 0.02
    back = paired_difference(right, worse, y)
    assert back["mean"] == -found["mean"] and back["high"] < 0


def test_p_value_and_interval_agree():
    for i in range(40):
        base, soft, y = seeds_and_items(3, 300, 0.01, np.random.default_rng(i), gain=0.02)
        found = paired_difference(base, soft, y, seed=i)
        outside = found["low"] > 0 or found["high"] < 0
        assert outside == (found["p_value"] < 0.05) or abs(found["p_value"] - 0.05) < 0.002


def test_probabilities_and_predicted_classes_give_the_same():
    p = np.stack([predictions(200, 4, seed)[0] for seed in range(6)])
    y = predictions(200, 4, 0)[1]
    assert paired_difference(p[:3], p[3:], y) == paired_difference(
        p[:3].argmax(axis=2), p[3:].argmax(axis=2), y
    )


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda p, y: accuracy(p, y[:-1]), "want (M, K) and (M,)"),
        (lambda p, y: accuracy(p[:0], y[:0]), "no items"),
        (lambda p, y: log_loss(np.where(p > 0.9, np.nan, p), y), "NaN or infinite; the first"),
        (lambda p, y: roc_auc(p, y - 1), "is not in 0 to 2"),
        (lambda p, y: average_precision(p, y), "want both (M,)"),
        (lambda p, y: paired_difference(p[None], p[None], y[1:]), "want (S, M, K) or (S, M)"),
        (lambda p, y: paired_difference(p[None], np.stack([p, p]), y), "want pairs"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, line):
    p, y = predictions(60, 3, seed=0)
    with pytest.raises(InputError) as error:
        call(p, y)
    assert line in str(error.value) and "\n" not in str(error.value)
