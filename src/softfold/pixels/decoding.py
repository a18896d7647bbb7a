"""Encoded images to uint8 arrays, in parallel and once for all later runs.

What an image item looks like, to a network and to a person alike: oriented by its EXIF tag, RGB,
transparent pixels on white, more than 8 bits shrunk to 8. For a network the shorter side is
resized so that a centre crop gives a square. Decoded squares are kept in the cache
(see `softfold.cache.rows`).
"""

from __future__ import annotations

import io
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from softfold.cache.rows import KEY, Rows, RowStore, content_key
from softfold.errors import InputError, require
from softfold.pixels.views import WHOLE, View

if TYPE_CHECKING:
    from PIL.Image import Image

    from softfold.pixels.images import Images


Fit = Literal["crop", "squish"]


Advance = Callable[[int, int], None]

T = TypeVar("T")
Made = TypeVar("Made")


MAX_PIXELS = 1 << 26
"""Larger images are not decoded: an image file of a few kilobytes can hold gigapixels. A JPEG is
read at a fraction of its size where it is larger."""

MAX_COEFFICIENT_BYTES = 1 << 30
"""A progressive JPEG is held whole while it is read, at whatever fraction; larger ones are not."""

_LARGE_PIXELS = 1 << 24
_ONE_LARGE_IMAGE = threading.Lock()
"""Threads decode larger images than these one at a time, so that memory does not grow with them."""

_TASK = 32
"""Images that a thread decodes before it takes the next ones."""

_STRIP_PIXELS = 1 << 21
_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""What undoes each EXIF orientation, as numbers of `PIL.Image.Transpose`."""


def decode(
    encoded: bytes, size: int | None = None, fit: Fit = "crop", view: View = WHOLE
) -> np.ndarray:
    """One encoded image as RGB: uint8 (size, size, 3), or (height, width, 3) without a size.

    Args:
        encoded: the bytes of an image file that Pillow reads.
        size: side of the square, in pixels. Smaller images are enlarged.
        fit: `crop` resizes the shorter side to `size` and takes the centre; `squish` resizes both
            sides to `size`, so that nothing is lost and random crops can be taken from it.
        view: which part of the image becomes the square, and whether it is mirrored.

    Raises:
        OSError: bytes that are not an image, or end too early.
    """
    image = open_image(encoded, size)
    if size is None:
        return np.asarray(image)
    from PIL.Image import Resampling

    if image.size != (size, size) or view.side < 1:
        box = view.box(*image.size, square=fit == "crop")
        image = image.resize((size, size), Resampling.BICUBIC, box=box, reducing_gap=3.0)
    pixels = np.asarray(image)
    return pixels[:, ::-1] if view.flip else pixels


def open_image(encoded: bytes, size: int | None = None) -> Image:
    """Decoded, oriented, RGB; JPEGs at a fraction of their size where that is still >= 2 * size.

    Of several frames or pages the first. Grey levels of more than 8 bits: integers of 16 bits are
    divided by 257. Floats and integers of 32 bits do not say what white is, so the image's largest
    value does: up to 1 for floats in 0 to 1, up to 255 and up to 65535 for levels of 8 and of 16
    bits; with values outside of all these, from the least value to the largest. What is not a
    number is black.

    Raises:
        OSError: bytes that are not an image, end too early, or hold more than `MAX_PIXELS`.
    """
    try:
        image = _opened(encoded)
        held = _shrink(image, size)
        with _ONE_LARGE_IMAGE if held > _LARGE_PIXELS else nullcontext():
            # a PNG of 16 bits is "I" or "I;16", as the version of Pillow has it
            short = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
            image.load()
            turn: Any = _TURNS.get(_orientation(image))
            return _to_rgb(image if turn is None else image.transpose(turn), short)
    except (OSError, MemoryError):
        raise
    except SyntaxError:  # Pillow's word for a header that it cannot read
        raise OSError("the header of the image is broken") from None
    except Exception as error:  # broken files raise struct.error, ValueError, ...
        raise OSError(f"the file is broken ({type(error).__name__}: {error})") from None


def _opened(encoded: bytes) -> Image:
    """The image with its header read. Pillow's own limit does not know that JPEGs shrink."""
    from PIL import Image, JpegImagePlugin

    if not encoded:
        raise OSError("the file is empty")
    if encoded.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.JpegImageFile(io.BytesIO(encoded))
    if encoded.startswith(b"\x89PNG\r\n\x1a\n"):  # before Pillow warns of what is refused here
        _refuse_more_pixels(*(int.from_bytes(encoded[i : i + 4], "big") for i in (16, 20)))
    try:
        return Image.open(io.BytesIO(encoded))
    except Image.UnidentifiedImageError:
        raise OSError("no image of a known format") from None
    except Image.DecompressionBombError:
        raise OSError(f"more than {MAX_PIXELS:,} pixels are not read") from None


def _shrink(image: Image, size: int | None) -> int:
    """Read a JPEG at a fraction where that is enough; refuse what would fill the memory.

    Returns:
        How many pixels are held while the image is read.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    width, height = image.size
    whole = 0
    if isinstance(image, JpegImageFile):
        wide, high = (width, height) if size is None else (2 * size, 2 * size)
        if width * height > MAX_PIXELS:
            part = 4 if width * height <= 16 * MAX_PIXELS else 8
            wide, high = min(wide, width // part), min(high, height // part)
        if image.info.get("progressive"):
            whole = width * height
            areas = [h * v for _, h, v, _ in image.layer]
            held = 2 * whole * sum(areas) // max(areas)
            if held > MAX_COEFFICIENT_BYTES:
                raise OSError(
                    f"a progressive JPEG of {width:,} x {height:,} pixels takes "
                    f"{held / 1e9:.1f} GB to read: save it as a baseline JPEG"
                )
        image.draft("RGB", (max(1, wide), max(1, high)))
    _refuse_more_pixels(*image.size)
    return max(whole, image.width * image.height)


def _refuse_more_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise OSError(f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,} are not read")


def _orientation(image: Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken tag says nothing of the pixels
        return 1


def _to_rgb(image: Image, short: bool = False) -> Image:
    """Any mode to RGB: 8 bits a channel, transparent pixels on white; `short` has 16 bits."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_levels(np.asarray(image), short)).convert("RGB")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def _on_white(image: Image) -> Image:
    """Strip by strip: the layers of a large image would take four times its memory."""
    from PIL import Image

    out = Image.new("RGB", image.size)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        layer = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        out.paste(Image.alpha_composite(white, layer).convert("RGB"), box)
    return out


def _levels(values: np.ndarray, short: bool) -> np.ndarray:
    """Grey levels uint8 (height, width) out of 16 bits (`short`), 32 bits or floats."""
    if short:
        return (values.clip(0, 65535).astype(np.uint32) // 257).astype(np.uint8)
    floats = values.dtype.kind == "f"
    levels = values.astype(np.float32)
    np.nan_to_num(levels, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    least, most = float(levels.min()), float(levels.max())
    if least < 0 or most > 65535:
        levels -= np.float32(least)
        scale = 255 / max(most - least, 1e-30)
    elif floats and most <= 1:
        scale = 255.0
    else:
        scale = 1.0 if most <= 255 else 1 / 257
    levels *= np.float32(scale)
    np.round(levels, out=levels)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def decode_batches(
    images: Images, size: int, fit: Fit = "crop", *, batch_size: int, threads: int
) -> Iterator[np.ndarray]:
    """Batches uint8 (n, size, size, 3) in order, decoded by threads ahead of who takes them.

    Threads share a batch. Memory does not grow with the number of images: no more batches are begun
    than `threads` + 1 tasks of `_TASK` images lie in.

    Raises:
        InputError: an image that does not decode (see `check_images` for all of them).
    """
    n = len(images)

    def tasks() -> Iterator[tuple[np.ndarray, int, int]]:
        for start in range(0, n, batch_size):
            batch = np.empty((min(batch_size, n - start), size, size, 3), np.uint8)
            for place in range(0, len(batch), _TASK):
                yield batch, start, place

    def fill(task: tuple[np.ndarray, int, int]) -> np.ndarray | None:
        batch, start, place = task
        part = batch[place : place + _TASK]
        _decode_into(part, images, range(start + place, start + place + len(part)), fit)
        return batch if place + len(part) == len(batch) else None

    for batch in in_threads(fill, tasks(), threads):  # in order, so a batch's last task is its end
        if batch is not None:
            yield batch


def decode_batch(images: Images, rows: range, size: int, fit: Fit = "crop") -> np.ndarray:
    """These of the images: uint8 (n, size, size, 3).

    Raises:
        InputError: an image that does not decode.
    """
    out = np.empty((len(rows), size, size, 3), np.uint8)
    _decode_into(out, images, rows, fit)
    return out


def _decode_into(out: np.ndarray, images: Images, rows: range, fit: Fit) -> None:
    require("PIL", extra="torch")
    for place, i in enumerate(rows):
        try:
            out[place] = decode(images[i], out.shape[1], fit, images.view)
        except OSError as error:
            name = images.path(i) or f"image {i}"
            raise InputError(f"{name} does not decode: {why(error)}") from None


def why(error: OSError) -> str:
    """Why a file could not be read or decoded, in one line without its name."""
    return " ".join(str(error.strerror or error).split()) or type(error).__name__


def in_threads(
    function: Callable[[T], Made],
    arguments: Iterable[T],
    threads: int,
    begin: Callable[[], None] | None = None,
) -> Iterator[Made]:
    """Results in order, computed by threads, with at most `threads` + 1 waiting.

    begin: called once in each thread, first.
    """
    waiting: queue.Queue = queue.Queue()
    with ThreadPoolExecutor(threads, "softfold-decode", begin) as pool:
        try:
            for argument in arguments:
                waiting.put(pool.submit(function, argument))
                if waiting.qsize() > threads:
                    yield waiting.get().result()
            while not waiting.empty():
                yield waiting.get().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def image_keys(images: Images, *, absent: bool = False) -> np.ndarray:
    """What each image is known by in the cache: (N,) of 16 bytes.

    Files are known by path, size and time of change, as `make` does it: reading a million photos
    to hash them would cost as much as decoding many of them. Bytes out of a column are hashed.
    Each view of an image has a key of its own.
    With `absent` a file that is not there has an empty key.

    Raises:
        InputError: a file that is not there, without `absent`.
    """
    keys = np.zeros(len(images), KEY)
    seen = [images.view.mark] if images.view.mark else []
    if images.paths is None:
        for i in range(len(images)):
            keys[i] = content_key(images[i], *seen)
        return keys
    for i, path in enumerate(images.paths):
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            if absent:
                continue
            raise InputError(f"{path}: no such image") from None
        name = os.path.abspath(path)
        keys[i] = content_key(f"{name}:{found.st_size}:{found.st_mtime_ns}".encode(), *seen)
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
    store = RowStore("images", {"size": size, "fit": fit, "version": 3})
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
