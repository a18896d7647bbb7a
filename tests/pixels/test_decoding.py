"""Decoding and the cache: what odd files turn into, and what is never done twice."""

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from softfold.cache import folder as cache
from softfold.cache import rows as rows_module
from softfold.errors import InputError
from softfold.pixels import decoding
from softfold.pixels.images import Images

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
    store = rows_module.RowStore("test", {})
    keys = np.array([rows_module.content_key(bytes([i, 0])) for i in range(64)], rows_module.KEY)
    with store.writer(64, (1 << 20,), np.uint8) as writer:
        for i in range(64):
            writer.write(keys[i : i + 1], np.full((1, 1 << 20), i, np.uint8))
    rows, missing = store.find(keys)
    assert not missing.any()
    assert [int(rows[i][5]) for i in (0, 63, 7)] == [0, 63, 7]
    rows._touched = rows_module._REOPEN_BYTES + 1
    rows[1]
    assert rows._touched == 1 << 20


def test_threads_share_a_batch_and_begin_few_ahead(monkeypatch):
    images = Images(encoded=[encode(photo(4 + i % 5, 6)) for i in range(200)])
    expected = np.stack([decoding.decode(images[i], 8) for i in range(200)])
    tasks, into = [], decoding._decode_into
    monkeypatch.setattr(decoding, "_decode_into", lambda *a: (tasks.append(len(a[0])), into(*a)))
    batches = decoding.decode_batches(images, 8, batch_size=100, threads=2)
    first = next(batches)
    assert len(tasks) <= 6  # four of the batch, and one a thread
    found = [first, *batches]
    assert [len(batch) for batch in found] == [100, 100] and max(tasks) == 32
    assert np.array_equal(np.concatenate(found), expected)


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


PEAK = """
import resource, sys
from pathlib import Path
from softfold.pixels.decoding import decode
encoded = Path(sys.argv[1]).read_bytes()
decode(Path(sys.argv[2]).read_bytes(), 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(encoded, int(sys.argv[3]) or None)
except OSError as error:
    print(error, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def peak(folder, encoded, size):
    """Megabytes that decoding adds to a process that has decoded before, and what it said."""
    (folder / "large").write_bytes(encoded)
    (folder / "small").write_bytes(encode(photo(80, 80), "JPEG"))
    arguments = [str(folder / "large"), str(folder / "small"), str(size or 0)]
    command = [sys.executable, "-W", "ignore", "-c", PEAK, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
@pytest.mark.parametrize(
    ("mode", "side", "format", "size", "most", "said"),
    [
        ("P", 12_000, "PNG", None, 20, "12,000 x 12,000 pixels, more than 67,108,864 are not read"),
        ("P", 12_000, "PNG", 224, 20, "12,000 x 12,000 pixels, more than 67,108,864 are not read"),
        ("L", 14_000, "JPEG", None, 250, ""),  # of more pixels than Pillow itself would open
        ("P", 8_000, "PNG", None, 800, ""),
    ],
)
def test_the_memory_of_one_large_image_is_bounded(tmp_path, mode, side, format, size, most, said):
    options = {"transparency": 0} if mode == "P" else {}
    encoded = encode(Image.new(mode, (side, side)), format, **options)
    used, line = peak(tmp_path, encoded, size)
    assert used < most and line.strip() == said


def test_a_progressive_jpeg_that_takes_too_much_to_read_is_refused(monkeypatch):
    encoded = encode(photo(400, 400), "JPEG", progressive=True, subsampling=0)
    assert decoding.decode(encoded, 32).shape == (32, 32, 3)
    monkeypatch.setattr(decoding, "MAX_COEFFICIENT_BYTES", 6 * 400 * 400 - 1)
    with pytest.raises(OSError, match=r"progressive JPEG of 400 x 400 pixels .*: save it as"):
        decoding.decode(encoded, 32)
    assert decoding.decode(encode(photo(400, 400), "JPEG"), 32).shape == (32, 32, 3)


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(decoding, "_LARGE_PIXELS", 100)
    at_a_time, most = [], []
    to_rgb = decoding._to_rgb

    def noted(*arguments):
        at_a_time.append(1)
        most.append(len(at_a_time))
        made = to_rgb(*arguments)
        at_a_time.pop()
        return made

    monkeypatch.setattr(decoding, "_to_rgb", noted)
    encoded = [encode(photo()) for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(decoding.decode, encoded))) == 16
    assert max(most) == 1


def moving(format):
    frames = [Image.fromarray(photo(80, 120)) for _ in range(3)]
    return encode(frames[0], format, save_all=True, append_images=frames[1:])


KINDS = {
    "JPEG": lambda image: encode(image, "JPEG"),
    "progressive JPEG": lambda image: encode(image, "JPEG", progressive=True),
    "CMYK JPEG": lambda image: encode(image.convert("CMYK"), "JPEG"),
    "PNG": lambda image: encode(image),
    "PNG of a palette with transparency": lambda image: encode(image.quantize(), transparency=3),
    "PNG of one bit": lambda image: encode(image.convert("1")),
    "GIF": lambda image: encode(image, "GIF"),
    "animated GIF": lambda image: moving("GIF"),
    "animated WebP": lambda image: moving("WEBP"),
    "BMP": lambda image: encode(image, "BMP"),
    "TIFF": lambda image: encode(image, "TIFF"),
    "TIFF of LZW": lambda image: encode(image, "TIFF", compression="tiff_lzw"),
    "WebP": lambda image: encode(image, "WEBP"),
    "PPM": lambda image: encode(image, "PPM"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_cut_off_anywhere_is_refused_in_one_line_or_whole(kind):
    """Never a half of an image: the rest of the file may hold other frames, or nothing."""
    encoded = KINDS[kind](Image.fromarray(photo(160, 240)))
    whole = {size: decoding.decode(encoded, size) for size in (None, 32)}
    assert all(pixels.std() > 5 for pixels in whole.values())
    rng, refused = np.random.default_rng(0), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for at in [0, 1, 5, *rng.integers(0, len(encoded), 60)]:
            for size, pixels in whole.items():
                try:
                    assert np.array_equal(decoding.decode(encoded[:at], size), pixels)
                except OSError as error:
                    line = decoding.why(error)
                    assert line and "\n" not in line and " at 0x" not in line
                    refused += 1
    assert refused > 20


def test_a_palette_with_a_transparent_colour_is_on_white():
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8), "P")
    image.putpalette([10, 10, 10, 50, 50, 50, 90, 90, 90, 130, 130, 130])
    assert decoding.decode(encode(image, transparency=1))[..., 0].tolist() == [[10, 255], [90, 130]]
    several = decoding.decode(encode(image, transparency=b"\xff\x00\x00\xff"))
    assert several[..., 0].tolist() == [[10, 255], [255, 130]]
    colour = Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8))
    found = decoding.decode(encode(colour, transparency=(1, 2, 3)))
    assert found.tolist() == [[[9, 8, 7], [255, 255, 255]]]


def test_a_large_image_on_white_has_no_seams(monkeypatch):
    pixels = np.dstack([photo(50, 70), RAMP[:50, :1].repeat(70, 1) * 255]).astype(np.uint8)
    expected = decoding.decode(encode(pixels))
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", 70 * 7)
    assert np.array_equal(decoding.decode(encode(pixels)), expected)
    alpha = pixels[..., 3:] / 255
    assert np.abs(expected - (pixels[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1


def test_a_cmyk_jpeg_looks_as_it_did():
    pixels = photo(64, 64)
    found = decoding.decode(encode(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(found.astype(int) - pixels).mean() < 6


def test_of_several_frames_the_first_is_read():
    first = photo(80, 120)
    frames = [Image.fromarray(photo(80, 120)) for _ in range(2)]
    for format, exact in (("WEBP", True), ("TIFF", True), ("GIF", False)):
        options = {"lossless": True} if format == "WEBP" else {}
        image = Image.fromarray(first)
        encoded = encode(image, format, save_all=True, append_images=frames, **options)
        difference = np.abs(decoding.decode(encoded).astype(int) - first)
        assert difference.max() == 0 if exact else difference.mean() < 12


def test_the_name_of_a_file_does_not_count(tmp_path):
    (tmp_path / "photo.png").write_bytes(encode(photo(), "JPEG"))
    assert decoding.decode((tmp_path / "photo.png").read_bytes()).shape == (40, 60, 3)


def test_a_broken_exif_tag_costs_no_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a" * 50
    upright = photo(32, 48)
    encoded = encode(np.ascontiguousarray(np.rot90(upright, 1)), "PNG", exif=exif)
    assert np.array_equal(decoding.decode(encoded), upright)
    jpeg = encode(upright, "JPEG", exif=exif)
    at = jpeg.index(b"Exif") + 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(0, 20, 2):
            broken = jpeg[: at + n] + b"\xff\xfe" + jpeg[at + n + 2 :]
            assert decoding.decode(broken).size == 32 * 48 * 3


def test_a_file_that_breaks_later_is_named(folder):
    decoding.decoded(Images(folder[:8]), 24)
    folder[9].write_bytes(b"")
    with pytest.raises(InputError, match=r"9\.png does not decode: the file is empty"):
        decoding.decoded(Images(folder), 24)
