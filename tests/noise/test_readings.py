"""What explanations say of a sample is what they say of its items one by one."""

import numpy as np
import pytest
from made_noise import pair, people, problem

from softfold.noise.estimation import estimate_from_sample
from softfold.noise.explanation import log_floored
from softfold.noise.matrices import column_of_most
from softfold.noise.readings import level, truth, wrong
from softfold.noise.sample import Sample


@pytest.mark.parametrize(
    "case", [problem(pair(5, 0.3)), people(), people(k=64, n=3000), people(k=70, n=3000)]
)
def test_a_sample_is_read_as_its_items_are(case):
    _, given, p = case
    sample = Sample.of(given, p, np.arange(len(given)))
    for explanation in estimate_from_sample(sample).explanations:
        q, odds = explanation.read(sample.labels, log_floored(sample.p))
        np.testing.assert_allclose(truth(sample, explanation), q, atol=2e-6)
        expected = 1 / (1 + np.exp(-odds.astype(float)))
        np.testing.assert_allclose(wrong(sample, explanation), expected, atol=2e-6)
        v = explanation.likeness(log_floored(sample.p)).astype(float)
        v /= v.sum(axis=1, keepdims=True)
        seen = (v * explanation.transition[:, sample.labels].T).sum(axis=1)
        assert level(sample, explanation) == pytest.approx(np.log(seen).mean(), abs=1e-6)


@pytest.mark.parametrize("k", [3, 70])
def test_column_of_most_is_the_first_of_the_largest(k):
    p = np.random.default_rng(0).integers(0, 4, (500, k)).astype(np.float32)
    np.testing.assert_array_equal(column_of_most(np.asfortranarray(p)), p.argmax(axis=1))
