"""Temperatures: what made predictions flat or sharp is undone, and the search that finds them."""

import numpy as np
import pytest
from made_noise import problem

from softfold.noise.sample import Sample
from softfold.noise.temperature import TEMPERATURES, fitted_temperature, search


@pytest.mark.parametrize("made_flat", [0.5, 1.0, 2.0])
def test_the_temperature_undoes_what_made_predictions_flat_or_sharp(made_flat):
    _, given, p = problem(np.eye(6), n=4000, skill=1.5, temperature=made_flat)
    sample = Sample.of(given, p, np.arange(len(given)))
    assert sample.temperature == pytest.approx(1 / made_flat, rel=0.2)


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
