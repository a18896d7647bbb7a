"""Rows of arrays on disk, one an item, found by a key of the item's content.

A folder of the cache (`softfold.cache.folder`) holds one kind of rows with one set of settings, as
pairs of `ID.rows.npy` (n, ...) and `ID.keys` (20 bytes a row: a key, and the CRC-32 of row and
key). Both grow while rows are made: every few hundred rows go to the disk, their keys after them.
What was killed leaves what it had finished, and a rows file that is shorter than its header says. A
process checks every file once before it uses it: rows that are not what was written count as
missing, so that they are made again, and a warning says so. Two runs at a time at worst do the same
work twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from softfold.cache.folder import RECORD, cache_dir, make_room, size_of, touch
from softfold.errors import InputError
from softfold.files import write_bytes
from softfold.stopping import stop_here

KEY = np.dtype("S16")
_SUM_BYTES = RECORD - KEY.itemsize
_REOPEN_BYTES = 256 << 20
_COMMIT_ROWS = 448
"""Rows after which what was made goes to the disk: whole batches, and a few seconds of work."""

_CHECK_BYTES = 16 << 20
_checked: dict[tuple[str, int, int, int], tuple[np.ndarray, np.ndarray]] = {}
"""Keys and soundness of the rows of files that this process looked at, by file."""


def content_key(*parts: bytes | memoryview) -> bytes:
    """A 16-byte key of content.

    >>> content_key(b"a", b"b") == content_key(b"ab")
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


@dataclass
class Rows:
    """Cached rows of N items, read from memory-mapped files; (N, *shape) of one dtype.

    Indexing by an integer gives one row, by an array of integers a batch; both are copies.
    """

    paths: list[Path]
    file: np.ndarray  # (N,) which of the paths holds the row
    row: np.ndarray  # (N,) where in it
    shape: tuple[int, ...]
    dtype: np.dtype
    _maps: dict[int, np.ndarray] = field(default_factory=dict, repr=False)
    _touched: int = field(default=0, repr=False)

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, i: int | np.ndarray) -> np.ndarray:
        if np.ndim(i) == 0:
            return self._gather(int(self.file[i]), self.row[i])
        rows = np.asarray(i)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        out = np.empty((len(rows), *self.shape), self.dtype)
        for file in np.unique(self.file[rows]):
            here = np.flatnonzero(self.file[rows] == file)
            out[here] = self._gather(int(file), self.row[rows[here]])
        return out

    def take(self, rows: np.ndarray) -> Rows:
        """The rows of a part of the items, without reading them."""
        return Rows(self.paths, self.file[rows], self.row[rows], self.shape, self.dtype)

    def _gather(self, file: int, rows: Any) -> np.ndarray:
        # pages of a map count as this process's memory: map anew from time to time to stay flat
        if self._touched > _REOPEN_BYTES:
            self._maps.clear()
            self._touched = 0
        rows_file = self._maps.get(file)
        if rows_file is None:  # another thread may clear the maps: what this one reads, it holds
            rows_file = self._maps[file] = _map_rows(self.paths[file])
        found = np.array(rows_file[rows])
        self._touched += found.nbytes
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_touched": 0}


class RowStore:
    """The rows of one kind (`images`, `features`) made with one set of settings."""

    def __init__(self, kind: str, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        name = content_key(json.dumps(self.settings, sort_keys=True).encode()).hex()
        self.folder = cache_dir() / kind / name

    def find(self, keys: np.ndarray) -> tuple[Rows | None, np.ndarray]:
        """Look up keys (N,): the rows, and a mask (N,) of those that are not there.

        The rows of missing keys point nowhere (file -1); None where nothing is there at all.
        """
        file = np.full(len(keys), -1, np.int32)
        row = np.zeros(len(keys), np.int64)
        wanted, inverse = np.unique(keys, return_inverse=True)
        at_file = np.full(len(wanted), -1, np.int32)
        at_row = np.zeros(len(wanted), np.int64)
        paths: list[Path] = []
        shape, dtype = (), np.dtype("u1")
        for key_file in sorted(self.folder.glob("*.keys")) if len(keys) else ():
            rows_file = key_file.with_suffix(".rows.npy")
            try:
                header = _map_rows(rows_file)
                stored, sound = self._sound(key_file, rows_file, header)
            except (OSError, ValueError, EOFError):
                continue
            if not len(stored):
                continue
            order = np.argsort(stored)
            place = np.searchsorted(stored[order], wanted)
            place = order[np.minimum(place, len(order) - 1)]
            here = (stored[place] == wanted) & sound[place] & (at_file < 0)
            if here.any():
                at_file[here] = len(paths)
                at_row[here] = place[here]
                paths.append(rows_file)
                shape, dtype = header.shape[1:], header.dtype
                for used in (key_file, rows_file):
                    touch(used)
        file[:], row[:] = at_file[inverse], at_row[inverse]
        if not paths:
            return None, np.ones(len(keys), bool)
        return Rows(paths, file, row, shape, dtype), file < 0

    def _sound(
        self, key_file: Path, rows_file: Path, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The keys of a pair of files, and which of its rows (n,) are what was written."""
        found = rows_file.stat()
        mark = (str(rows_file), found.st_size, found.st_ino, size_of(key_file))
        if mark not in _checked:
            content = key_file.read_bytes()
            n = min(len(content) // RECORD, len(rows))  # a power cut can leave half a record
            packed = np.frombuffer(content[: n * RECORD], np.uint8).reshape(n, RECORD)
            rows = rows[:n]
            keys = np.ascontiguousarray(packed[:, : KEY.itemsize]).view(KEY).reshape(-1)
            sums = np.ascontiguousarray(packed[:, KEY.itemsize :]).view("<u4").reshape(-1)
            sound = np.empty(len(rows), bool)
            step = max(1, _CHECK_BYTES // max(1, rows[:1].nbytes))
            # not through the map, whose pages would count as this process's memory
            with rows_file.open("rb") as stream:
                stream.seek(getattr(rows, "offset", 0))
                for start in range(0, len(rows), step):
                    part = slice(start, min(start + step, len(rows)))
                    block = np.frombuffer(stream.read(rows[part].nbytes), rows.dtype)
                    block = block.reshape(rows[part].shape)
                    sound[part] = _sums(packed[part, : KEY.itemsize], block) == sums[part]
            if not sound.all():
                count = len(rows) - int(sound.sum())
                warnings.warn(
                    f"the cache held {count:,} of {len(rows):,} rows of {self.folder.parent.name} "
                    "that are not what was written; they are made again",
                    stacklevel=3,
                )
            _checked[mark] = keys, sound
        return _checked[mark]

    @contextmanager
    def writer(
        self, n: int, shape: tuple[int, ...], dtype: np.typing.DTypeLike, *, exactly: bool = True
    ) -> Iterator[RowWriter]:
        """Append n rows in order, or with `exactly` false at most so many.

        Every few hundred are kept, whatever happens to the others.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            described = self.folder / "settings.json"
            if not described.is_file():
                write_bytes(described, json.dumps(self.settings, indent=1).encode())
            row_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            make_room(n * (row_bytes + RECORD))
            name = uuid.uuid4().hex
            rows_file, key_file = self.folder / f"{name}.rows.npy", self.folder / f"{name}.keys"
            try:
                with rows_file.open("wb") as rows, key_file.open("wb") as keys:
                    header = {
                        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                        "fortran_order": False,
                        "shape": (n, *shape),
                    }
                    np.lib.format.write_array_header_1_0(rows, header)
                    writer = RowWriter(rows, keys, shape, np.dtype(dtype))
                    yield writer
                    writer.commit()
            finally:
                if size_of(key_file) == 0:
                    key_file.unlink(missing_ok=True)
                    rows_file.unlink(missing_ok=True)
        except OSError as error:
            if not str(error.filename or cache_dir()).startswith(str(cache_dir())):
                raise
            raise InputError(
                f"the cache folder {cache_dir()} cannot be written: {error.strerror or error}; "
                "make room or give another in SOFTFOLD_CACHE"
            ) from None
        if writer.n > n or (exactly and writer.n < n):
            raise RuntimeError(f"{writer.n:,} of {n:,} rows were written")


@dataclass
class RowWriter:
    """Takes rows (n, *shape) with their keys, in order; they are kept a few hundred at a time."""

    stream: BinaryIO
    key_stream: BinaryIO
    shape: tuple[int, ...]
    dtype: np.dtype
    n: int = 0
    waiting: list[np.ndarray] = field(default_factory=list)

    def write(self, keys: np.ndarray, rows: np.ndarray) -> None:
        """Append a batch; its rows are cast to the file's dtype."""
        values = np.ascontiguousarray(rows, self.dtype)
        assert values.shape == (len(keys), *self.shape)
        self.stream.write(values.data)
        packed = np.array(keys, KEY).view(np.uint8).reshape(-1, KEY.itemsize)
        sums = _sums(packed, values).view(np.uint8).reshape(-1, _SUM_BYTES)
        self.waiting.append(np.concatenate([packed, sums], axis=1))
        self.n += len(keys)
        if sum(map(len, self.waiting)) >= _COMMIT_ROWS:
            self.commit()
            stop_here()

    def commit(self) -> None:
        """Bring the rows to the disk, then their keys: from now on they are found."""
        if not self.waiting:
            return
        for stream, content in (
            (self.stream, b""),
            (self.key_stream, b"".join(part.data for part in self.waiting)),
        ):
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        self.waiting.clear()


def _map_rows(path: Path) -> np.ndarray:
    """The rows (m, ...) that a rows file holds so far, as a read-only memory map."""
    with path.open("rb") as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{path.name}: not a rows file")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        offset = stream.tell()
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    n = min(shape[0], (size_of(path) - offset) // row_bytes) if row_bytes else shape[0]
    if fortran or n < 0 or dtype.hasobject:
        raise ValueError(f"{path.name}: not a rows file")
    if n == 0 or row_bytes == 0:
        return np.zeros((n, *shape[1:]), dtype)
    return np.memmap(path, dtype, "r", offset, (n, *shape[1:]))


def _sums(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """CRC-32 of each row (n, ...) with its dtype, shape and key uint8 (n, 16): uint32 (n,)."""
    rows = np.ascontiguousarray(rows)
    kind = zlib.crc32(repr((rows.dtype.str, rows.shape[1:])).encode())
    content: Any = rows.view(np.uint8).reshape(len(rows), -1) if rows.size else [b""] * len(rows)
    found = (zlib.crc32(row, zlib.crc32(key, kind)) for key, row in zip(keys, content, strict=True))
    return np.fromiter(found, dtype="<u4", count=len(rows))
