"""Arrays that are too large for memory: they are maps of files that go with the process."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from softfold.errors import InputError

LARGE = 1 << 29
"""Bytes; a larger array is on the disk, and read and written in parts."""

_STEP = 1 << 20
"""Bytes that are copied at a time."""


def scratch(shape: tuple[int, ...], dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """An array of zeros: in memory, or where it is `LARGE` a map of a file that goes with it."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= LARGE:
        return np.zeros(shape, dtype)
    with scratch_file(size) as file:
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def scratch_file(size: int) -> IO[bytes]:
    """A file of so many bytes, all 0, without a name: it goes with the last process that has it.

    It is in SOFTFOLD_SCRATCH, else in /var/tmp (/tmp may be memory), else where temporary files go.

    Raises:
        InputError: no room for it.
    """
    usual = "/var/tmp" if Path("/var/tmp").is_dir() else tempfile.gettempdir()
    folder = os.environ.get("SOFTFOLD_SCRATCH") or usual
    try:
        with ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            if hasattr(os, "posix_fallocate"):  # a map of a full disk ends the process
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
            stack.pop_all()
            return file
    except OSError as error:
        raise InputError(
            f"{folder}: no room for {size / 1e9:.1f} GB of scratch "
            f"({error.strerror or error}); give another folder in SOFTFOLD_SCRATCH"
        ) from None


def taken(array: Any, rows: np.ndarray | slice) -> np.ndarray:
    """`array[rows]`, read in parts, and on the disk where it is `LARGE`."""
    if isinstance(rows, slice):
        return array[rows]
    out = scratch((len(rows), *array.shape[1:]), array.dtype)
    step = max(1, _STEP // max(1, out[:1].nbytes))
    for start in range(0, len(rows), step):
        out[start : start + step] = array[rows[start : start + step]]
    return out
