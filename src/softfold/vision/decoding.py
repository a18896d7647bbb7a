"""Encoded images to uint8 arrays, in parallel and once for all later runs.

What an image item looks like, to a network and to a person alike: oriented by its EXIF tag, RGB,
transparent pixels on white, more than 8 bits shrunk to 8. For a network the shorter side is
resized so that a centre crop gives a square. Decoded squares are kept in the cache
(see `softfold.machine.cache`).
"""

from __future__ import annotations

import io
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np

from softfold.errors import InputError, require
from softfold.machine.cache import KEY, Rows, RowStore, content_key

if TYPE_CHECKING:
    from PIL.Image import Image

    from softfold.data.table import Images


Fit = Literal["crop", "squish"]


Advance = Callable[[int, int], None]


MAX_PIXELS = 1 << 26
"""Larger images are not decoded: an image file of a few kilobytes can hold gigapixels. A JPEG is
read at a fraction of its size where it is larger."""

_ORIENTATION = 0x0112


def decode(encoded: bytes, size: int | None = None, fit: Fit = "crop") -> np.ndarray:
    """One encoded image as RGB: uint8 (size, size, 3), or (height, width, 3) without a size.

    Args:
        encoded: the bytes of an image file that Pillow reads.
        size: side of the square, in pixels. Smaller images are enlarged.
        fit: `crop` resizes the shorter side to `size` and takes the centre; `squish` resizes both
            sides to `size`, so that nothing is lost and random crops can be taken from it.

    Raises:
        OSError: bytes that are not an image, or end too early.
    """
    image = open_image(encoded, size)
    if size is None:
        return np.asarray(image)
    from PIL.Image import Resampling

    width, height = image.size
    side = min(width, height)
    box = (0.0, 0.0, float(width), float(height))
    if fit == "crop":
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    if (width, height) != (size, size):
        image = image.resize((size, size), Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(image)


def open_image(encoded: bytes, size: int | None = None) -> Image:
    """Decoded, oriented, RGB; JPEGs at a fraction of their size where that is still >= 2 * size.

    Grey levels of more than 8 bits: integers of 16 bits are divided by 257. Floats and integers
    of 32 bits do not say what white is, so the image's largest value does: up to 1 for floats in
    0 to 1, up to 255 and up to 65535 for levels of 8 and of 16 bits; with values outside of all
    these, from the least value to the largest. What is not a number is black.

    Raises:
        OSError: bytes that are not an image, end too early, or hold more than `MAX_PIXELS`.
    """
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(encoded))
        if size is not None:
            image.draft("RGB", (2 * size, 2 * size))
        elif image.width * image.height > MAX_PIXELS:
            image.draft("RGB", (image.width // 4, image.height // 4))
        if image.width * image.height > MAX_PIXELS:
            raise OSError(
                f"{image.width:,} x {image.height:,} pixels, more than {MAX_PIXELS:,} are not read"
            )
        # a PNG of 16 bits is "I" or "I;16", as the version of Pillow has it
        short = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
        if image.getexif().get(_ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image, short)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # broken files raise SyntaxError, struct.error, ValueError, ...
        raise OSError(f"{type(error).__name__}: {error}") from None


def _to_rgb(image: Image, short: bool = False) -> Image:
    """Any mode to RGB: 8 bits a channel, transparent pixels on white; `short` has 16 bits."""
    from PIL import Image

    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_levels(np.asarray(image), short)).convert("RGB")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _levels(values: np.ndarray, short: bool) -> np.ndarray:
    """Grey levels uint8 (height, width) out of 16 bits (`short`), 32 bits or floats."""
    if short:
        return (values.clip(0, 65535).astype(np.uint32) // 257).astype(np.uint8)
    floats = values.dtype.kind == "f"
    levels = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    least, most = float(levels.min()), float(levels.max())
    if least < 0 or most > 65535:
        levels -= np.float32(least)
        scale = 255 / max(most - least, 1e-30)
    elif floats and most <= 1:
        scale = 255.0
    else:
        scale = 1.0 if most <= 255 else 1 / 257
    levels *= np.float32(scale)
    return np.round(levels, out=levels).clip(0, 255).astype(np.uint8)


def decode_batches(
    images: Sequence[bytes], size: int, fit: Fit = "crop", *, batch_size: int, threads: int
) -> Iterator[np.ndarray]:
    """Batches uint8 (n, size, size, 3) in order, decoded by threads a few batches ahead.

    Memory does not grow with the number of images: at most `threads` + 1 batches wait.

    Raises:
        InputError: an image that does not decode (see `check_images` for all of them).
    """
    require("PIL", extra="fastai")
    starts = range(0, len(images), batch_size)

    def batch(start: int) -> np.ndarray:
        stop = min(start + batch_size, len(images))
        out = np.empty((stop - start, size, size, 3), np.uint8)
        for i in range(start, stop):
            try:
                out[i - start] = decode(images[i], size, fit)
            except OSError as error:
                raise InputError(f"image {i} does not decode: {error}") from None
        return out

    yield from in_threads(batch, starts, threads)


def in_threads(function: Callable[[int], np.ndarray], arguments: range, threads: int) -> Iterator:
    """Results in order, computed by threads, with at most `threads` + 1 waiting."""
    waiting: queue.Queue = queue.Queue()
    with ThreadPoolExecutor(threads, "softfold-decode") as pool:
        try:
            for argument in arguments:
                waiting.put(pool.submit(function, argument))
                if waiting.qsize() > threads:
                    yield waiting.get().result()
            while not waiting.empty():
                yield waiting.get().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def image_keys(images: Images) -> np.ndarray:
    """What each image is known by in the cache: (N,) of 16 bytes.

    Files are known by path, size and time of change, as `make` does it: reading a million photos
    to hash them would cost as much as decoding many of them. Bytes out of a column are hashed.
    """
    keys = np.empty(len(images), KEY)
    for i in range(len(images)):
        path = images.path(i)
        if path is None:
            keys[i] = content_key(images[i])
        else:
            try:
                found = os.stat(path)
            except OSError:
                raise InputError(f"{path}: no such image") from None
            name = os.path.abspath(path)
            keys[i] = content_key(f"{name}:{found.st_size}:{found.st_mtime_ns}".encode())
    return keys


def decoded(
    images: Images,
    size: int,
    fit: Fit = "crop",
    *,
    progress: Advance | None = None,
    threads: int | None = None,
) -> Rows:
    """All images decoded and shrunk, once for this and later runs: uint8 (N, size, size, 3).

    Indexing by an integer or an array gives copies out of memory-mapped files in the cache; what
    is not there yet is decoded first. Memory stays flat as N grows.

    Raises:
        InputError: a file that is missing or does not decode.
    """
    keys = image_keys(images)
    store = RowStore("images", {"size": size, "fit": fit, "version": 2})
    rows, missing = store.find(keys)
    if rows is None or missing.any():
        _, first = np.unique(keys[missing], return_index=True)
        todo = np.flatnonzero(missing)[np.sort(first)]
        _write(store, images.take(todo), keys[todo], size, fit, progress, threads)
        rows, missing = store.find(keys)
        if rows is None or missing.any():
            raise InputError("the image cache is too small for this data: raise SOFTFOLD_CACHE_GB")
    return rows


def _write(
    store: RowStore,
    images: Images,
    keys: np.ndarray,
    size: int,
    fit: Fit,
    progress: Advance | None,
    threads: int | None,
) -> None:
    batches = decode_batches(
        images, size, fit, batch_size=64, threads=threads or (os.cpu_count() or 1)
    )
    with store.writer(len(keys), (size, size, 3), np.uint8) as writer:
        for batch in batches:
            writer.write(keys[writer.n : writer.n + len(batch)], batch)
            if progress is not None:
                progress(writer.n, len(keys))
