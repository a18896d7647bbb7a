"""Items laid out for a fit: the same items, and what predictions show of their labels."""

from __future__ import annotations

import numpy as np
import pytest
from made_noise import pair, people, problem, weak_model

from softfold.noise.matrices import symmetric
from softfold.noise.sample import FLOOR, MIDDLE, Sample


def sample_of(labels, p):
    return Sample.of(np.asarray(labels), np.asarray(p), np.arange(len(labels)))


def drawn(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, k, n), rng.dirichlet(np.ones(k), n).astype(np.float32)


def test_rows_are_the_items_asked_for_sorted_by_label_each_with_its_predictions():
    labels, p = drawn()
    rows = np.arange(7, 200, 3)
    sample = Sample.of(labels, p, rows)
    assert (np.diff(sample.labels) >= 0).all() and sample.n_classes == 4
    found = sorted(zip(sample.labels, map(tuple, sample.p)))
    assert found == sorted(zip(labels[rows], map(tuple, p[rows])))


def test_no_probability_is_nothing():
    sample = sample_of([0, 1], [[1.0, 0.0], [0.3, 0.7]])
    assert sample.p.min() == FLOOR and sample.p.dtype == np.float32


@pytest.mark.parametrize("count", [1, 2, 7, 100, 299, 300, 10_000])
def test_a_smaller_sample_has_of_every_class_its_share(count):
    labels, p = drawn()
    sample = sample_of(labels, p)
    part = sample.about(count)
    assert abs(len(part) - min(count, 300)) <= 4  # a fraction of an item a class
    assert sorted(part.lots) == list(range(len(part)))
    if count >= 100:
        shares = np.bincount(part.labels, minlength=4) / len(part)
        np.testing.assert_allclose(shares, np.bincount(labels) / 300, atol=0.02)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 3.0])
def test_predictions_at_a_temperature_are_their_powers(temperature):
    labels, p = drawn()
    v = sample_of(labels, p).at(temperature)
    np.testing.assert_allclose(v.sum(1), 1, atol=1e-5)
    floored = np.clip(sample_of(labels, p).p.astype(float), FLOOR, None)
    powers = floored ** (1 / temperature)
    np.testing.assert_allclose(v, powers / powers.sum(1, keepdims=True), atol=1e-4)


def test_flat_predictions_of_many_classes_do_not_vanish_at_a_low_temperature():
    v = sample_of([0, 1], np.full((2, 2000), 1 / 2000)).at(0.05)
    np.testing.assert_allclose(v, 1 / 2000, rtol=1e-3)


def test_likelihood_joint_and_tally_are_those_of_the_formulas():
    labels, p = drawn()
    sample, transition = sample_of(labels, p), pair(4, 0.3) * 0.9 + 0.025
    joint, total = sample.weighed(sample.p.copy(), transition)
    expected = sample.p * transition[:, sample.labels].T
    np.testing.assert_allclose(joint, expected, rtol=1e-5)
    np.testing.assert_allclose(total, expected.sum(1), rtol=1e-5)
    level = sample.log_likelihood(sample.p, transition)
    assert level == pytest.approx(np.log(expected.sum(1)).mean(), abs=1e-5)
    counts = sample.tally(joint)
    for k in range(4):
        np.testing.assert_allclose(counts[:, k], expected[sample.labels == k].sum(0), rtol=1e-4)


def test_a_label_that_nobody_has_counts_nothing():
    labels, p = drawn()
    labels = np.where(labels == 2, 0, labels)
    sample = sample_of(labels, p)
    for counts in (sample.tally(sample.p), sample.predicted_counts()):
        assert (counts[:, 2] == 0).all() and counts.sum() == pytest.approx(300, rel=1e-4)


def test_items_are_counted_by_prediction_and_label():
    sample = sample_of([0, 0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]])
    assert sample.predicted_counts().tolist() == [[1, 0], [1, 2]]
    assert sample.disagreement == 0.25


def test_predictions_that_know_nothing_of_the_labels_have_no_news():
    labels, p = drawn(n=3000)
    share, news = sample_of(labels, p).information()
    assert abs(share) < 0.02 and news < 2


def test_predictions_that_know_all_explain_all():
    labels, _ = drawn(n=1000)
    share, news = sample_of(labels, np.eye(4)[labels]).information()
    assert share > 0.98 and news > 50


def test_labels_wrong_at_random_are_not_foreseen_and_those_of_a_weak_model_are():
    _, given, p = problem(symmetric(8, 0.3))
    by_chance, error = sample_of(given, p).foreseen
    assert by_chance == pytest.approx(0.5, abs=0.05) and error < 0.02
    right, _ = sample_of(*weak_model()).foreseen
    _, given, p = people()
    by_people, _ = sample_of(given, p).foreseen
    assert by_chance + 0.05 < by_people < right - 0.05


def test_without_contradictions_it_is_left_in_the_middle():
    seen, error = sample_of(np.arange(40) % 4, np.eye(4)[np.arange(40) % 4]).foreseen
    assert seen == MIDDLE and error > 0.05


def test_predictions_are_strong_where_they_agree_beyond_chance():
    labels, p = drawn(n=2000)
    assert abs(sample_of(labels, p).strength) < 0.1
    assert sample_of(labels, np.eye(4)[labels]).strength == pytest.approx(1)
    # only the surer half is looked at
    p = np.full((2000, 4), 0.25)
    p[:1000] = np.where(np.eye(4)[labels[:1000]] == 1, 0.97, 0.01)
    assert sample_of(labels, p).strength == pytest.approx(1)
