"""Transition matrices: made, counted, and taken out of predictions."""

from __future__ import annotations

import numpy as np

from softfold.noise.matrices import normalised_counts, symmetric, unmix


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


def test_even_noise():
    np.testing.assert_allclose(symmetric(3, 0.3)[0], [0.7, 0.15, 0.15])
