"""Files: written whole or not at all.

Everything that softfold keeps is written beside its place, brought to the disk, and put in its
place in one step. A crash leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import stat
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.errors import InputError, require

NO_FILE = "no such file"
"""What `wrong_with` says of a path that leads nowhere."""

BLOCK = 1 << 20
"""Bytes read at a time, so that memory stays flat on large files."""


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


def shell_word(path: str | Path) -> str:
    """A path as one word of a command line: quoted where the shell would read it otherwise.

    >>> print(shell_word("runs/photos"), shell_word("runs/My Photos"))
    runs/photos 'runs/My Photos'
    """
    text = str(path)
    return subprocess.list2cmdline([text]) if os.name == "nt" else shlex.quote(text)


def checksum(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


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
