"""Mutated image files: decoded to the right shape, or refused in one line."""

from __future__ import annotations

import io
import random
import warnings

import numpy as np
import pytest
from fuzz.watching import ASKED, Shift, n_cases, watched

from softfold.pixels.decoding import MAX_PIXELS, decode, decode_batches
from softfold.pixels.images import Images
from softfold.runs.looks import thumbnail

Image = pytest.importorskip("PIL.Image")

HEADER = 64
"""Bytes at the start of a file, where sizes and kinds stand; most changes are made there."""


def written(mode, kind, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 4), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").convert(mode).save(out, kind, **options)
    return out.getvalue()


def exif():
    out = Image.Exif()
    out[0x0112], out[0x010F] = 6, "someone"
    return out.tobytes()


def files():
    """Small files of every kind, each in several ways to write it."""
    frames = [Image.new("P", (9, 7), c) for c in (1, 2)]
    many = {"save_all": True, "append_images": frames}
    ways = [
        *(("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
        ("PNG", "P", {"transparency": 3}),
        ("PNG", "RGB", {"exif": exif()}),
        ("PNG", "RGB", many),
        *(("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
        ("JPEG", "RGB", {"exif": exif(), "progressive": True}),
        *(("GIF", mode, {}) for mode in ("P", "L", "RGB")),
        ("GIF", "P", {**many, "transparency": 1, "disposal": 2}),
        *(("BMP", mode, {}) for mode in ("RGB", "P", "1", "RGBA")),
        *(("TIFF", mode, {}) for mode in ("RGB", "L", "F", "I;16", "I", "CMYK", "1", "RGBA")),
        *(("TIFF", "RGB", {"compression": c}) for c in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")),
        ("TIFF", "RGB", {"exif": exif()}),
        *(("WEBP", mode, {"lossless": True}) for mode in ("RGB", "RGBA")),
        ("ICO", "RGBA", {}),
        ("PPM", "RGB", {}),
    ]
    return [written(mode, kind, **options) for kind, mode, options in ways]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The bytes of a file with one to four changes."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        n = len(out)
        place = rng.randrange(min(n, HEADER) if rng.random() < 0.6 else n) if n else 0
        how = rng.randrange(7)
        if how == 0:
            del out[place:]
        elif how == 1:
            out[place:place] = rng.randbytes(rng.randint(1, 9))
        elif how == 2:
            del out[place : place + rng.randint(1, 9)]
        elif how == 3:  # sizes and counts
            value = rng.choice(
                [0, 1, 255, 2**15, 2**16 - 1, 2**26, 2**31 - 1, 2**32 - 1, 20_000, 8000]
            )
            size = rng.choice([2, 4])
            value %= 1 << (8 * size)
            out[place : place + size] = value.to_bytes(size, rng.choice(["little", "big"]))
        elif how == 4:
            out += bytes(rng.randint(1, 99))
        elif n:
            out[place] ^= 1 << rng.randrange(8)
    return bytes(out)


def look(encoded: bytes, size: int) -> None:
    small = next(decode_batches(Images(encoded=[encoded]), size, batch_size=1, threads=1))
    if small.shape != (1, size, size, 3) or small.dtype != np.uint8:
        raise Shift(f"a square of {size} has shape {small.shape}, {small.dtype}")
    whole = decode(encoded)
    if whole.ndim != 3 or whole.shape[2] != 3 or whole.dtype != np.uint8:
        raise Shift(f"an image has shape {whole.shape}, {whole.dtype}")
    if not 0 < whole.shape[0] * whole.shape[1] <= MAX_PIXELS:
        raise Shift(f"an image has shape {whole.shape}")
    if thumbnail(encoded, 32) is None:
        raise Shift("what decodes has no thumbnail")


def test_mutated_images_have_the_right_shape_or_are_refused():
    originals = files()
    start = random.randrange(1 << 40) if ASKED else 0
    for i in range(n_cases("images")):
        rng = random.Random(start + i)
        encoded = mutated(originals[rng.randrange(len(originals))], rng)
        watched("images", lambda e=encoded: look(e, 24), OSError, told=f"seed {start + i}")


def test_images_of_all_kinds_decode_as_they_are():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for encoded in files():
            assert decode(encoded).shape in {(13, 17, 3), (17, 13, 3)}, encoded[:16]
