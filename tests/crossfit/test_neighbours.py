"""Neighbours as a second witness: whose labels are heard, and what they add."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
from sklearn.datasets import load_digits, make_classification

from softfold import corrupt, cross_fit, estimate_noise, plan_folds, rank_issues
from softfold.crossfit import neighbours
from softfold.crossfit.neighbours import (
    combined,
    joined,
    nearest,
    weights,
    witness,
)
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.data.table import LabelTable
from softfold.evaluation import average_precision
from softfold.noise.model import as_noise_model
from softfold.trainers.probe import Probe


def table_of(x: np.ndarray, given: np.ndarray) -> LabelTable:
    return LabelTable(
        item=np.array([str(i) for i in range(len(given))], dtype=object),
        given=given,
        vocab=tuple(map(str, range(int(given.max()) + 1))),
        valid=np.zeros(len(given), bool),
        data=x.astype(np.float32),
    )


def test_nearest_are_the_most_alike_of_other_folds():
    rng = np.random.default_rng(0)
    x, fold = rng.normal(size=(300, 12)), rng.integers(0, 4, 300)
    near = nearest(x, fold, 7)
    z = x - x.mean(axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    likeness = np.where(fold[:, None] == fold[None], -2, z @ z.T)
    expected = np.argsort(-likeness, axis=1)[:, :7]
    assert (np.sort(near, axis=1) == np.sort(expected, axis=1)).all()


def test_an_index_finds_the_nearest_of_other_folds_in_a_crowd_of_ones_own(
    monkeypatch,
):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    x, fold = rng.normal(size=(4000, 12)), rng.integers(0, 4, 4000)
    x[:1000], fold[:1000] = x[0] + 1e-3 * rng.normal(size=(1000, 12)), 2
    exact = nearest(x, fold, 7)
    monkeypatch.setattr(neighbours, "EXACT_ITEMS", 100)
    near = nearest(x, fold, 7)
    assert near.min() >= 0 and (fold[near] != fold[:, None]).all()
    assert np.mean([len(np.intersect1d(a, b)) for a, b in zip(near, exact)]) > 6


def test_fewer_neighbours_where_a_fold_is_nearly_all():
    x, fold = np.eye(6), np.array([0, 0, 0, 0, 1, 1])
    near = nearest(x, fold, 10)
    assert near.shape == (6, 2)
    assert (fold[near] != fold[:, None]).all()


def test_an_items_own_label_says_nothing_of_it():
    x, given = load_digits(return_X_y=True)
    x, given = x[:400], given[:400]
    near = nearest(x, np.arange(400) % 5)
    transition = np.full((10, 10), 0.02) + 0.8 * np.eye(10)
    before = witness(given, near, transition)
    changed = given.copy()
    changed[17] = (given[17] + 1) % 10
    after = witness(changed, near, transition)
    assert np.array_equal(before[17], after[17])
    assert not np.array_equal(before, after)


def test_neighbours_that_know_nothing_are_not_heard():
    x, given = load_digits(return_X_y=True)
    table = table_of(x, given)
    p = cross_fit(table, Probe(), plan_folds(table, 5), seed=0).probabilities
    strangers = np.random.default_rng(0).integers(0, len(given), (len(given), 10))
    noise = as_noise_model(np.full((10, 10), 0.01) + 0.9 * np.eye(10), 10).best
    assert np.abs(joined(given, p, noise, strangers).argmax(1) == p.argmax(1)).mean() > 0.98


def test_neighbours_help_where_classes_are_not_linear():
    x, truth = make_classification(
        4000, 20, n_informative=8, weights=[0.9], class_sep=1.2, flip_y=0, random_state=3
    )
    rng = np.random.default_rng(3)
    hidden = (truth == 1) & (rng.random(len(truth)) < 1 / 3)
    table = table_of(x, np.where(hidden, 0, truth))
    made = noise_aware_cross_fit(table, Probe(), plan_folds(table, 5), seed=0)
    assert [r["start"] for r in made.rounds if r["kept"]] == ["neighbours"]
    found = rank_issues(table.given, made.oof.probabilities, noise=made.noise)
    model = rank_issues(table.given, made.plain.probabilities)

    def score(issues):
        return average_precision(issues.set_index("index")["suspicion"].sort_index(), hidden)

    assert score(found) > score(model) + 0.03
    low, high = made.noise.rate_interval
    assert low < hidden.mean() < high


@pytest.mark.parametrize("seed", range(4))
def test_the_weights_are_the_likeliest(seed):
    x, truth = load_digits(return_X_y=True)
    given = corrupt(truth, 0.25, seed=seed)
    table = table_of(x, given)
    plan = plan_folds(table, 5, seed=seed)
    oof = cross_fit(table, Probe(), plan, seed=seed)
    noise = estimate_noise(given, oof.probabilities).best
    logs = np.log(np.maximum(oof.probabilities, 1e-7))
    said = witness(given, nearest(x, plan.fold[:, 0]), noise.transition)

    def level(a: float, b: float) -> float:
        p = combined(logs, said, a, b)
        return np.log((p * noise.transition.T[given]).sum(axis=1)).mean()

    found = level(*weights(given, logs, said, noise))
    grid = [level(a, b) for a in (0.1, 0.3, 1, 3) for b in (0, 0.1, 0.3, 1, 3)]
    assert found >= max(grid) - 1e-4
