"""The explanation that the given labels are right."""

import numpy as np
import pytest
from made_noise import weak_model

from softfold.noise.clean import CLEAN_RATE, clean
from softfold.noise.explanation import log_floored
from softfold.noise.sample import Sample


def test_labels_are_taken_as_right_and_their_suspicions_keep_an_order():
    given, p = weak_model(2000)
    sample = Sample.of(given, p, np.arange(2000))
    found = clean(sample)
    assert found.name == "clean" and found.temperature == sample.temperature
    _, odds = found.read(given, log_floored(p))
    rate = 1 / (1 + np.exp(-odds.astype(float)))
    # next to nothing is wrong, and what the model contradicts is the first to look at
    assert rate.mean() < 0.03
    contradicted = p.argmax(1) != given
    assert odds[contradicted].min() > np.quantile(odds[~contradicted], 0.9)
    assert len(np.unique(odds)) > 1900


def test_its_matrix_is_that_of_a_small_even_noise():
    given, p = weak_model(500, k=4)
    transition = clean(Sample.of(given, p, np.arange(500))).transition
    assert np.diag(transition) == pytest.approx(1 - CLEAN_RATE)
    np.testing.assert_allclose(transition.sum(1), 1)
