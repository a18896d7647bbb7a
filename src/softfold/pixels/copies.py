"""Exact copies among images, by their pixels, and files that are broken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from softfold.cache.rows import KEY, RowStore, content_key
from softfold.errors import require
from softfold.files import NO_FILE
from softfold.pixels.decoding import Advance, decode, image_keys, in_threads, why

if TYPE_CHECKING:
    from softfold.pixels.images import Images

_SCAN = {"version": 2}


def scan(images: Images, *, progress: Advance | None = None) -> np.ndarray:
    """Digest of the decoded pixels of each image: (N,) of 16 bytes, all zero where none decodes.

    Equal digests are exact copies, whatever the files' formats. Kept in the cache, and with the
    images; but what did not decode is tried again by the next run, since rights and disks change.
    """
    if images.digests is None:
        images.digests = _scan(images, progress)
    return images.digests


def _scan(images: Images, progress: Advance | None) -> np.ndarray:
    require("PIL", extra="torch")
    keys = image_keys(images, absent=True)
    store = RowStore("scans", _SCAN)
    rows, missing = store.find(keys)
    out = np.zeros(len(images), KEY)
    if rows is not None:
        known = np.flatnonzero(~missing)
        out[known] = np.ascontiguousarray(rows[known]).view(KEY).reshape(-1)
    todo = np.flatnonzero((out == b"") & (keys != b""))
    if not len(todo):
        return out

    def block(start: int) -> np.ndarray:
        return np.array([_digest(images, i) for i in todo[start : start + 64]], KEY)

    done = 0
    with store.writer(len(todo), (KEY.itemsize,), np.uint8, exactly=False) as writer:
        for digests in in_threads(block, range(0, len(todo), 64), os.cpu_count() or 1):
            at = todo[done : done + len(digests)]
            out[at] = digests
            found = digests != b""
            writer.write(keys[at][found], digests[found].view(np.uint8).reshape(-1, KEY.itemsize))
            done += len(digests)
            if progress is not None:
                progress(done, len(todo))
    return out


def _digest(images: Images, i: int) -> bytes:
    try:
        return _pixel_key(images[i])
    except (OSError, ValueError):
        return b""


def _pixel_key(encoded: bytes) -> bytes:
    pixels = np.ascontiguousarray(decode(encoded))
    return content_key(repr(pixels.shape).encode(), pixels.reshape(-1).data)


def broken_images(images: Images, *, progress: Advance | None = None) -> dict[int, str]:
    """The rows of images that cannot be read or do not decode, with the reason, in one line.

    Every image is decoded whole, once for this and later runs: a file that is cut off has a sound
    header. Decoding finds exact copies too, which every run asks for, so that a sound image costs
    nothing more; a broken one is read a second time, for the reason.
    """
    digests, out = scan(images, progress=progress), {}
    for i in np.flatnonzero(digests == b"").tolist():
        try:
            digests[i] = _pixel_key(images[i])
        except FileNotFoundError:
            out[i] = NO_FILE
        except (OSError, ValueError) as error:
            out[i] = why(error) if isinstance(error, OSError) else str(error)
    return out


def exact_copies(images: Images, *, progress: Advance | None = None) -> np.ndarray:
    """Group of each image, int64 (N,): the row of the first image with the same pixels.

    Images that do not decode are groups of their own.
    """
    return _groups(scan(images, progress=progress))


def _groups(digests: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    groups = first[inverse].astype(np.int64)
    broken = digests == b""
    groups[broken] = np.flatnonzero(broken)
    return groups
