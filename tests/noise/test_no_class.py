"""The explanation that some items belong to no class."""

import numpy as np
import pytest

from softfold.noise.explanation import log_floored
from softfold.noise.no_class import SHARE, no_class
from softfold.noise.sample import Sample


def odd_items(n=3000, k=6, share=0.1, seed=0):
    """Right labels; some items look like no class."""
    rng = np.random.default_rng(seed)
    given, odd = rng.integers(0, k, n), rng.random(n) < share
    logits = rng.normal(0, 1.0, (n, k))
    logits[np.arange(n), given] += np.where(odd, 0.3, 6.0)
    p = np.exp(logits)
    return given, odd, (p / p.sum(1, keepdims=True)).astype(np.float32)


def chances(given, p):
    sample = Sample.of(given, p, np.arange(len(given)))
    _, odds = no_class(sample).read(given, log_floored(p))
    return 1 / (1 + np.exp(-odds.astype(float))), sample


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_half_as_many_items_are_of_no_class_as_labels_are_contradicted(share):
    given, _, p = odd_items(share=share)
    wrong, sample = chances(given, p)
    assert wrong.mean() == pytest.approx(SHARE * sample.disagreement, rel=0.02)


def test_items_that_look_like_nothing_are_the_first():
    given, odd, p = odd_items()
    wrong, _ = chances(given, p)
    first = np.argsort(-wrong)[: odd.sum()]
    assert odd[first].mean() > 0.8


def test_where_nothing_is_contradicted_no_item_is_without_a_class():
    given = np.arange(300) % 3
    p = np.full((300, 3), 0.05, np.float32)
    p[np.arange(300), given] = 0.9
    wrong, _ = chances(given, p)
    assert wrong.max() < 1e-6
