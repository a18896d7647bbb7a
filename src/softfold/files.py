"""Files: written whole or not at all, tensors tied to what they were made from, memory maps.

Everything that softfold keeps is written beside its place, brought to the disk, and put in its
place in one step. A crash leaves the old file or the new one, never half of one. Tensors carry a
checksum of their whole file: what is read is what was written, or it is said to be damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from softfold.errors import InputError, require

NO_FILE = "no such file"
"""What `wrong_with` says of a path that leads nowhere."""

_FINGERPRINT = "fingerprint"
_CHECKSUM, _SEALED = "sha256", "sealed"
"""Two words in a tensor file's header, so that a damage of one of them does not hide itself."""

_UNKNOWN = "0" * 64
"""What stands for the checksum of a tensor file while the checksum is computed."""

_sound: set[tuple[str, int, int, int]] = set()
"""Tensor files that this process found sound: path, size, time of change, inode."""

_MAPPED = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
_LONGEST_HEADER = 100 << 20
"""Bytes; safetensors itself reads no longer one."""

_CHECKSUM_BLOCK = 1 << 20
"""Bytes read at a time, so that memory stays flat on large files."""

LARGE = 1 << 29
"""Bytes; a larger array is on the disk, and read and written in parts."""

_TYPES = {np.dtype(kind): name for name, kind in _MAPPED.items()}
_TYPES |= {np.dtype("u1"): "U8", np.dtype("i2"): "I16"}
"""What safetensors calls a type."""


def scratch(shape: tuple[int, ...], dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """An array of zeros: in memory, or where it is `LARGE` a map of a file that goes with it.

    The file has no name. It is in SOFTFOLD_SCRATCH, else in /var/tmp (/tmp may be memory), else
    where temporary files go.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= LARGE:
        return np.zeros(shape, dtype)
    usual = "/var/tmp" if Path("/var/tmp").is_dir() else tempfile.gettempdir()
    folder = os.environ.get("SOFTFOLD_SCRATCH") or usual
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # a map of a full disk ends the process
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
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
    step = max(1, _CHECKSUM_BLOCK // max(1, out[:1].nbytes))
    for start in range(0, len(rows), step):
        out[start : start + step] = array[rows[start : start + step]]
    return out


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to; on leaving without an error, what was written takes the place of `path`.

    For writers that want a file name. What was begun and not finished is deleted.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    part = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield part
        _to_disk(part)
        part.replace(path)
    except OSError as error:
        if error.errno and error.filename in (None, str(part)):  # name the file asked for
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    _folder_to_disk(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Delete what writers that were killed left behind, in a folder that nobody else writes."""
    for file in folder.rglob(".*"):
        if re.fullmatch(r"\.[0-9a-f]{32}\.tmp|\.tmp\w{6}", file.name) and file.is_file():
            file.unlink(missing_ok=True)  # ours, or safetensors' own temporary file


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write a text file whole, as UTF-8 with the line ends that the text has."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON, whole. Arrays become lists, what JSON does not know becomes text."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n")


def write_parquet(path: str | Path, frame: pd.DataFrame, *, index: bool = False) -> None:
    """Write a data frame as Parquet, whole."""
    require("pyarrow", extra="cli")
    frame = frame.copy(deep=False)
    plain = (str, int, float, list, dict)  # the lines that rows were read from are not kept
    frame.attrs = {k: v for k, v in frame.attrs.items() if isinstance(v, plain)}
    with replacing(path) as part:
        frame.to_parquet(part, index=index)


def read_json(path: str | Path) -> Any:
    """What a JSON file of softfold's own holds.

    Raises:
        Damaged: it is no JSON.
    """
    with told_if_damaged(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def read_parquet(path: str | Path) -> pd.DataFrame:
    """The data frame of a Parquet file of softfold's own.

    Raises:
        Damaged: it is no Parquet.
    """
    require("pyarrow", extra="cli")
    with told_if_damaged(path):
        return pd.read_parquet(path)


def copy_file(source: str | Path, path: str | Path) -> None:
    """Copy a file's content, whole."""
    write_bytes(path, Path(source).read_bytes())


def write_tensors(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    *,
    metadata: Mapping[str, str] | None = None,
    fingerprint: str | None = None,
) -> None:
    """Write arrays as one safetensors file, whole.

    Args:
        path: the file; its folder must be there.
        tensors: arrays by name; kept in their dtype.
        metadata: text by name, for the file's header.
        fingerprint: a hash of what the tensors were made from; `read_tensors_of` asks for it.
    """
    save_file = require("safetensors.numpy", extra="cli").save_file
    if sum(array.nbytes for array in tensors.values()) > LARGE:
        save_file = _save_in_parts
    about = dict(metadata or {})
    if fingerprint is not None:
        about[_FINGERPRINT] = fingerprint
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    _save_sealed(save_file, path, arrays, about)


def _save_in_parts(tensors: dict[str, np.ndarray], path: str, metadata: dict[str, str]) -> None:
    """What safetensors' `save_file` writes, without a copy of the arrays in memory."""
    header: dict[str, Any] = {"__metadata__": metadata}
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    end = 0
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        kind, shape = _TYPES[tensors[name].dtype], list(tensors[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    content = content.ljust(-(-len(content) // 8) * 8)
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(len(content).to_bytes(8, "little") + content)
        for name in order:
            flat = tensors[name].reshape(-1)
            step = _CHECKSUM_BLOCK // flat.itemsize
            file.writelines(flat[start : start + step].data for start in range(0, len(flat), step))


def write_torch_tensors(path: str | Path, tensors: Mapping[str, Any], metadata: dict) -> None:
    """Write torch tensors as `write_tensors` writes arrays; they may be of any dtype."""
    save_file = require("safetensors.torch", extra="cli").save_file
    _save_sealed(save_file, path, {k: v.contiguous() for k, v in tensors.items()}, metadata)


def _save_sealed(save_file: Any, path: str | Path, tensors: dict, metadata: dict[str, str]) -> None:
    """Save whole, with a checksum; the same tensors and metadata always give the same bytes."""
    with replacing(path) as part:
        try:
            save_file(tensors, str(part), metadata=metadata | {_CHECKSUM: _UNKNOWN, _SEALED: "yes"})
        except Exception as error:
            number = re.search(r"os error (\d+)", str(error))  # safetensors has errors of its own
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        with part.open("rb+") as file:
            length, header = _header(file)
            # safetensors writes the metadata in an order that changes from process to process
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            _write_header(file, length, header)
            file.flush()
            header["__metadata__"][_CHECKSUM] = _digest_of(part)
            _write_header(file, length, header)


def _header(file: IO[bytes]) -> tuple[int, dict[str, Any]]:
    """The length of a safetensors header in bytes, and the header.

    Format: 8 bytes little-endian header length, a JSON header, the tensors' bytes.
    """
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise ValueError("its header has no end")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return length, header


def _write_header(file: IO[bytes], length: int, header: dict[str, Any]) -> None:
    content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(content) <= length, "safetensors writes a compact header"
    file.seek(8)
    file.write(content.ljust(length))


def _digest_of(path: Path) -> str:
    """SHA-256 of a tensor file with `_UNKNOWN` in the checksum's place."""
    with path.open("rb") as file:
        length, header = _header(file)
        header.setdefault("__metadata__", {})[_CHECKSUM] = _UNKNOWN
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        file.seek(8 + length)
        while block := file.read(_CHECKSUM_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Damaged(InputError):
    """A file of softfold's own is not what was written."""


@contextmanager
def told_if_damaged(path: str | Path) -> Iterator[None]:
    """Read a file of softfold's own in here: what cannot be read raises `Damaged`, in one line."""
    try:
        yield
    except (InputError, MemoryError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise Damaged(f"{path}: damaged: it cannot be read ({why[:200]})") from None


def trust(path: Path) -> None:
    """Note that a file's whole content was compared already: `check_tensors` need not again."""
    _sound.add(_mark(path))


def _mark(path: Path) -> tuple[str, int, int, int]:
    found = path.stat()
    return (str(path), found.st_size, found.st_mtime_ns, found.st_ino)


def check_tensors(path: str | Path) -> None:
    """Compare a tensor file with its checksum, once a process; files of others have none.

    Raises:
        Damaged: it is not what was written.
    """
    path = Path(path)
    mark = _mark(path)
    if mark in _sound:
        return
    with told_if_damaged(path):
        with path.open("rb") as file:
            header = _header(file)[1]
        about = header.pop("__metadata__", {})
        if not all("dtype" in tensor for tensor in header.values()):
            raise ValueError("its header names no tensors")
        if (_CHECKSUM in about or _SEALED in about) and about.get(_CHECKSUM) != _digest_of(path):
            raise Damaged(f"{path}: damaged: it is not what was written (its checksum differs)")
    _sound.add(mark)


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file and the text in its header, both by name.

    Raises:
        Damaged: the file is not what was written.
    """
    safe_open = require("safetensors", extra="cli").safe_open
    check_tensors(path)
    with told_if_damaged(path), safe_open(str(path), framework="numpy") as file:
        about = {k: v for k, v in (file.metadata() or {}).items() if k not in (_CHECKSUM, _SEALED)}
        return {name: _tensor(file, path, name) for name in file.keys()}, about  # noqa: SIM118


def _tensor(file: Any, path: str | Path, name: str) -> np.ndarray:
    """A tensor of an open file: in memory, or where it is `LARGE` as a memory map."""
    part = file.get_slice(name)
    cells = int(np.prod(part.get_shape(), dtype=np.int64))
    large = part.get_dtype() in _MAPPED and cells * int(part.get_dtype()[1:]) // 8 > LARGE
    return memory_map(Path(path), name) if large else file.get_tensor(name)


def read_tensors_of(path: str | Path, fingerprint: str) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None where it is not there, is damaged (a warning says so) or was
    made from something else.
    """
    if not Path(path).exists():
        return None
    try:
        tensors, about = read_tensors(path)
    except Damaged as error:
        warnings.warn(f"{error}; it is made again", stacklevel=2)
        return None
    return tensors if about.get(_FINGERPRINT) == fingerprint else None


def memory_map(path: Path, name: str) -> np.ndarray:
    """One tensor of a safetensors file as a read-only memory map: nothing is loaded.

    Raises:
        InputError: the file is damaged, or holds no tensor of that name.
    """
    check_tensors(path)
    with told_if_damaged(path):
        with path.open("rb") as file:
            length, header = _header(file)
        if name not in header:
            raise InputError(f"{path}: it holds no {name!r}, only {', '.join(sorted(header))}")
        start, end = header[name]["data_offsets"]
        shape = tuple(header[name]["shape"])
        dtype = np.dtype(_MAPPED[header[name]["dtype"]])
        if end == start:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype=dtype, mode="r", offset=8 + length + start, shape=shape)


def checksum(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_CHECKSUM_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def pack_keys(item: np.ndarray) -> np.ndarray:
    """Item keys as one uint8 array, so that they fit beside tensors.

    >>> list(unpack_keys(pack_keys(np.array(["a.jpg", "é"], dtype=object))))
    ['a.jpg', 'é']
    """
    return np.frombuffer(json.dumps([str(k) for k in item]).encode(), dtype=np.uint8)


def unpack_keys(packed: np.ndarray) -> np.ndarray:
    """(N,) str objects out of what `pack_keys` made."""
    keys = json.loads(packed.tobytes())
    out = np.empty(len(keys), dtype=object)
    out[:] = keys
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def _to_disk(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _folder_to_disk(folder: Path) -> None:
    """Bring a new name to the disk, where the system lets a folder be opened (not on Windows)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def wrong_with(path: str | os.PathLike[str]) -> str | None:
    """Why a path is no file that could be read, without opening it; None where it is one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a million paths
    except (FileNotFoundError, NotADirectoryError):
        return NO_FILE
    except OSError as error:
        return str(error.strerror or error)
    except ValueError:  # a name with a null in it
        return NO_FILE
    return None if stat.S_ISREG(found.st_mode) else "no regular file"
