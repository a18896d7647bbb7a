"""The encoded images of many items, files or bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from softfold.errors import InputError
from softfold.files import NO_FILE, wrong_with
from softfold.pixels.views import WHOLE, View


class Images(Sequence):
    """The encoded images of N items: files, or bytes that came in a column.

    Indexing gives the encoded bytes of one image; nothing is decoded here. `digests` (N,) tell
    images by their pixels, once `softfold.pixels.copies` has looked; parts keep theirs. `view` is
    how they are looked at when they are decoded.

    >>> images = Images(encoded=[b"first", b"second"])
    >>> len(images), images[1], images.path(1)
    (2, b'second', None)
    """

    def __init__(
        self,
        paths: Iterable[str | Path] | None = None,
        *,
        encoded: Iterable[bytes] | None = None,
    ) -> None:
        if (paths is None) == (encoded is None):
            raise InputError("Images(...) takes either paths or encoded bytes")
        self._paths = None if paths is None else np.array([str(p) for p in paths], dtype=object)
        self._encoded: np.ndarray | None = None
        if encoded is not None:
            values = list(encoded)
            self._encoded = np.empty(len(values), dtype=object)
            self._encoded[:] = values
        self.digests: np.ndarray | None = None
        self.view = WHOLE

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def _rows(self) -> np.ndarray:
        rows = self._paths if self._paths is not None else self._encoded
        assert rows is not None
        return rows

    def __getitem__(self, i: int) -> bytes:  # type: ignore[override]
        if self._encoded is not None:
            return self._encoded[i]
        assert self._paths is not None
        problem = wrong_with(self._paths[i])
        if problem not in (None, NO_FILE):  # a device would be read for ever
            raise OSError(problem)
        return Path(self._paths[i]).read_bytes()

    @property
    def paths(self) -> list[str] | None:
        """The files as they were named, None where images came as bytes. Plain text: a `Path` for
        each of many files takes longer than to ask the system for them.
        """
        return None if self._paths is None else self._paths.tolist()

    def path(self, i: int) -> Path | None:
        """The file of image i, None where it came as bytes."""
        return None if self._paths is None else Path(self._paths[i])

    def root(self, keys: np.ndarray) -> str | None:
        """The folder, as an absolute path, below which image i is the file `keys[i]`, if any is."""
        if self._paths is None or not len(keys) or Path(keys[0]).is_absolute():
            return None
        folder = self._paths[0].removesuffix(keys[0])
        if folder and not folder.endswith(os.sep):
            return None
        if any(path != folder + key for path, key in zip(self._paths, keys)):
            return None
        return str(Path(folder).absolute())

    def mark(self, i: int) -> bytes:
        """What tells image i from others without reading its file."""
        if self._encoded is not None:
            return hashlib.sha256(self._encoded[i]).digest() + self.view.mark
        assert self._paths is not None
        try:
            found = os.stat(self._paths[i])
            stamp = (found.st_size, found.st_mtime_ns)
        except (OSError, ValueError):  # not there, or no name of a file
            stamp = None
        path = os.path.join(os.getcwd(), self._paths[i])
        return f"{path}:{stamp}".encode() + self.view.mark

    def viewed(self, view: View) -> Images:
        """The same images, looked at in this way."""
        part = self.take(np.arange(len(self)))
        part.view = view
        return part

    def take(self, rows: np.ndarray) -> Images:
        """The images of the rows given as integers or as a mask."""
        part = object.__new__(Images)
        part._paths = None if self._paths is None else self._paths[rows]
        part._encoded = None if self._encoded is None else self._encoded[rows]
        part.digests = None if self.digests is None else self.digests[rows]
        part.view = self.view
        return part

    @staticmethod
    def join(first: Images, second: Images) -> Images:
        """Both collections, which are looked at in one way, one after the other."""
        assert first.view == second.view
        if first._paths is not None and second._paths is not None:
            both = Images([*first._paths, *second._paths])
        else:
            both = Images(
                encoded=[images[i] for images in (first, second) for i in range(len(images))]
            )
        both.view = first.view
        return both
