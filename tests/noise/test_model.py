"""A noise model read: posteriors and log-odds of explanations, their mean, and JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made_noise import pair, people, problem

from softfold import InputError, estimate_noise
from softfold.noise.matrices import symmetric
from softfold.noise.model import (
    Explanation,
    NoiseModel,
    as_noise_model,
    heat,
    log_floored,
    posterior,
)

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], np.float32)
GIVEN = np.array([0, 1, 2])
SAYS_NO_CLASS = Explanation("no_class", symmetric(3, 0.1), 1.0, offset=-2.0)


def model_of(*explanations):
    prior, identity = np.ones(3) / 3, np.eye(3)
    return NoiseModel(explanations, 0.1, (0.0, 0.2), identity, prior, identity)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_a_posterior_is_that_of_bayes_at_the_temperature(temperature):
    transition = pair(3, 0.3) * 0.9 + 0.1 / 3
    known = Explanation("by_class", transition, temperature)
    q, odds = known.read(GIVEN, log_floored(P))
    joint = P.astype(float) ** (1 / temperature) * transition[:, GIVEN].T
    expected = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(q, expected, atol=1e-5)
    own = expected[np.arange(3), GIVEN]
    np.testing.assert_allclose(odds, np.log((1 - own) / own), atol=1e-4)


def test_log_odds_keep_their_order_where_probabilities_are_all_one():
    p = np.array([[1 - 2e-7, 1e-7, 1e-7], [1 - 2e-6, 1e-6, 1e-6], [1 - 2e-5, 1e-5, 1e-5]])
    q, odds = Explanation("clean", symmetric(3, 0.005), 0.5).read(np.zeros(3, int), log_floored(p))
    assert (q[:, 0] == 1).all()
    assert (np.diff(odds) > 2).all()


def test_unmixed_predictions_of_given_labels_are_those_of_the_truth():
    transition = pair(3, 0.4)
    p = np.eye(3, dtype=np.float32) @ transition.astype(np.float32)  # what one learns of pure items
    known = Explanation("by_class", transition, 1.0, unmix=True)
    for given in range(3):
        q, _ = known.read(np.full(3, given), log_floored(p))
        able = transition[:, given] > 0
        assert (q.argmax(1)[able] == np.arange(3)[able]).all() and q.max(1)[able].min() > 0.95


def test_no_class_spreads_its_share_evenly_and_leaves_the_rest_with_the_label():
    q, odds = SAYS_NO_CLASS.read(GIVEN, log_floored(P))
    wrong = 1 / (1 + np.exp(-odds))
    np.testing.assert_allclose(q.sum(1), 1, atol=1e-6)
    for row, given, share in zip(q, GIVEN, wrong):
        others = np.delete(row, given)
        np.testing.assert_allclose(others, share / 3, rtol=1e-4)
    assert wrong[1] > wrong[0]  # contradicted, and agreed with


def test_an_item_is_hot_where_its_label_is_contradicted_or_no_class_fits():
    p = np.array([[0.98, 0.01, 0.01], [0.34, 0.33, 0.33], [0.01, 0.98, 0.01]], np.float32)
    agreed, unsure, contradicted = heat(np.zeros(3, int), log_floored(p))
    assert agreed < unsure < contradicted
    # as documented: log(1 - s_y + entropy of s) - log s_y, of square roots
    s = np.sqrt(p[0].astype(float))
    s /= s.sum()
    expected = np.log(1 - s[0] - (s * np.log(s)).sum()) - np.log(s[0])
    assert agreed == pytest.approx(expected, abs=1e-5)


def test_the_posterior_of_a_model_is_the_mean_of_what_its_explanations_say():
    clean = Explanation("clean", symmetric(3, 0.01), 1.0, weight=0.6)
    noisy = Explanation("by_class", pair(3, 0.4), 1.0, weight=0.4)
    logs = log_floored(P)
    expected = 0.6 * clean.read(GIVEN, logs)[0] + 0.4 * noisy.read(GIVEN, logs)[0]
    q = posterior(GIVEN, P, model_of(clean, noisy))
    np.testing.assert_allclose(q, expected, atol=1e-6)
    assert q.dtype == np.float32


def test_explanations_that_nobody_believes_are_not_computed():
    clean = Explanation("clean", symmetric(3, 0.01), 1.0, weight=0.995)
    noisy = Explanation("by_class", pair(3, 0.4), 1.0, weight=0.005)
    both = model_of(clean, noisy)
    assert both.counted == (clean,)
    np.testing.assert_array_equal(
        posterior(GIVEN, P, both), posterior(GIVEN, P, model_of(replace(clean, weight=1.0)))
    )


def test_the_explanation_believed_most_speaks_for_the_model_wherever_it_stands():
    surest = Explanation("surest", pair(3, 0.2), 0.4, weight=0.2)
    sharper = Explanation("surest", pair(3, 0.2), 0.2, weight=0.3)
    clean = Explanation("clean", symmetric(3, 0.01), 1.3, weight=0.5)
    noise = model_of(surest, clean, sharper)
    assert noise.best is clean and noise.clean and noise.temperature == 1.3
    assert noise.weight("surest") == pytest.approx(0.5)
    assert noise.weight("clean", "surest") == pytest.approx(1)
    assert noise.weight("even") == 0


def test_posterior_uses_the_temperature():
    known = as_noise_model(symmetric(2, 0.2), 2)
    sharp = Explanation("by_class", known.transition, 0.5)
    noise = NoiseModel((sharp,), 0.2, (0.1, 0.3), known.transition, known.prior, known.joint)
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
    np.testing.assert_allclose(posterior(given, p, again), posterior(given, p, noise), atol=1e-4)


def test_the_json_of_a_model_without_shift_is_that_of_versions_without_shifts():
    known = as_noise_model(symmetric(3, 0.2), 3)
    fields = json.loads(json.dumps(known.to_json()))
    (explanation,) = fields["explanations"]
    assert "shift" not in explanation and NoiseModel.from_json(fields).shift is None
    explanation["shift"] = [0.0, 0.5, -0.5]
    np.testing.assert_array_equal(NoiseModel.from_json(fields).shift, [0.0, 0.5, -0.5])


def test_names_of_classes_come_back_from_json_and_older_files_have_none():
    _, given, p = problem(pair(3, 0.2), n=500)
    noise = estimate_noise(given, p, vocab="cab")
    again = NoiseModel.from_json(json.dumps(noise.to_json()))
    assert again.vocab == noise.vocab == ("c", "a", "b")
    assert noise.html() == noise.html("cab") != noise.html("012")
    without = estimate_noise(given, p)
    assert without.vocab is None and "vocab" not in without.to_json()
    assert NoiseModel.from_json(without.to_json()).in_order("cab").vocab is None


def test_a_model_in_another_order_of_classes_says_the_same_of_every_item():
    _, given, p = problem(pair(3, 0.2), n=500)
    noise = estimate_noise(given, p, vocab="cab")
    shifted = [replace(e, shift=np.array([0.0, 0.4, -0.4])) for e in noise.explanations]
    noise = replace(noise, explanations=tuple(shifted))
    other, order = noise.in_order("abc"), [1, 2, 0]
    assert other.vocab == ("a", "b", "c") and noise.in_order("cab") is noise
    np.testing.assert_allclose(other.joint, noise.joint[order][:, order])
    np.testing.assert_allclose(other.prior, noise.prior[order])
    found = posterior(np.argsort(order)[given], p[:, order], other)
    np.testing.assert_allclose(found, posterior(given, p, noise)[:, order], atol=1e-6)


@pytest.mark.parametrize("checked", [None, 50])
def test_the_json_is_one_that_every_reader_takes(checked):
    _, given, p = people(n=800)
    about = None if checked is None else (np.arange(checked), given[:checked])
    text = json.dumps(estimate_noise(given, p, checked=about).to_json(), allow_nan=False)
    assert NoiseModel.from_json(text).audited == (checked or 0)


def test_a_rate_that_is_not_known_is_absent_and_comes_back_as_unknown():
    unknown = replace(as_noise_model(pair(3, 0.2), 3), rate=float("nan"))
    fields = unknown.to_json()
    assert "rate" not in fields and "information" not in fields
    again = NoiseModel.from_json(json.dumps(fields))
    assert again.rate != again.rate and again.rate_interval == unknown.rate_interval


def test_a_known_matrix_is_one_explanation_with_the_rate_that_it_gives():
    noise = as_noise_model(np.array([[0.9, 0.1], [0.4, 0.6]]), 2)
    assert noise.rate == pytest.approx(0.25) and noise.rate_interval == (noise.rate, noise.rate)
    assert [e.name for e in noise.explanations] == ["by_class"] and not noise.clean
    mostly_first = as_noise_model(noise.transition, 2, prior=[0.9, 0.1])
    assert mostly_first.rate == pytest.approx(0.9 * 0.1 + 0.1 * 0.4)


@pytest.mark.parametrize(
    ("matrix", "line"),
    [
        (np.eye(2), r"expected a transition matrix \(3, 3\), got shape \(2, 2\)"),
        (np.ones((3, 3)), "3 rows of the transition matrix .* the first is row 0"),
        (pair(3, 0.2).T * [[1], [1], [1.1]], "1 rows .* the first is row 2"),
        (np.eye(3) + [[0, 0, 0], [-0.1, 0.1, 0], [0, 0, 0]], "1 rows .* the first is row 1"),
        (np.full((3, 3), np.nan), "3 rows .* the first is row 0"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix, line):
    with pytest.raises(InputError, match=f"^noise: {line}"):
        as_noise_model(matrix, 3)


def test_a_probability_of_nothing_has_a_logarithm():
    logs = log_floored(np.array([[0.0, 1e-300, 0.5, 1.0]]))
    assert logs.dtype == np.float32 and np.isfinite(logs).all()
    assert logs[0, 0] == logs[0, 1] < logs[0, 2] == np.float32(np.log(0.5)) < logs[0, 3] == 0
