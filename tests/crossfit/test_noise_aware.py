"""Noise-aware cross-fit: better predictions where labels are wrong, no harm elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
from sklearn.datasets import load_digits

from softfold import cross_fit, estimate_noise, plan_folds, rank_issues, soften
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.data.table import LabelTable
from softfold.evaluation import average_precision
from softfold.trainers.estimator import Estimator
from softfold.trainers.probe import Probe


def digits(kind: str, rate: float, seed: int = 0) -> LabelTable:
    x, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    flip = rng.random(len(truth)) < rate
    step = 1 if kind == "pair" else rng.integers(1, 10, len(truth))
    return LabelTable(
        item=np.array([str(i) for i in range(len(truth))], dtype=object),
        given=np.where(flip, (truth + step) % 10, truth),
        vocab=tuple("0123456789"),
        valid=np.zeros(len(truth), bool),
        truth=truth,
        data=x.astype(np.float32),
    )


@pytest.mark.parametrize(("kind", "rate"), [("even", 0.3), ("pair", 0.4)])
def test_the_truth_is_found_behind_noisy_labels(kind, rate):
    table = digits(kind, rate)
    made = noise_aware_cross_fit(table, Probe(), plan_folds(table, 5), seed=0)
    wrong = table.given != table.truth
    assert not made.noise.clean
    assert made.noise.rate == pytest.approx(wrong.mean(), abs=0.04)
    soft = soften(table, made.oof, noise=made.noise)
    right = (soft.targets.argmax(1) == table.truth).mean()
    assert right > 0.93
    assert right > (made.plain.probabilities.argmax(1) == table.truth).mean()
    issues = rank_issues(table.given, made.oof.probabilities, noise=made.noise)
    suspicion = issues.set_index("index")["suspicion"].sort_index().to_numpy()
    assert average_precision(suspicion, wrong) > 0.97


def test_clean_labels_stay():
    table = digits("even", 0.0)
    made = noise_aware_cross_fit(table, Probe(), plan_folds(table, 5), seed=0)
    assert made.noise.rate < 0.02
    soft = soften(table, made.oof, noise=made.noise)
    assert (soft.targets.argmax(1) == table.truth).mean() > 0.995


def test_predictions_are_of_the_plan_and_repeatable(tmp_path):
    table = digits("pair", 0.3)
    plan = plan_folds(table, 4, seed=3)
    first = noise_aware_cross_fit(table, Probe(), plan, seed=3, out=tmp_path / "folds")
    again = noise_aware_cross_fit(table, Probe(), plan, seed=3)
    np.testing.assert_array_equal(first.oof.fold, plan.fold)
    np.testing.assert_allclose(first.oof.probabilities, again.oof.probabilities, atol=1e-4)
    plain = cross_fit(table, Probe(), plan, seed=3)
    np.testing.assert_allclose(first.plain.probabilities, plain.probabilities, atol=1e-5)
    assert (tmp_path / "folds" / "plain").is_dir()
    # finished folds are read, not made again
    resumed = noise_aware_cross_fit(table, Probe(), plan, seed=3, out=tmp_path / "folds")
    np.testing.assert_array_equal(resumed.oof.probabilities, first.oof.probabilities)


def test_a_trainer_that_cannot_train_through_noise_is_helped_afterwards():
    table = digits("pair", 0.35)
    logistic = Estimator(arch="sklearn.linear_model.LogisticRegression", params={"C": 0.01})
    made = noise_aware_cross_fit(table, logistic, plan_folds(table, 5), seed=0)
    soft = soften(table, made.oof, noise=made.noise)
    plain = (made.plain.probabilities.argmax(1) == table.truth).mean()
    assert (soft.targets.argmax(1) == table.truth).mean() > plain


def test_wrong_labels_that_the_features_foretell_are_found():
    rng = np.random.default_rng(0)
    n, k = 3000, 6
    truth = rng.integers(0, k, n)
    x = rng.normal(size=(n, 24)).astype(np.float32)
    x[np.arange(n), truth] += 6
    # which class an item is taken for, by its other columns
    toward = rng.normal(size=(k, 18, k)) * 3
    score = np.einsum("nd,ndk->nk", x[:, 6:], toward[truth])
    score[np.arange(n), truth] = -np.inf
    given = np.where(rng.random(n) < 0.4, score.argmax(axis=1), truth)
    table = LabelTable(
        item=np.arange(n).astype(str).astype(object),
        given=given,
        vocab=tuple("abcdef"),
        valid=np.zeros(n, bool),
        data=x,
    )
    made = noise_aware_cross_fit(table, "probe", seed=0)
    assert made.noise.rate == pytest.approx((given != truth).mean(), abs=0.08)
    q = soften(given, made.oof.probabilities, noise=made.noise)
    assert (q.argmax(axis=1) == truth).mean() > 0.9


def test_what_was_learned_by_heart_stays_open_however_likely_labels_become(monkeypatch):
    from softfold.crossfit import noise_aware as module

    rng = np.random.default_rng(0)
    truth, n = rng.integers(0, 4, 1500), 1500
    middles = rng.normal(0, 0.5, (4, 20))
    x = middles[truth] + rng.normal(size=(n, 20))
    far = ((x[:, None] - middles) ** 2).sum(axis=2)
    far[np.arange(n), truth] = np.inf
    unclear = far.min(axis=1) - ((x - middles[truth]) ** 2).sum(axis=1)
    chance = 0.4 * (1 - unclear.argsort().argsort() / n)
    given = np.where(rng.random(n) < chance, far.argmin(axis=1), truth)
    table = LabelTable(
        item=np.arange(n).astype(str).astype(object),
        given=given,
        vocab=tuple("abcd"),
        valid=np.zeros(n, bool),
        data=x.astype(np.float32),
    )
    monkeypatch.setattr(module, "evidence", lambda gain, n_classes: 50.0)
    made = noise_aware_cross_fit(table, "probe", n_folds=3, seed=0)
    assert not made.noise.clean
    before = estimate_noise(given, made.plain.probabilities).rate_interval
    assert made.noise.rate_interval[0] > before[0] == 0
    assert made.noise.rate_interval[1] >= before[1]
    assert before[1] > (given != truth).mean()
