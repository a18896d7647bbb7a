"""Transition matrices: made, counted, and taken out of predictions."""

from __future__ import annotations

import numpy as np

from softfold.noise.matrices import even_entries, normalised_counts, symmetric, unmix


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


def test_squared_steps_come_nearer_to_all_thirty_than_one_step_less():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), 300)
    transition = 0.6 * np.eye(5) + 0.3 * np.roll(np.eye(5), 1, axis=1) + 0.02
    steps = [p]
    for _ in range(30):
        steps.append(steps[-1] * (p / (steps[-1] @ transition) @ transition.T))
    found = unmix(p.astype(np.float32), transition)
    assert np.abs(found - steps[30]).mean() < np.abs(steps[29] - steps[30]).mean()


def test_entries_are_even_where_all_wrong_classes_are_alike():
    assert even_entries(symmetric(4, 0.3)) == (0.7, 0.3 / 3)
    for at in ((0, 2), (2, 0), (3, 2), (3, 3)):
        other = symmetric(4, 0.3)
        other[at] += 0.01
        assert even_entries(other) is None
