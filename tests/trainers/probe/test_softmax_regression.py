"""Softmax regression: right solutions, many problems at once, and weights for the features."""

# ruff: noqa: E402

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from softfold.trainers.probe import softmax_regression
from softfold.trainers.probe.softmax_regression import Design, Targets, solve


def blobs(n=240, d=6, k=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    x = rng.normal(size=(n, d)) + 1.2 * np.eye(k, d)[labels]
    return (x * 10.0 ** np.arange(d - 3, -3, -1) + 5).astype(np.float32), labels


def exact(design, targets, strength, rows=None, **options):
    """The solution of one problem, far beyond what the probe asks for."""
    weights = torch.ones(len(design.z), 1)
    if rows is not None:
        weights[:] = 0
        weights[rows] = 1
    limits = {"tolerance": 1e-5, "max_iterations": 1000}
    return solve(design, targets, weights, strength, **limits, **options)[0]


def test_the_solution_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = blobs()
    design, strength = Design.of(x), 0.01
    weights = exact(design, Targets(np.eye(3)[labels]), strength)
    reference = linear_model.LogisticRegression(C=1 / (strength * len(x)), tol=1e-8, max_iter=5000)
    z = design.z[:, :-1].numpy()
    expected = reference.fit(z, labels).predict_proba(z)
    found = torch.softmax(design.z @ weights, dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_gradients_are_those_of_the_loss(soft, noisy):
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(5, 2, 3)), dtype=torch.float32, requires_grad=True)
    targets = rng.dirichlet(np.ones(3), 5) if soft else np.eye(3)[[0, 1, 2, 0, 1]]
    noise = rng.dirichlet(np.ones(3), 3) if noisy else None
    goal = Targets(targets, noise)
    p = torch.softmax(logits, 2)
    through = p if noise is None else p @ torch.tensor(noise, dtype=torch.float32)
    by_hand = -(torch.tensor(targets, dtype=torch.float32)[:, None] * through.log()).sum(2)
    by_hand.sum().backward()
    loss, residual = goal.loss_and_residual(logits.detach(), slice(None))
    torch.testing.assert_close(loss, by_hand.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(residual, logits.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("noise", [None, 0.8 * np.eye(3) + 0.2 / 3])
def test_problems_solved_together_are_those_solved_alone_and_unseen_rows_have_no_say(noise):
    x, labels = blobs()
    design, goal = Design.of(x), Targets(np.eye(3)[labels], noise)
    parts = [np.arange(240) % 4 != f for f in range(2)]
    weights = torch.tensor(np.stack(parts, axis=1), dtype=torch.float32)
    together = solve(design, goal, weights, 0.1, tolerance=1e-5, max_iterations=1000)
    changed = np.where(parts[0], labels, (labels + 1) % 3)
    alone = exact(design, Targets(np.eye(3)[changed], noise), 0.1, torch.from_numpy(parts[0]))
    np.testing.assert_allclose(together[0], alone, atol=2e-3)
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_a_rough_solution_leaves_axes_out_that_the_penalty_outweighs():
    rng = np.random.default_rng(0)
    labels = np.arange(900) % 3
    hidden = rng.normal(size=(900, 10)) + 2 * np.eye(3, 10)[labels]
    x = (hidden @ rng.normal(size=(10, 60)) + 0.3 * rng.normal(size=(900, 60))).astype(np.float32)
    design, goal = Design.of(x), Targets(labels, n_classes=3)
    assert design.first_axis(1e-4) == 0
    assert design.first_axis(1e3) < 60  # however strong: a fifth of the variance at most
    left_out = design.first_axis(0.5)
    assert left_out > 40
    found, expected = (exact(design, goal, 0.5, rough=rough) for rough in (True, False))
    assert not found[:left_out].any() and found[left_out:].any()
    assert expected[:left_out].any()
    apart = torch.softmax(design.z @ found, 1) - torch.softmax(design.z @ expected, 1)
    assert apart.abs().max() < 0.03


def test_features_all_alike_in_variance_lose_no_more_than_a_fifth():
    rng = np.random.default_rng(0)
    design = Design.of(rng.normal(size=(2000, 2)).astype(np.float32))
    assert design.first_axis(100.0) == 0


def test_a_better_start_leads_to_the_same_solution():
    x, labels = blobs()
    design, goal = Design.of(x), Targets(np.eye(3)[labels])
    near = exact(design, goal, 0.3)
    again = exact(design, goal, 0.1, start=near[None])
    np.testing.assert_allclose(again, exact(design, goal, 0.1), atol=2e-3)


def test_a_stronger_penalty_makes_smaller_weights_and_leaves_the_shares_of_classes():
    x, labels = blobs()
    rare = np.where(np.arange(240) < 200, 0, labels)
    design, goal = Design.of(x), Targets(np.eye(3)[rare])
    sizes = [exact(design, goal, strength)[:-1].norm().item() for strength in (0.01, 0.1, 1, 1e4)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.01
    flat = torch.softmax(design.z @ exact(design, goal, 1e4), dim=1).mean(dim=0)
    np.testing.assert_allclose(flat, np.bincount(rare, minlength=3) / 240, atol=0.01)


def test_weights_for_the_features_themselves_say_the_same():
    x, labels = blobs()
    design = Design.of(x)
    weights = exact(design, Targets(np.eye(3)[labels]), 0.01)
    w, b = design.original(weights)
    np.testing.assert_allclose(torch.from_numpy(x) @ w + b, design.z @ weights, atol=1e-3)


def test_features_in_parts_are_those_side_by_side():
    x, _ = blobs()
    whole, parts = Design.of(x), Design.of(x[:, :2], x[:, 2:])
    np.testing.assert_allclose(parts.z.abs(), whole.z.abs(), atol=1e-4)


def test_axes_are_standardised_and_uncorrelated_and_a_constant_column_says_nothing():
    x, labels = blobs()
    x[:, 2] = 7
    design = Design.of(x)
    z = design.z[:, :-1].double()
    np.testing.assert_allclose(z.mean(dim=0), 0, atol=1e-4)
    covariance = (z.T @ z / len(z)).numpy()
    np.testing.assert_allclose(covariance, np.diag(design.variance[:-1].numpy()), atol=1e-3)
    assert design.variance[:-1].sum() == pytest.approx(5, abs=1e-3)
    w, _ = design.original(exact(design, Targets(np.eye(3)[labels]), 0.01))
    assert (w[2] == 0).all() and torch.isfinite(w).all()


def test_one_hot_targets_are_labels_and_rows_can_be_taken_of_either_kind():
    rng = np.random.default_rng(0)
    logp = torch.log_softmax(torch.tensor(rng.normal(size=(6, 1, 3)), dtype=torch.float32), 2)
    hard = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    assert Targets(hard).hard and not Targets(0.9 * hard + 0.1 / 3).hard
    for targets in (hard, 0.9 * hard + 0.1 / 3):
        goal, rows = Targets(targets), torch.tensor([4, 1])
        whole = goal.loss(logp, slice(None))
        torch.testing.assert_close(goal.take(rows).loss(logp[rows], slice(None)), whole[rows])


def test_the_first_axes_are_those_of_all_axes_and_predict_nearly_as_well():
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 4
    hidden = rng.normal(size=(600, 12)) + 2 * np.eye(4, 12)[labels]
    x = (hidden @ rng.normal(size=(12, 80)) + 0.1 * rng.normal(size=(600, 80))).astype(np.float32)
    whole, few = Design.of(x), Design.of(x, axes=20)
    assert few.z.shape == (600, 21) and few.rotation.shape == (80, 20)
    np.testing.assert_allclose(few.variance[-13:-1], whole.variance[-13:-1], rtol=1e-3)
    targets = Targets(np.eye(4)[labels])
    ours, expected = (torch.softmax(d.z @ exact(d, targets, 0.1), 1) for d in (few, whole))
    assert (ours - expected).abs().max() < 2e-3
    weight, bias = few.original(exact(few, targets, 0.1))
    again = torch.softmax(torch.from_numpy(x) @ weight + bias, 1)
    assert (again - ours).abs().max() < 1e-4
    assert torch.equal(Design.of(x, axes=20).z, few.z)


@pytest.mark.parametrize("noise", [None, 0.8 * np.eye(3) + 0.2 / 3])
def test_rounded_products_say_the_same_of_items(noise, monkeypatch):
    x, labels = blobs()
    goal, rows = Targets(labels, noise, 3), torch.ones(240, 1)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(softmax_regression, "precision", lambda device, dtype=dtype: dtype)
        design = Design.of(x)
        assert design.factors.dtype == dtype
        weights = solve(design, goal, rows, 0.1)[0]
        assert weights.dtype == torch.float32
        found.append(torch.softmax(design.z @ weights, dim=1))
    assert 0 < (found[0] - found[1]).abs().max() < 0.01
