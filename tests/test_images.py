"""Decoding, copies and the cache: what odd files turn into, and what is never done twice."""

import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from softfold import cache, images
from softfold.errors import InputError
from softfold.labels import Images, LabelTable

PIL = pytest.importorskip("PIL")
from PIL import Image  # noqa: E402

RNG = np.random.default_rng(0)


def encode(pixels, format="PNG", **kwargs):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, format, **kwargs)
    return stream.getvalue()


def photo(height=40, width=60):
    coarse = RNG.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SOFTFOLD_CACHE_GB", raising=False)


@pytest.fixture
def folder(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes(encode(photo()))
    return [tmp_path / f"{i}.png" for i in range(10)]


def table_of(data):
    n = len(data)
    return LabelTable(
        item=np.array([f"item{i}" for i in range(n)], object),
        given=np.arange(n) % 2,
        vocab=("a", "b"),
        valid=np.zeros(n, bool),
        truth=None,
        group=None,
        data=data,
        name="labels.csv",
    )


def test_decode_keeps_pixels_and_crops_the_centre():
    pixels = photo(40, 60)
    assert np.array_equal(images.decode(encode(pixels)), pixels)
    assert np.array_equal(images.decode(encode(pixels), 40), pixels[:, 10:50])


def test_squish_keeps_the_whole_image():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :20] = 255
    squished = images.decode(encode(pixels), 40, "squish")
    assert squished[:, :8].min() > 240 and squished[:, 12:].max() < 15


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGBA", "LA", "PA", "CMYK", "YCbCr", "I;16", "I", "F"]
)
def test_every_mode_becomes_rgb(mode):
    grey = Image.fromarray(np.full((20, 20), 200, np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 20), 200 * 257, np.uint16))
    elif mode in ("PA", "LA"):
        image = grey.convert("RGBA").convert(mode)
    else:
        image = grey.convert(mode)
    format = "TIFF" if mode in ("CMYK", "YCbCr", "I", "F", "PA") else "PNG"
    if mode == "PA":
        found = np.asarray(images._to_rgb(image))
    else:
        found = images.decode(encode(image, format), 16)
    assert found.shape[2] == 3 and found.dtype == np.uint8
    if mode != "1":
        assert abs(int(found.mean()) - 200) <= 2


def test_transparent_pixels_are_white():
    pixels = np.zeros((10, 10, 4), np.uint8)
    assert images.decode(encode(pixels), 8).min() == 255


@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_orientation_is_applied(tag):
    upright = photo(32, 48)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[tag]
    exif = Image.Exif()
    exif[0x0112] = tag
    found = images.decode(encode(np.ascontiguousarray(turned), "PNG", exif=exif))
    assert np.array_equal(found, upright)


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same():
    pixels = photo(1200, 1600)
    encoded = encode(pixels, "JPEG", quality=95)
    fast = images.decode(encoded, 64).astype(float)
    exact = Image.fromarray(pixels).resize((64, 64), 1, box=(200, 0, 1400, 1200))
    assert np.abs(fast - np.asarray(exact, float)).mean() < 2


@pytest.mark.parametrize("broken", [b"", b"no image", encode(photo())[:300]])
def test_broken_images_are_counted_and_named(broken):
    table = table_of(Images(encoded=[encode(photo()), broken, broken]))
    with pytest.raises(InputError, match=r"^labels.csv: 2 of 3 images.* first is item1: [^\n]*$"):
        images.check_images(table)
    with pytest.raises(InputError, match="image 1 does not decode"):
        images.decoded(table.data, 16)
    kept = {entry["kind"]: entry["rows"] for entry in cache.cache_info()["entries"]}
    assert kept == {"images": 0, "scans": 3}


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
    assert images.exact_copies(data).tolist() == [0, 1, 0, 0, 4, 5, 6]
    assert images.exact_copies(data).tolist() == [0, 1, 0, 0, 4, 5, 6]  # out of the cache


def test_same_bytes_of_another_shape_are_no_copies():
    flat = np.zeros((4, 9, 3), np.uint8)
    data = Images(encoded=[encode(flat), encode(flat.reshape(9, 4, 3))])
    assert images.exact_copies(data).tolist() == [0, 1]


def test_near_copies_match_brute_force():
    features = RNG.normal(size=(57, 8))
    features[[40, 13]] = features[[7, 20]] * 3 + RNG.normal(size=(2, 8)) * 0.01
    pairs, similarity = images.near_copies(features, 0.6, block=10)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = np.triu(unit @ unit.T, 1)
    assert set(map(tuple, pairs.tolist())) == set(
        zip(*map(np.ndarray.tolist, np.nonzero(cosine >= 0.6)))
    )
    assert np.allclose(similarity, cosine[pairs[:, 0], pairs[:, 1]], atol=1e-5)
    assert (np.diff(similarity) <= 0).all()
    assert {tuple(pair) for pair in pairs[:2].tolist()} == {(7, 40), (13, 20)}


def test_decoded_once_whatever_the_subset_and_order(folder, monkeypatch):
    data = Images(folder)
    rows = images.decoded(data, 24)
    assert rows[3].shape == (24, 24, 3) and rows[3].dtype == np.uint8
    expected = np.stack([images.decode(file.read_bytes(), 24) for file in folder])
    assert np.array_equal(rows[np.arange(10)], expected)

    monkeypatch.setattr(images, "decode", lambda *args: pytest.fail("decoded twice"))
    again = images.decoded(data.take(np.array([7, 2, 2])), 24)
    assert np.array_equal(again[np.array([0, 1, 2])], expected[[7, 2, 2]])
    assert np.array_equal(rows.take(np.array([9]))[0], expected[9])


def test_only_what_is_new_is_decoded(folder, monkeypatch):
    images.decoded(Images(folder[:6]), 24)
    counted = []
    original = images.decode
    monkeypatch.setattr(images, "decode", lambda *a: (counted.append(1), original(*a))[1])
    rows = images.decoded(Images([*folder, folder[0]]), 24)
    assert len(counted) == 4
    assert np.array_equal(rows[10], rows[0])


def test_a_changed_file_is_decoded_again(folder):
    before = images.decoded(Images(folder), 24)[4]
    folder[4].write_bytes(encode(photo()))
    os.utime(folder[4], ns=(1, 1))
    assert not np.array_equal(images.decoded(Images(folder), 24)[4], before)


def test_settings_do_not_mix(folder):
    assert images.decoded(Images(folder), 24)[0].shape == (24, 24, 3)
    assert images.decoded(Images(folder), 16)[0].shape == (16, 16, 3)
    crop, squish = (images.decoded(Images(folder), 24, fit)[0] for fit in ("crop", "squish"))
    assert not np.array_equal(crop, squish)


def test_rows_travel_to_worker_processes(folder):
    import pickle

    rows = images.decoded(Images(folder), 24)
    rows[0]
    assert np.array_equal(pickle.loads(pickle.dumps(rows))[5], rows[5])


def test_a_crash_leaves_nothing_that_is_read(folder, monkeypatch):
    def crash(*args):
        raise KeyboardInterrupt

    calls = []
    with pytest.raises(KeyboardInterrupt):
        images.decoded(Images(folder), 24, progress=crash)
    assert cache.cache_info()["bytes"] == 0
    images.decoded(Images(folder), 24, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (10, 10)


def test_rows_without_their_keys_are_not_read(folder):
    images.decoded(Images(folder), 24)
    next(cache.cache_dir().rglob("*.keys.npy")).unlink()
    assert np.array_equal(
        images.decoded(Images(folder), 24)[1], images.decode(folder[1].read_bytes(), 24)
    )


def test_two_runs_at_a_time_agree(folder):
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda _: images.decoded(Images(folder), 24)[np.arange(10)], range(8))
        )
    assert all(np.array_equal(found[0], other) for other in found)


def test_the_cache_is_bounded_and_forgets_the_least_recent(folder, monkeypatch):
    size = 24 * 24 * 3 * 10
    monkeypatch.setenv("SOFTFOLD_CACHE_GB", str(2.6 * size / 1e9))
    for k, files in enumerate((folder[:5], folder[5:])):
        images.decoded(Images(files), 24)
        for file in cache.cache_dir().rglob("*.npy"):
            if file.stat().st_mtime > 1e9:
                os.utime(file, (k + 1, k + 1))
    images.decoded(Images(folder[:5]), 24)  # used again
    images.decoded(Images(folder), 36)  # 2.25 times as large as ten at 24
    info = cache.cache_info()
    assert info["bytes"] < 2.7 * size
    assert {entry["settings"]["size"] for entry in info["entries"] if entry["rows"]} == {36}


def test_see_and_clear(folder):
    images.decoded(Images(folder), 24)
    info = cache.cache_info()
    (entry,) = info["entries"]
    assert (entry["kind"], entry["rows"], entry["settings"]["size"]) == ("images", 10, 24)
    assert info["bytes"] >= 10 * 24 * 24 * 3
    assert cache.clear_cache() >= info["bytes"]
    assert cache.cache_info()["bytes"] == 0


def test_memory_does_not_grow_with_reading(tmp_path):
    store = cache.RowStore("test", {})
    keys = np.array([cache.content_key(bytes([i, 0])) for i in range(64)], cache.KEY)
    with store.writer(64, (1 << 20,), np.uint8) as writer:
        for i in range(64):
            writer.write(keys[i : i + 1], np.full((1, 1 << 20), i, np.uint8))
    rows, missing = store.find(keys)
    assert not missing.any()
    assert [int(rows[i][5]) for i in (0, 63, 7)] == [0, 63, 7]
    rows._touched = cache._REOPEN_BYTES + 1
    rows[1]
    assert rows._touched == 1 << 20


def test_a_missing_file_is_named(folder):
    with pytest.raises(InputError, match=r"absent.png: no such image"):
        images.decoded(Images([*folder, folder[0].with_name("absent.png")]), 24)
