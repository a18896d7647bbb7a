"""An index finds what comparing every pair finds, the same bytes each time."""

import numpy as np
import pytest

from softfold import nearby

pytest.importorskip("faiss", reason="faiss is not installed (softfold[index])")
RNG = np.random.default_rng(0)


def features(n=6000, d=160):
    """Clusters whose axes have falling variance, as networks' features do."""
    decay = (1 + np.arange(d)) ** -0.5
    centres = RNG.normal(size=(60, d)) * decay * 2
    return (centres[RNG.integers(0, 60, n)] + RNG.normal(size=(n, d)) * decay).astype(np.float32)


def test_the_index_finds_nearly_all_of_the_nearest_and_the_same_ones_again():
    x = nearby.centred(features())
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5) and x.shape[1] == nearby.WIDTH
    products, found = nearby.Index(x).nearest(x[:500], 10)
    best = np.argsort(-(x[:500] @ x.T), axis=1)[:, :10]
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found, best)]
    assert np.mean(shared) > 9.8 and (np.diff(products) <= 0).all()
    again, same = nearby.Index(x).nearest(x[:500], 10)
    assert again.tobytes() == products.tobytes() and same.tobytes() == found.tobytes()


def test_only_what_is_asked_for_is_found():
    x = nearby.centred(features(800))
    among = RNG.random(800) < 0.3
    found = nearby.Index(x).nearest(x[:50], 10, among, everywhere=True)[1]
    likeness = np.where(among, x[:50] @ x.T, -2)
    assert among[found].all()
    assert np.mean(np.sort(found) == np.sort(np.argsort(-likeness)[:, :10])) > 0.99


def test_shortened_rows_are_nowhere_less_alike_than_the_features():
    x = features(500)
    short = nearby.shortened(x)
    assert np.allclose(np.linalg.norm(short, axis=1), 1, atol=1e-5)
    assert (short @ short.T >= nearby.unit(x) @ nearby.unit(x).T - 1e-5).all()
