"""Copies and broken files among images, by their pixels and by their features."""

import numpy as np
import pytest

from softfold.data.grouping import groups_of_pairs
from softfold.data.table import Images
from softfold.errors import InputError
from softfold.machine import cache
from softfold.vision import copies, decoding

pytest.importorskip("PIL")
from pictures import RNG, encode, photo

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("broken", [b"", b"no image", encode(photo())[:300]])
def test_broken_images_are_counted_and_named(broken):
    data = Images(encoded=[encode(photo()), broken, broken])
    found = copies.broken_images(data)
    assert list(found) == [1, 2] and found[1] == found[2] and "\n" not in found[1]
    with pytest.raises(InputError, match="image 1 does not decode"):
        decoding.decoded(data, 16)
    kept = {entry["kind"]: entry["rows"] for entry in cache.cache_info()["entries"]}
    assert kept == {"images": 0, "scans": 1}


def test_sound_images_are_decoded_once_and_broken_ones_tried_again(tmp_path, monkeypatch):
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file in files:
        file.write_bytes(encode(photo()))
    read = Images.__getitem__

    def denied(images, i):
        if images.path(i) == files[1]:
            raise PermissionError(13, "Permission denied")
        return read(images, i)

    with monkeypatch.context() as rights:
        rights.setattr(Images, "__getitem__", denied)
        assert copies.broken_images(Images(files)) == {1: "Permission denied"}
    decoded = []
    decode = copies.decode
    monkeypatch.setattr(copies, "decode", lambda *a: (decoded.append(1), decode(*a))[1])
    assert copies.broken_images(Images(files)) == {} and len(decoded) == 1
    assert copies.broken_images(Images([*files, tmp_path / "absent.png"])) == {3: "no such file"}
    assert len(decoded) == 1


def test_exact_copies_have_the_same_pixels_in_whatever_file():
    first, second = photo(), photo()
    data = Images(
        encoded=[
            encode(first),
            encode(second),
            encode(first, compress_level=1),
            encode(first, "BMP"),
            encode(first[:, ::-1].copy()),
            b"broken",
            b"broken too",
        ]
    )
    assert copies.exact_copies(data).tolist() == [0, 1, 0, 0, 4, 5, 6]
    assert copies.exact_copies(data).tolist() == [0, 1, 0, 0, 4, 5, 6]  # out of the cache


def test_same_bytes_of_another_shape_are_no_copies():
    flat = np.zeros((4, 9, 3), np.uint8)
    data = Images(encoded=[encode(flat), encode(flat.reshape(9, 4, 3))])
    assert copies.exact_copies(data).tolist() == [0, 1]


def test_near_copies_match_brute_force():
    features = RNG.normal(size=(57, 8))
    features[[40, 13]] = features[[7, 20]] * 3 + RNG.normal(size=(2, 8)) * 0.01
    pairs, similarity = copies.near_copies(features, 0.6, block=10)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = np.triu(unit @ unit.T, 1)
    assert set(map(tuple, pairs.tolist())) == set(
        zip(*map(np.ndarray.tolist, np.nonzero(cosine >= 0.6)))
    )
    assert np.allclose(similarity, cosine[pairs[:, 0], pairs[:, 1]], atol=1e-5)
    assert (np.diff(similarity) <= 0).all()
    assert {tuple(pair) for pair in pairs[:2].tolist()} == {(7, 40), (13, 20)}


def crowd(n, pairs, d=160):
    """n features, of which some pairs are near copies of one another."""
    x = RNG.normal(size=(n, d)) * (1 + np.arange(d)) ** -0.5
    first, second = RNG.permutation(n)[: 2 * pairs].reshape(2, -1)
    x[second] = x[first] + 0.02 * RNG.normal(size=(pairs, d))
    return x.astype(np.float32)


def test_an_index_finds_the_near_copies_that_comparing_all_finds(monkeypatch):
    pytest.importorskip("faiss")
    x = crowd(3000, 200)
    pairs, similarity = copies.near_copies(x)
    monkeypatch.setattr(copies, "EXACT_ITEMS", 1000)
    found, values = copies.near_copies(x)
    assert len(pairs) >= 200 and set(map(tuple, found.tolist())) == set(map(tuple, pairs.tolist()))
    assert np.allclose(values, similarity, atol=1e-5)


@pytest.mark.parametrize("indexed", [False, True])
def test_hundreds_of_copies_of_one_are_kept_by_what_holds_them_together(indexed, monkeypatch):
    monkeypatch.setattr(copies, "MOST_PAIRS", 2000)
    if indexed:
        pytest.importorskip("faiss")
        monkeypatch.setattr(copies, "EXACT_ITEMS", 100)
    x = np.repeat(crowd(4, 0), 300, axis=0) + 0.01 * RNG.normal(size=(1200, 160))
    pairs, similarity = copies.near_copies(x, block=256)
    groups = groups_of_pairs(pairs, 1200)
    assert np.array_equal(groups, np.arange(1200) // 300 * 300)
    assert len(pairs) <= 2000 and (np.diff(similarity) <= 0).all()


def test_without_an_index_few_items_are_compared_and_many_not(monkeypatch):
    monkeypatch.setattr(copies, "has_index", lambda: False)
    assert copies.can_be_compared(20_000) and not copies.can_be_compared(20_001)
