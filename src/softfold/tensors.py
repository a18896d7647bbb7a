"""Tensors in files: tied to what they were made from, with a checksum of the whole file.

What is read is what was written, or it is said to be damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from softfold import large_arrays
from softfold.errors import InputError, require
from softfold.files import BLOCK, Damaged, replacing, told_if_damaged

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

_TYPES = {
    np.dtype(kind): name
    for name, kind in {
        "BOOL": "?",
        "U8": "u1",
        "I8": "i1",
        "I16": "i2",
        "U16": "u2",
        "F16": "f2",
        "I32": "i4",
        "U32": "u4",
        "F32": "f4",
        "C64": "c8",
        "F64": "f8",
        "I64": "i8",
        "U64": "u8",
    }.items()
}
"""What safetensors calls a type, in its order: what comes last here is written first."""


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
    if sum(array.nbytes for array in tensors.values()) > large_arrays.LARGE:
        save_file = _save_in_parts
    about = dict(metadata or {})
    if fingerprint is not None:
        about[_FINGERPRINT] = fingerprint
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    _save_sealed(save_file, path, arrays, about)


def _save_in_parts(tensors: dict[str, np.ndarray], path: str, metadata: dict[str, str]) -> None:
    """What safetensors' `save_file` writes, without a copy of the arrays in memory."""
    header: dict[str, Any] = {"__metadata__": metadata}
    rank = {kind: -place for place, kind in enumerate(_TYPES)}
    order = sorted(tensors, key=lambda name: (rank[tensors[name].dtype], name))
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
            step = BLOCK // flat.itemsize
            file.writelines(flat[start : start + step].data for start in range(0, len(flat), step))


def write_torch_tensors(path: str | Path, tensors: Mapping[str, Any], metadata: dict) -> None:
    """Write torch tensors as `write_tensors` writes arrays; they may be of any dtype."""
    save_file = require("safetensors.torch", extra="cli").save_file
    _save_sealed(save_file, path, {k: v.contiguous() for k, v in tensors.items()}, metadata)


def _save_sealed(save_file: Any, path: str | Path, tensors: dict, metadata: dict[str, str]) -> None:
    """Save whole, with a checksum; the same tensors and metadata always give the same bytes."""
    with replacing(path) as part:
        part.touch()
        mode = stat.S_IMODE(part.stat().st_mode)  # as the umask says; safetensors' own is private
        try:
            save_file(tensors, str(part), metadata=metadata | {_CHECKSUM: _UNKNOWN, _SEALED: "yes"})
        except Exception as error:
            number = re.search(r"os error (\d+)", str(error))  # safetensors has errors of its own
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        part.chmod(mode)
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
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


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
    """A tensor of an open file: in memory, or where it is `large_arrays.LARGE` as a memory map."""
    part = file.get_slice(name)
    cells = int(np.prod(part.get_shape(), dtype=np.int64))
    large = (
        part.get_dtype() in _MAPPED and cells * int(part.get_dtype()[1:]) // 8 > large_arrays.LARGE
    )
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
