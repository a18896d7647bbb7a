"""Decoding and the cache: what odd files turn into, and what is never done twice."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from softfold.data.table import Images
from softfold.errors import InputError
from softfold.machine import cache
from softfold.vision import decoding

PIL = pytest.importorskip("PIL")
from pictures import encode, photo  # noqa: E402
from PIL import Image  # noqa: E402

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def folder(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes(encode(photo()))
    return [tmp_path / f"{i}.png" for i in range(10)]


def test_decode_keeps_pixels_and_crops_the_centre():
    pixels = photo(40, 60)
    assert np.array_equal(decoding.decode(encode(pixels)), pixels)
    assert np.array_equal(decoding.decode(encode(pixels), 40), pixels[:, 10:50])


def test_squish_keeps_the_whole_image():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :20] = 255
    squished = decoding.decode(encode(pixels), 40, "squish")
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
        found = np.asarray(decoding._to_rgb(image))
    else:
        found = decoding.decode(encode(image, format), 16)
    assert found.shape[2] == 3 and found.dtype == np.uint8
    if mode != "1":
        assert abs(int(found.mean()) - 200) <= 2


def test_transparent_pixels_are_white():
    pixels = np.zeros((10, 10, 4), np.uint8)
    assert decoding.decode(encode(pixels), 8).min() == 255


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
    found = decoding.decode(encode(np.ascontiguousarray(turned), "PNG", exif=exif))
    assert np.array_equal(found, upright)


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same():
    pixels = photo(1200, 1600)
    encoded = encode(pixels, "JPEG", quality=95)
    fast = decoding.decode(encoded, 64).astype(float)
    exact = Image.fromarray(pixels).resize((64, 64), 1, box=(200, 0, 1400, 1200))
    assert np.abs(fast - np.asarray(exact, float)).mean() < 2


def test_decoded_once_whatever_the_subset_and_order(folder, monkeypatch):
    data = Images(folder)
    rows = decoding.decoded(data, 24)
    assert rows[3].shape == (24, 24, 3) and rows[3].dtype == np.uint8
    expected = np.stack([decoding.decode(file.read_bytes(), 24) for file in folder])
    assert np.array_equal(rows[np.arange(10)], expected)

    monkeypatch.setattr(decoding, "decode", lambda *args: pytest.fail("decoded twice"))
    again = decoding.decoded(data.take(np.array([7, 2, 2])), 24)
    assert np.array_equal(again[np.array([0, 1, 2])], expected[[7, 2, 2]])
    assert np.array_equal(rows.take(np.array([9]))[0], expected[9])


def test_only_what_is_new_is_decoded(folder, monkeypatch):
    decoding.decoded(Images(folder[:6]), 24)
    counted = []
    original = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda *a: (counted.append(1), original(*a))[1])
    rows = decoding.decoded(Images([*folder, folder[0]]), 24)
    assert len(counted) == 4
    assert np.array_equal(rows[10], rows[0])


def test_a_changed_file_is_decoded_again(folder):
    before = decoding.decoded(Images(folder), 24)[4]
    folder[4].write_bytes(encode(photo()))
    os.utime(folder[4], ns=(1, 1))
    assert not np.array_equal(decoding.decoded(Images(folder), 24)[4], before)


def test_settings_do_not_mix(folder):
    assert decoding.decoded(Images(folder), 24)[0].shape == (24, 24, 3)
    assert decoding.decoded(Images(folder), 16)[0].shape == (16, 16, 3)
    crop, squish = (decoding.decoded(Images(folder), 24, fit)[0] for fit in ("crop", "squish"))
    assert not np.array_equal(crop, squish)


def test_rows_travel_to_worker_processes(folder):
    import pickle

    rows = decoding.decoded(Images(folder), 24)
    rows[0]
    assert np.array_equal(pickle.loads(pickle.dumps(rows))[5], rows[5])


def test_a_crash_leaves_nothing_that_is_read(folder, monkeypatch):
    def crash(*args):
        raise KeyboardInterrupt

    calls = []
    with pytest.raises(KeyboardInterrupt):
        decoding.decoded(Images(folder), 24, progress=crash)
    assert cache.cache_info()["bytes"] == 0
    decoding.decoded(Images(folder), 24, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (10, 10)


def test_rows_without_their_keys_are_not_read(folder):
    decoding.decoded(Images(folder), 24)
    next(cache.cache_dir().rglob("*.keys")).unlink()
    assert np.array_equal(
        decoding.decoded(Images(folder), 24)[1], decoding.decode(folder[1].read_bytes(), 24)
    )


def test_two_runs_at_a_time_agree(folder):
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda _: decoding.decoded(Images(folder), 24)[np.arange(10)], range(8))
        )
    assert all(np.array_equal(found[0], other) for other in found)


def test_the_cache_is_bounded_and_forgets_the_least_recent(folder, monkeypatch):
    size = 24 * 24 * 3 * 10
    monkeypatch.setenv("SOFTFOLD_CACHE_GB", str(2.6 * size / 1e9))
    for k, files in enumerate((folder[:5], folder[5:])):
        decoding.decoded(Images(files), 24)
        for file in cache.cache_dir().rglob("*.npy"):
            if file.stat().st_mtime > 1e9:
                os.utime(file, (k + 1, k + 1))
    decoding.decoded(Images(folder[:5]), 24)  # used again
    decoding.decoded(Images(folder), 36)  # 2.25 times as large as ten at 24
    info = cache.cache_info()
    assert info["bytes"] < 2.7 * size
    assert {entry["settings"]["size"] for entry in info["entries"] if entry["rows"]} == {36}


def test_see_and_clear(folder):
    decoding.decoded(Images(folder), 24)
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
        decoding.decoded(Images([*folder, folder[0].with_name("absent.png")]), 24)


RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


@pytest.mark.parametrize(
    ("levels", "format"),
    [
        ((RAMP * 255).astype(np.uint8), "PNG"),
        ((RAMP * 65535).astype(np.uint16), "PNG"),
        ((RAMP * 65535).astype(np.uint16), "TIFF"),
        (RAMP.astype(np.float32), "TIFF"),
        ((RAMP * 255).astype(np.float32), "TIFF"),
        ((RAMP * 65535).astype(np.float32), "TIFF"),
        ((RAMP * 255).astype(np.int32), "TIFF"),
        ((RAMP * 65535).astype(np.int32), "TIFF"),
        ((RAMP * 4 - 2).astype(np.float32), "TIFF"),
        ((RAMP * 1e6).astype(np.int32), "TIFF"),
    ],
)
def test_a_ramp_of_grey_is_the_same_ramp_to_the_network_and_in_the_page(levels, format):
    import io

    from softfold.runs.looks import thumbnail

    encoded = encode(Image.fromarray(levels), format)
    trained = decoding.decode(encoded)
    assert np.abs(trained[..., 0].astype(int) - RAMP * 255).max() <= 2
    shown = np.asarray(Image.open(io.BytesIO(thumbnail(encoded, 64))).convert("RGB"))
    assert np.abs(shown.astype(int) - trained).mean() < 3


def test_what_is_no_number_is_black_and_all_one_level_is_read():
    values = np.full((8, 8), 0.5, np.float32)
    values[0] = np.nan
    found = decoding.decode(encode(Image.fromarray(values), "TIFF"))
    assert (found[0] == 0).all() and (found[1:] == 128).all()
    dark = np.full((8, 8), 200, np.uint16)
    assert decoding.decode(encode(Image.fromarray(dark), "PNG")).max() == 0


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels_is_refused_before_it_fills_the_memory():
    encoded = encode(Image.new("1", (12_000, 12_000)))
    assert len(encoded) < 100_000
    for size in (None, 64):
        with pytest.raises(OSError, match="12,000 x 12,000 pixels"):
            decoding.decode(encoded, size)
