"""Temperatures: what made predictions flat or sharp is undone, and the search that finds them."""

import numpy as np
import pytest
from made_noise import drawn_to_base_rates, pair, problem

from softfold import estimate_noise, rank_issues, soften
from softfold.noise.matrices import symmetric
from softfold.noise.model import NoiseModel
from softfold.noise.sample import Sample
from softfold.noise.temperature import TEMPERATURES, base_shift, fitted_temperature, search


@pytest.mark.parametrize("made_flat", [0.5, 1.0, 2.0])
def test_the_temperature_undoes_what_made_predictions_flat_or_sharp(made_flat):
    _, given, p = problem(np.eye(6), n=4000, skill=1.5, temperature=made_flat)
    sample = Sample.of(given, p, np.arange(len(given)))
    assert sample.temperature == pytest.approx(1 / made_flat, rel=0.2)


@pytest.mark.parametrize("evidence", [0.3, 0.6])
def test_predictions_drawn_to_base_rates_get_their_evidence_back_and_no_more(evidence):
    _, given, known, unsure = drawn_to_base_rates(pair(4, 0.2), evidence=evidence)
    sample = Sample.of(given, unsure, np.arange(len(given)))
    rows = np.argsort(given, kind="stable")

    def error(of):
        return np.abs(of.at(of.temperature) - known[rows]).mean()

    assert error(sample.evened()) < 0.5 * error(sample)


def test_sure_predictions_and_equal_classes_are_left_as_they_are():
    _, given, known, _ = drawn_to_base_rates(np.eye(4))
    sure = known**2 / (known**2).sum(axis=1, keepdims=True)
    assert base_shift(Sample.of(given, sure, np.arange(len(given)))) is None
    _, given, p = problem(np.eye(6), n=4000, skill=1.5, temperature=2.0)
    shift = base_shift(Sample.of(given, p, np.arange(len(given))))
    assert shift is not None and np.abs(shift).max() < 0.05


def test_soft_labels_and_the_order_of_issues_do_not_favour_frequent_classes():
    truth, given, _, unsure = drawn_to_base_rates(symmetric(4, 0.19))
    wrong, rare = given != truth, truth == 0
    noise = estimate_noise(given, unsure)
    found = soften(given, unsure, noise=noise)
    assert (found.argmax(axis=1) == truth)[rare].mean() > 0.6
    first = rank_issues(given, unsure, noise=noise)["index"].to_numpy()[: wrong.sum()]
    assert wrong[first].mean() > 0.83
    again = soften(given, unsure, noise=NoiseModel.from_json(noise.to_json()))
    assert np.abs(again - found).max() < 1e-5


@pytest.mark.parametrize("best", [0.15, 1.0, 6.0])
def test_search_finds_the_largest_value(best):
    found = search(lambda t: -((np.log(t) - np.log(best)) ** 2), *TEMPERATURES)
    assert found == pytest.approx(best, rel=0.06)


@pytest.mark.parametrize(("slope", "end"), [(1, TEMPERATURES[1]), (-1, TEMPERATURES[0])])
def test_search_stays_within_its_bounds(slope, end):
    found = search(lambda t: slope * t, *TEMPERATURES)
    assert found == pytest.approx(end, rel=0.06)
    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]


def test_of_many_classes_more_than_a_handful_of_items_are_looked_at():
    k = 2000
    labels = np.repeat(np.arange(k), 2)
    p = np.full((len(labels), k), 0.2 / (k - 1), np.float32)
    p[np.arange(len(labels)), labels] = 0.8
    wrong = np.random.default_rng(0).random(len(labels)) < 0.2
    given = np.where(wrong, (labels + 1) % k, labels)
    assert 0.7 < fitted_temperature(Sample.of(given, p, np.arange(len(labels)))) < 1.5
