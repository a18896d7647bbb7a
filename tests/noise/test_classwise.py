"""Noise by class and even noise: T and temperature are found again."""

from __future__ import annotations

import numpy as np
import pytest
from made_noise import pair, problem

from softfold.noise.classwise import by_class, confident_joint, even, refined, unmixed_logs
from softfold.noise.matrices import symmetric
from softfold.noise.sample import Sample


def sample_of(given, p):
    return Sample.of(given, p, np.arange(len(given)))


def test_a_matrix_is_found_from_predictions_of_the_given_labels():
    transition = pair(5, 0.35)
    _, given, p = problem(transition)
    learned = p @ transition.astype(np.float32)  # what a model trained on given labels predicts
    found = by_class(sample_of(given, learned))
    assert found.name == "by_class" and found.unmix
    assert np.abs(found.transition - transition).max() < 0.05
    np.testing.assert_allclose(found.transition.sum(1), 1)


@pytest.mark.parametrize("temperature", [0.6, 1.5])
def test_a_matrix_is_refined_from_predictions_of_the_truth(temperature):
    transition = pair(5, 0.35)
    _, given, p = problem(transition, skill=1.5, temperature=temperature)
    found = refined(sample_of(given, p), symmetric(5, 0.2), 1.0)
    assert np.abs(found.transition - transition).max() < 0.05
    assert found.temperature == pytest.approx(1 / temperature, rel=0.3) and not found.unmix


@pytest.mark.parametrize("rate", [0.06, 0.3, 0.6])
def test_the_rate_of_even_noise_is_found(rate):
    truth, given, p = problem(symmetric(6, rate))
    found = even(sample_of(given, p))
    off = found.transition[~np.eye(6, dtype=bool)]
    assert np.allclose(off, off[0]) and found.name == "even"
    assert 1 - found.transition[0, 0] == pytest.approx((truth != given).mean(), abs=0.04)


def test_even_noise_never_makes_labels_independent_of_the_truth():
    _, given, p = problem(symmetric(2, 0.45), n=2000)
    assert np.diag(even(sample_of(given, p)).transition).min() > 0.5


def test_confident_joint_counts_as_published():
    """Northcutt et al. 2021: items above their class's mean self-confidence, rows the truth."""
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9], [0.85, 0.15], [0.2, 0.8]])
    given = np.array([0, 0, 0, 1, 1, 1])
    # thresholds: class 0: 0.8; class 1: (0.9 + 0.15 + 0.8) / 3 = 0.617. Row 2 reaches neither.
    expected = np.array([[2, 1], [0, 2]]) * [3 / 2, 3 / 3]
    np.testing.assert_allclose(confident_joint(sample_of(given, p)), expected)


def test_the_joint_has_as_many_items_a_label_as_there_are_and_none_for_a_label_of_nobody():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 200)
    given = rng.integers(0, 3, 200)  # nobody has the fourth
    joint = confident_joint(sample_of(given, p))
    np.testing.assert_allclose(joint.sum(axis=0), np.bincount(given, minlength=4))
    assert (joint[3] == 0).all()  # and nothing is taken for one of it


def test_unmixed_logs_are_of_distributions():
    transition = pair(4, 0.3)
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4) * 0.1, 100) @ transition
    logs = unmixed_logs(sample_of(np.zeros(100, int), p), transition)
    assert np.isfinite(logs).all()
    np.testing.assert_allclose(np.exp(logs).sum(1), 1, atol=1e-4)
