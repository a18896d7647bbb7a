"""A noise model read: posteriors and log-odds of explanations, their mean, and JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made_noise import pair, people, problem

from softfold import InputError, estimate_noise
from softfold.noise.explanation import Explanation, log_floored
from softfold.noise.matrices import symmetric
from softfold.noise.model import NoiseModel, as_noise_model, posterior

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], np.float32)
GIVEN = np.array([0, 1, 2])
SAYS_NO_CLASS = Explanation("no_class", symmetric(3, 0.1), 1.0, offset=-2.0)


def model_of(*explanations):
    prior, identity = np.ones(3) / 3, np.eye(3)
    return NoiseModel(explanations, 0.1, (0.0, 0.2), identity, prior, identity)


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
