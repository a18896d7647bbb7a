"""Temperatures: what made predictions flat or sharp is undone, and the search that finds them."""

import numpy as np
import pytest
from made_noise import problem

from softfold.noise.sample import Sample
from softfold.noise.temperature import TEMPERATURES, search


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
