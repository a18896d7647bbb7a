"""All folds of a plan at one strength, which their held-out loss chooses."""

# ruff: noqa: E402

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from softfold.trainers.probe import fold_solver
from softfold.trainers.probe.fold_solver import FoldSolver, _lowest, held_out_loss, minimise
from softfold.trainers.probe.softmax_regression import Design, Targets, solve

N, K = 600, 3
FOLDS = [
    (np.flatnonzero(np.arange(N) % 5 != f), np.flatnonzero(np.arange(N) % 5 == f))
    for f in (0, 1, 2, 3, 4)
]


def blobs(wrong=0.0, seed=0, d=10):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, N)
    x = (rng.normal(size=(N, d)) + 1.5 * np.eye(K, d)[truth]).astype(np.float32)
    given = np.where(rng.random(N) < wrong, rng.integers(0, K, N), truth)
    return Design.of(x), truth, given


def solver(given, design):
    return FoldSolver(design, np.eye(K)[given], FOLDS)


def test_strengths_are_searched_both_ways():
    design, truth, given = blobs(wrong=0.95)
    weak = solver(truth, design).plain().strength
    strong = solver(given, design).plain().strength
    assert weak < 0.1 < strong


def test_the_strength_that_is_chosen_is_better_than_ones_far_from_it():
    design, _, given = blobs(wrong=0.3)
    folds = solver(given, design)
    best = folds.plain()
    goal = Targets(folds.targets)
    for factor in (0.01, 100):
        assert best.loss < folds.at(goal, best.strength * factor, None).loss


def predicted_alone(design, given, rows, like):
    """Predictions (N, K) of one problem that sees these rows, at the temperature of another."""
    mask = torch.zeros(N, 1)
    mask[torch.from_numpy(rows)] = 1
    weights = solve(design, Targets(np.eye(K)[given]), mask, 0.1)[0]
    return torch.softmax(design.z @ weights / like.temperature, dim=1).numpy()


def test_folds_solved_together_are_folds_solved_alone():
    design, _, given = blobs(wrong=0.2)
    together = solver(given, design).plain(strength=0.1)
    every = predicted_alone(design, given, np.arange(N), together)
    for (train, predict), p in zip(FOLDS, together.predictions(), strict=True):
        alone = predicted_alone(design, given, train, together)
        apart = abs(p - alone[predict]).max()
        assert apart < 1e-2 < abs(p - every[predict]).max()


def test_the_loss_is_that_of_held_out_rows_at_the_best_temperature():
    design, _, given = blobs(wrong=0.2)
    found = solver(given, design).plain(strength=0.1)
    rows = np.concatenate([predict for _, predict in FOLDS])
    z = torch.from_numpy(np.log(np.concatenate(list(found.predictions()))))

    def loss(temperature):
        logp = torch.log_softmax(z / temperature, dim=1).numpy()
        return -logp[np.arange(len(rows)), given[rows]].mean()

    assert found.loss == pytest.approx(loss(1.0), abs=1e-4)
    assert loss(1.0) < min(loss(0.8), loss(1.25))


def test_what_is_trained_through_the_noise_predicts_the_truth():
    rng = np.random.default_rng(1)
    design, truth, _ = blobs()
    transition = 0.55 * np.eye(K) + 0.45 * np.roll(np.eye(K), 1, axis=1)
    given = np.where(rng.random(N) < 0.45, (truth + 1) % K, truth)
    folds = solver(given, design)
    rows = np.concatenate([predict for _, predict in FOLDS])
    right = [
        (np.concatenate([p.argmax(1) for p in solved.predictions()]) == truth[rows]).mean()
        for solved in (folds.plain(0.05), folds.through(transition, 0.05))
    ]
    assert right[1] > right[0]


def test_logits_that_are_too_sure_are_cooled():
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.normal(size=(2000, K)), dtype=torch.float32)
    p = torch.softmax(z, dim=1).numpy()
    labels = (p.cumsum(1) > rng.random((2000, 1))).argmax(1)
    temperature, loss = held_out_loss(
        Targets(np.eye(K)[labels]), 2000, lambda: [(torch.arange(2000), 4 * z)]
    )
    assert temperature == pytest.approx(4, rel=0.15)
    assert loss == pytest.approx(-np.log(p[np.arange(2000), labels]).mean(), abs=0.02)


@pytest.mark.parametrize(
    ("losses", "strength"),
    [
        ({0.1: 3.0, 10**-0.5: 1.0, 1.0: 3.0}, 10**-0.5),
        ({0.1: 1.0, 1.0: 2.0}, 0.1),
        ({0.1: 2.0, 1.0: 1.0}, 1.0),
        ({5.0: 1.0}, 5.0),
    ],
)
def test_the_lowest_of_what_was_tried_is_where_the_search_ends(losses, strength):
    assert _lowest(losses) == pytest.approx(strength)


def test_between_neighbours_the_strength_leans_to_the_better_one():
    at = 10**-0.5
    leaning = _lowest({0.1: 1.2, at: 1.0, 1.0: 2.0})
    assert 0.1 < leaning < at
    assert at < _lowest({0.1: 2.0, at: 1.0, 1.0: 1.2}) < 1.0


@pytest.mark.parametrize("best", [0.06, 1.0, 4.0])
def test_a_minimum_is_found_to_two_percent(best):
    assert minimise(lambda t: abs(np.log(t / best)), 0.05, 5.0) == pytest.approx(best, rel=0.02)


def test_labels_are_one_hot_targets_and_parts_are_the_whole(monkeypatch):
    design, _, given = blobs(wrong=0.3)
    whole = solver(given, design).plain()
    by_label = FoldSolver(design, given, FOLDS, K).plain()
    assert whole.strength == by_label.strength and torch.equal(whole.weights, by_label.weights)
    monkeypatch.setattr(fold_solver, "_HELD_CELLS", 50 * K)
    parts = FoldSolver(design, given, FOLDS, K).plain()
    assert parts.strength == pytest.approx(whole.strength, rel=1e-3)
    for ours, theirs in zip(parts.predictions(), whole.predictions(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_of_many_items_some_choose_the_strength_and_all_are_solved(monkeypatch):
    design, truth, given = blobs(wrong=0.3)
    solved = solver(given, design)
    noise = 0.8 * np.eye(K) + 0.2 / K
    whole, theirs = solved.plain(), solved.through(noise)
    monkeypatch.setattr(fold_solver, "_LARGE", N)
    monkeypatch.setattr(fold_solver, "_SEARCH_ROWS", N // 2)
    folds = solver(given, design)
    some = folds.plain()
    assert some.loss < whole.loss + 0.01
    rows = np.concatenate([predict for _, predict in FOLDS])
    right = [
        (np.concatenate([p.argmax(1) for p in made.predictions()]) == truth[rows]).mean()
        for made in (folds.through(noise), theirs)
    ]
    assert right[0] > right[1] - 0.03


def test_the_penalty_as_a_whole_is_the_same_for_some_items_and_for_all(monkeypatch):
    searched = []

    def walk(self, goal, strength, start):
        searched.append((len(self.design.z), len(self.folds), strength))
        return 3 * strength, torch.zeros(len(self.folds), self.design.z.shape[1], K)

    design, _, given = blobs(wrong=0.3)
    monkeypatch.setattr(fold_solver, "_LARGE", N)
    monkeypatch.setattr(fold_solver, "_SEARCH_ROWS", N // 4)
    monkeypatch.setattr(FoldSolver, "_walk", walk)
    assert solver(given, design).plain().strength == pytest.approx(3.0)
    assert searched == [(N // 4, 2, 4.0)]
