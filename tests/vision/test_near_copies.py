"""Near copies, by their features."""

import numpy as np
import pytest

from softfold.data.grouping import groups_of_pairs
from softfold.vision import near_copies as module
from softfold.vision.near_copies import near_copies

RNG = np.random.default_rng(0)


def test_near_copies_match_brute_force():
    features = RNG.normal(size=(57, 8))
    features[[40, 13]] = features[[7, 20]] * 3 + RNG.normal(size=(2, 8)) * 0.01
    pairs, similarity = near_copies(features, 0.6, block=10)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = np.triu(unit @ unit.T, 1)
    assert set(map(tuple, pairs.tolist())) == set(
        zip(*map(np.ndarray.tolist, np.nonzero(cosine >= 0.6)))
    )
    assert np.allclose(similarity, cosine[pairs[:, 0], pairs[:, 1]], atol=1e-5)
    assert (np.diff(similarity) <= 0).all()
    assert {tuple(pair) for pair in pairs[:2].tolist()} == {(7, 40), (13, 20)}


def test_few_and_many_close_pairs_are_those_that_all_axes_show():
    """A bound on few axes says what to compare; the pairs are those of brute force either way."""
    few, many = crowd(700, 30, d=400), np.repeat(crowd(7, 0, d=400), 100, axis=0)
    many = many + 0.01 * RNG.normal(size=many.shape)
    for features in (few, many):
        pairs, _ = near_copies(features, block=256)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        expected = np.nonzero(np.triu(unit @ unit.T, 1) >= 0.97)
        assert len(pairs) >= 30
        assert set(map(tuple, pairs.tolist())) == set(zip(*map(np.ndarray.tolist, expected)))


def crowd(n, pairs, d=160):
    """n features, of which some pairs are near copies of one another."""
    x = RNG.normal(size=(n, d)) * (1 + np.arange(d)) ** -0.5
    first, second = RNG.permutation(n)[: 2 * pairs].reshape(2, -1)
    x[second] = x[first] + 0.02 * RNG.normal(size=(pairs, d))
    return x.astype(np.float32)


def test_an_index_finds_the_near_copies_that_comparing_all_finds(monkeypatch):
    pytest.importorskip("faiss")
    x = crowd(3000, 200)
    pairs, similarity = near_copies(x)
    monkeypatch.setattr(module, "EXACT_ITEMS", 1000)
    found, values = near_copies(x)
    assert len(pairs) >= 200 and set(map(tuple, found.tolist())) == set(map(tuple, pairs.tolist()))
    assert np.allclose(values, similarity, atol=1e-5)


@pytest.mark.parametrize("indexed", [False, True])
def test_hundreds_of_copies_of_one_are_kept_by_what_holds_them_together(indexed, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 2000)
    if indexed:
        pytest.importorskip("faiss")
        monkeypatch.setattr(module, "EXACT_ITEMS", 100)
    x = np.repeat(crowd(4, 0), 300, axis=0) + 0.01 * RNG.normal(size=(1200, 160))
    pairs, similarity = near_copies(x, block=256)
    groups = groups_of_pairs(pairs, 1200)
    assert np.array_equal(groups, np.arange(1200) // 300 * 300)
    assert len(pairs) <= 2000 and (np.diff(similarity) <= 0).all()


def test_without_an_index_few_items_are_compared_and_many_not(monkeypatch):
    monkeypatch.setattr(module, "has_index", lambda: False)
    assert module.can_be_compared(20_000) and not module.can_be_compared(20_001)
    assert module.can_be_compared(100_000, asked=True)
    assert not module.can_be_compared(100_001, asked=True)
