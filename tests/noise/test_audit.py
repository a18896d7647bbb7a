"""What items checked at random say of the noise rate."""

from __future__ import annotations

import numpy as np
import pytest

from softfold import estimate_noise
from softfold.noise.audit import audited_rate, log_odds, tilt_into, wanted_checks, with_odds


@pytest.mark.parametrize("rate", [0.03, 0.15, 0.4])
@pytest.mark.parametrize("bias", [0.3, 1.0, 1.5])
def test_the_interval_holds_the_truth_whatever_suspicion_says(rate, bias):
    rng = np.random.default_rng(0)
    n = 5000
    chance = rng.beta(0.3 * rate, 0.3 * (1 - rate), n)
    wrong = rng.random(n) < chance
    suspicion = np.clip(bias * chance, 0, 1)
    held, widths = 0, []
    for _ in range(300):
        rows = rng.choice(n, 100, replace=False)
        mean, low, high = audited_rate(suspicion, rows, wrong[rows])
        assert low <= mean <= high
        held += low <= wrong.mean() <= high
        widths.append(high - low)
    assert held / 300 > 0.93
    plain = 2 * 2 * np.sqrt(rate * (1 - rate) / 100)
    assert np.mean(widths) < plain + 0.03


def test_all_items_checked_leaves_nothing_open():
    wrong = np.arange(50) % 5 == 0
    rate, low, high = audited_rate(np.full(50, 0.1), np.arange(50), wrong)
    assert rate == low == high == pytest.approx(0.2)


def test_how_many_more_to_check_falls_as_they_are_checked():
    rng = np.random.default_rng(0)
    wrong = rng.random(5000) < 0.2
    suspicion = np.where(wrong, 0.6, 0.1) + rng.normal(0, 0.05, 5000)
    none, nobody = np.arange(0), np.zeros(0, bool)
    first = wanted_checks(suspicion, none, nobody, 0.04)
    rows = rng.choice(5000, 60, replace=False)
    left = wanted_checks(suspicion, rows, wrong[rows], 0.04)
    assert 0 <= left < first < 1000


def test_suspicions_are_tilted_no_further_than_an_audit_contradicts_them():
    suspicion = np.random.default_rng(0).beta(0.2, 2, 5000)
    mean = suspicion.mean()
    assert tilt_into(suspicion, mean - 0.02, mean + 0.02) == 0
    for low, high, goal in [(mean + 0.05, 0.4, mean + 0.05), (0.01, 0.02, 0.02)]:
        moved = with_odds(log_odds(suspicion) + tilt_into(suspicion, low, high))
        assert moved.mean() == pytest.approx(goal, abs=1e-3)
    assert tilt_into(suspicion, 0.0, 0.0) == 0  # all were checked: nothing is left to guess


def test_a_model_that_is_sure_of_all_labels_is_weighed_in_silence():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    p = np.where(np.eye(3)[truth] == 1, 1 - 2e-30, 1e-30)
    with np.errstate(over="raise"):
        noise = estimate_noise(truth, p, checked=(np.arange(200), truth))
    assert noise.rate == 0
