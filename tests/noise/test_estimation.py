"""The noise model: found again from labels and predictions alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from softfold import soften
from softfold.noise.estimation import estimate_noise
from softfold.noise.evidence import confident_joint, gather, plateau, symmetric
from softfold.noise.model import NoiseModel, posterior


def problem(
    transition: np.ndarray,
    n: int = 6000,
    skill: float = 3.0,
    temperature: float = 1.0,
    seed: int = 0,
):
    """Truth drawn from p(k | x), given labels from T; predictions p made flat or sharp."""
    rng = np.random.default_rng(seed)
    k = len(transition)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), rng.integers(0, k, n)] += 2 * skill
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    truth = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    given = (transition[truth].cumsum(1) > rng.random((n, 1))).argmax(1)
    shown = p ** (1 / temperature)
    return truth, given, (shown / shown.sum(1, keepdims=True)).astype(np.float32)


def pair(k: int, rate: float) -> np.ndarray:
    return (1 - rate) * np.eye(k) + rate * np.roll(np.eye(k), 1, axis=1)


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.5])
def test_even_noise_is_found_whatever_the_confidence_of_the_predictions(rate):
    for temperature in (0.5, 1.0, 2.5):
        truth, given, p = problem(symmetric(8, rate), temperature=temperature)
        noise = estimate_noise(given, p)
        wrong = (truth != given).mean()
        assert not noise.clean
        assert abs(noise.rate - wrong) < 0.02
        assert noise.rate_interval[0] < noise.rate < noise.rate_interval[1]
        assert noise.rate_interval[1] - noise.rate_interval[0] < 0.06
        # p**(1 / t) undone by raising to 1 / noise.temperature
        assert noise.temperature * temperature == pytest.approx(1, rel=0.35)


def test_structured_noise_is_found():
    transition = pair(6, 0.3)
    truth, given, p = problem(transition)
    noise = estimate_noise(given, p)
    assert np.abs(noise.transition - transition).max() < 0.06
    np.testing.assert_allclose(noise.transition.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(noise.prior, np.bincount(truth, minlength=6) / len(truth), atol=0.03)


def test_clean_labels_are_called_clean():
    for temperature in (0.6, 1.0, 2.0):
        _, given, p = problem(np.eye(5), temperature=temperature)
        noise = estimate_noise(given, p)
        assert noise.clean
        assert noise.rate < 0.005


def test_small_classes_do_not_break_it():
    rng = np.random.default_rng(0)
    truth = np.r_[np.zeros(1900, int), np.ones(97, int), [2, 2, 2]]
    p = np.full((2000, 4), 0.01)  # the fourth class is nobody's
    p[np.arange(2000), truth] = 0.97
    given = np.where(rng.random(2000) < 0.1, rng.integers(0, 2, 2000), truth)
    noise = estimate_noise(given, p)
    assert np.isfinite(noise.transition).all()
    assert (noise.transition >= 0).all()
    np.testing.assert_allclose(noise.transition.sum(1), 1, atol=1e-6)
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.02)


def test_many_classes():
    k, n = 500, 8000
    rng = np.random.default_rng(0)
    truth = np.arange(n) % k
    p = rng.random((n, k), dtype=np.float32) * 2e-5
    p[np.arange(n), truth] += 0.9
    p /= p.sum(1, keepdims=True)
    given = truth.copy()
    wrong = rng.random(n) < 0.2
    given[wrong] = rng.integers(0, k, wrong.sum())
    noise = estimate_noise(given, p)
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.01)
    q = posterior(given[:500], p[:500], noise)
    assert (q.argmax(1) == truth[:500]).mean() > 0.99


def test_confident_joint_counts_as_published():
    """Northcutt et al. 2021: items above their class's mean self-confidence, rows the truth."""
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9], [0.85, 0.15], [0.2, 0.8]])
    given = np.array([0, 0, 0, 1, 1, 1])
    # thresholds: class 0: 0.8; class 1: (0.9 + 0.15 + 0.8) / 3 = 0.617. Row 2 reaches neither.
    expected = np.array([[2, 1], [0, 2]]) * [3 / 2, 3 / 3]
    np.testing.assert_allclose(confident_joint(gather(given, p)), expected)


def test_posterior_uses_the_temperature():
    noise = NoiseModel(
        symmetric(2, 0.2), np.ones(2) / 2, 0.2, (0.1, 0.3), 0.5, False, np.eye(2), 0.0
    )
    q = posterior(np.array([1]), np.array([[0.7, 0.3]]), noise)
    a, b = 0.7**2 * 0.2, 0.3**2 * 0.8
    np.testing.assert_allclose(q, [[a / (a + b), b / (a + b)]], atol=1e-5)


def test_json_round_trip():
    _, given, p = problem(symmetric(3, 0.2), n=500)
    noise = estimate_noise(given, p)
    again = NoiseModel.from_json(json.loads(json.dumps(noise.to_json())))
    np.testing.assert_allclose(again.transition, noise.transition, atol=1e-6)
    assert (again.rate, again.rate_interval) == (noise.rate, noise.rate_interval)
    assert (again.temperature, again.clean) == (noise.temperature, noise.clean)


def test_zeros_and_ones_as_probabilities():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    given = np.where(rng.random(900) < 0.2, (truth + 1) % 3, truth)
    noise = estimate_noise(given, np.eye(3, dtype=np.float32)[truth])
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.02)


def test_a_large_table_is_fitted_on_a_sample_and_stepped_on_more(monkeypatch):
    from softfold.noise import estimation as module

    transition = pair(6, 0.3)
    truth, given, p = problem(transition, n=40_000)
    monkeypatch.setattr(module, "SAMPLE", 3000)
    monkeypatch.setattr(module, "STEP_SAMPLE", 30_000)
    noise = estimate_noise(given, p)
    assert np.abs(noise.transition - transition).max() < 0.05
    assert noise.rate == pytest.approx((given != truth).mean(), abs=0.02)
    assert noise.joint.sum() == pytest.approx(30_000)
    assert noise.rate_interval[1] - noise.rate_interval[0] < 0.02


def test_the_given_class_and_the_likeliest_others_are_kept():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(90), 3000).astype(np.float32)
    given = rng.integers(0, 90, 3000)
    evidence = gather(given, p)
    rows = np.arange(3000)[:, None]
    assert (evidence.classes[:, 0] == given).all()
    assert all(len(set(row)) == evidence.classes.shape[1] for row in evidence.classes)
    left = p.copy()
    left[rows, evidence.classes] = 0
    assert (left.max(1) <= p[rows, evidence.classes[:, 1:]].min(1)).all()
    np.testing.assert_allclose(np.exp(evidence.rest), left.sum(1) / (90 - 16), rtol=1e-4)


def with_two_names(n: int = 4000, k: int = 6, rate: float = 0.4, seed: int = 0):
    """Sure classes; `rate` of the labels of each item say a second class that the model knows."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    second = (truth + rng.integers(1, k, n)) % k
    given = np.where(rng.random(n) < rate, second, truth)
    p = np.full((n, k), 0.01)
    rows = np.arange(n)
    p[rows, truth], p[rows, second] = 1 - rate - 0.02, rate - 0.02
    p += rng.uniform(0, 0.01, p.shape)
    return truth, given, p / p.sum(axis=1, keepdims=True)


def test_labels_wrong_by_the_item_are_not_taken_for_unsure_predictions():
    # T = 1 explains these labels best; only that no item's label can be relied on shows the noise
    truth, given, p = with_two_names()
    model = estimate_noise(given, p)
    assert not model.clean
    assert model.rate == pytest.approx(0.4, abs=0.06)
    q = soften(given, p, noise=model)
    assert (q.argmax(axis=1) == truth).mean() > 0.85


@pytest.mark.parametrize("k", [2, 3, 10])
@pytest.mark.parametrize("spread", [0.1, 0.3, 1.0, 3.0])
def test_unsure_predictions_are_not_taken_for_wrong_labels(k, spread):
    rng = np.random.default_rng(0)
    p = np.exp(rng.normal(0, spread, (3000, k)))
    p /= p.sum(axis=1, keepdims=True)
    given = (p.cumsum(axis=1) > rng.random((3000, 1))).argmax(axis=1)
    assert plateau(gather(given, p)) is None
