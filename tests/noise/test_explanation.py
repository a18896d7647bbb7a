"""What one explanation says of items: posteriors, log-odds, and items of no class."""

from __future__ import annotations

import numpy as np
import pytest
from made_noise import pair

from softfold.noise.explanation import Explanation, heat, log_floored
from softfold.noise.matrices import symmetric

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], np.float32)
GIVEN = np.array([0, 1, 2])
SAYS_NO_CLASS = Explanation("no_class", symmetric(3, 0.1), 1.0, offset=-2.0)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_a_posterior_is_that_of_bayes_at_the_temperature(temperature):
    transition = pair(3, 0.3) * 0.9 + 0.1 / 3
    known = Explanation("by_class", transition, temperature)
    q, odds = known.read(GIVEN, log_floored(P))
    joint = P.astype(float) ** (1 / temperature) * transition[:, GIVEN].T
    expected = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(q, expected, atol=1e-5)
    own = expected[np.arange(3), GIVEN]
    np.testing.assert_allclose(odds, np.log((1 - own) / own), atol=1e-4)


def test_log_odds_keep_their_order_where_probabilities_are_all_one():
    p = np.array([[1 - 2e-7, 1e-7, 1e-7], [1 - 2e-6, 1e-6, 1e-6], [1 - 2e-5, 1e-5, 1e-5]])
    q, odds = Explanation("clean", symmetric(3, 0.005), 0.5).read(np.zeros(3, int), log_floored(p))
    assert (q[:, 0] == 1).all()
    assert (np.diff(odds) > 2).all()


def test_unmixed_predictions_of_given_labels_are_those_of_the_truth():
    transition = pair(3, 0.4)
    p = np.eye(3, dtype=np.float32) @ transition.astype(np.float32)  # what one learns of pure items
    known = Explanation("by_class", transition, 1.0, unmix=True)
    for given in range(3):
        q, _ = known.read(np.full(3, given), log_floored(p))
        able = transition[:, given] > 0
        assert (q.argmax(1)[able] == np.arange(3)[able]).all() and q.max(1)[able].min() > 0.95


def test_no_class_spreads_its_share_evenly_and_leaves_the_rest_with_the_label():
    q, odds = SAYS_NO_CLASS.read(GIVEN, log_floored(P))
    wrong = 1 / (1 + np.exp(-odds))
    np.testing.assert_allclose(q.sum(1), 1, atol=1e-6)
    for row, given, share in zip(q, GIVEN, wrong):
        others = np.delete(row, given)
        np.testing.assert_allclose(others, share / 3, rtol=1e-4)
    assert wrong[1] > wrong[0]  # contradicted, and agreed with


def test_an_item_is_hot_where_its_label_is_contradicted_or_no_class_fits():
    p = np.array([[0.98, 0.01, 0.01], [0.34, 0.33, 0.33], [0.01, 0.98, 0.01]], np.float32)
    agreed, unsure, contradicted = heat(np.zeros(3, int), log_floored(p))
    assert agreed < unsure < contradicted
    # as documented: log(1 - s_y + entropy of s) - log s_y, of square roots
    s = np.sqrt(p[0].astype(float))
    s /= s.sum()
    expected = np.log(1 - s[0] - (s * np.log(s)).sum()) - np.log(s[0])
    assert agreed == pytest.approx(expected, abs=1e-5)


def test_a_probability_of_nothing_has_a_logarithm():
    logs = log_floored(np.array([[0.0, 1e-300, 0.5, 1.0]]))
    assert logs.dtype == np.float32 and np.isfinite(logs).all()
    assert logs[0, 0] == logs[0, 1] < logs[0, 2] == np.float32(np.log(0.5)) < logs[0, 3] == 0
