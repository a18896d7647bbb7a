"""Transition matrices: made, counted, and taken out of predictions."""

from __future__ import annotations

import numpy as np

from softfold.noise.classwise import confident_joint
from softfold.noise.matrices import normalised_counts, symmetric, unmix
from softfold.noise.sample import Sample


def test_counts_become_rows_of_a_matrix_even_where_a_class_is_empty():
    counts = np.array([[80.0, 20, 0], [0, 0, 0], [5, 0, 95]])
    transition = normalised_counts(counts, 3.0)
    np.testing.assert_allclose(transition.sum(1), 1)
    assert transition[0, 1] > 0.15
    assert transition[1].argmax() == 1


def test_unmixing_undoes_mixing():
    rng = np.random.default_rng(0)
    q = rng.dirichlet(np.ones(5) * 0.2, 4000).astype(np.float32)
    transition = 0.6 * np.eye(5) + 0.4 * np.roll(np.eye(5), 1, axis=1)
    again = unmix(q @ transition.astype(np.float32), transition)
    np.testing.assert_allclose(again.sum(1), 1, atol=1e-4)
    assert (again.argmax(1) == q.argmax(1)).mean() > 0.95


def test_confident_joint_counts_as_published():
    """Northcutt et al. 2021: items above their class's mean self-confidence, rows the truth."""
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9], [0.85, 0.15], [0.2, 0.8]])
    given = np.array([0, 0, 0, 1, 1, 1])
    # thresholds: class 0: 0.8; class 1: (0.9 + 0.15 + 0.8) / 3 = 0.617. Row 2 reaches neither.
    expected = np.array([[2, 1], [0, 2]]) * [3 / 2, 3 / 3]
    sample = Sample.of(given, p, np.arange(6))
    np.testing.assert_allclose(confident_joint(sample), expected)


def test_even_noise():
    np.testing.assert_allclose(symmetric(3, 0.3)[0], [0.7, 0.15, 0.15])
