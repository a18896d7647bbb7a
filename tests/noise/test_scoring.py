"""Suspicion, order and suggestion of every item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_noise import pair, people, problem

from softfold import estimate_noise
from softfold.noise.audit import log_odds
from softfold.noise.explanation import Explanation
from softfold.noise.matrices import symmetric
from softfold.noise.model import NoiseModel, posterior
from softfold.noise.scoring import score


def test_suspicion_falls_along_the_ranking_and_its_mean_is_the_rate():
    _, given, p = people()
    noise = estimate_noise(given, p)
    found = score(given, p, noise)
    assert sorted(found.ranking) == list(range(len(given)))
    assert (np.diff(found.suspicion[found.ranking]) <= 0).all()
    assert abs(found.suspicion.mean() - noise.rate) < 0.01
    assert (found.suggested != given).all()


def test_certain_contradictions_are_not_ties():
    # saturated posteriors are all 1; their order is that of the log-odds
    truth, given, p = problem(symmetric(6, 0.3), skill=3.0, temperature=0.7)
    found = score(given, p, estimate_noise(given, p))
    wrong = np.flatnonzero(truth != given)
    assert len(np.unique(found.suspicion[wrong])) > 0.9 * len(wrong)


def test_what_an_item_of_no_class_may_be_is_read_with_shifted_predictions_too():
    even, shift = symmetric(3, 0.1), np.array([0.0, 1.0, -1.0])
    only = Explanation("no_class", even, 1.0, offset=0.0, shift=shift)
    noise = NoiseModel((only,), 0.1, (0.1, 0.1), even, np.ones(3) / 3, even)
    found = score(np.array([0]), np.array([[0.4, 0.2, 0.4]]), noise)
    assert found.suggested[0] == 1


def test_sharp_predictions_do_not_underflow():
    sharp = Explanation("by_class", np.eye(4), 0.1)
    noise = NoiseModel((sharp,), 0.1, (0.1, 0.1), np.eye(4), np.ones(4) / 4, np.eye(4))
    found = score(np.array([0, 1]), np.full((2, 4), 0.25), noise)
    assert (found.suspicion < 1e-6).all()
    p = np.array([[1e-30, 0.3, 0.4, 0.3], [0.3, 0.7, 0.0, 0.0]])
    found = score(np.array([0, 1]), p, noise)
    assert np.isfinite(found.suspicion).all()
    assert found.suggested[1] == 0


def test_a_tilt_adds_to_the_odds_of_a_wrong_label_and_leaves_the_order():
    _, given, p = problem(symmetric(4, 0.2))
    noise = estimate_noise(given, p)
    before, after = score(given, p, noise), score(given, p, replace(noise, tilt=1.0))
    np.testing.assert_array_equal(before.ranking, after.ranking)
    np.testing.assert_allclose(log_odds(after.suspicion), log_odds(before.suspicion) + 1, atol=1e-6)
    rows = np.arange(len(given))
    soft = posterior(given, p, replace(noise, tilt=1.0))
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
    plain = posterior(given, p, noise)
    mean = 1 - soft[rows, given].mean()
    assert mean > 1 - plain[rows, given].mean()
    assert mean == pytest.approx(after.suspicion.mean(), abs=1e-3)
    # what else the item may be keeps its proportions
    plain[rows, given] = soft[rows, given] = 0
    ratio = soft[:20] / soft[:20].sum(axis=1, keepdims=True)
    expected = plain[:20] / plain[:20].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ratio, expected, atol=1e-4)


def test_the_order_of_the_classes_changes_nothing_that_is_said_of_an_item():
    # more items than a part of which noise by class is learned
    for transition in (symmetric(5, 0.3), pair(5, 0.3)):
        _, given, p = problem(transition, n=12_000)
        order = np.array([3, 0, 4, 1, 2])
        moved = np.argsort(order)[given], np.ascontiguousarray(p[:, order])
        before = score(given, p, estimate_noise(given, p))
        after = score(*moved, estimate_noise(*moved))
        assert np.abs(before.suspicion - after.suspicion).max() < 0.01
        np.testing.assert_array_equal(order[after.suggested], before.suggested)
