"""The manifest of a run: which files softfold wrote, and the checksum of each.

`manifest.json` lists files by name with their bytes and their SHA-256. It is written after each
file. Who reads a file of the run compares it first: what somebody else changed is said.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softfold.files import Damaged, checksum, write_json
from softfold.tensors import trust

MANIFEST = "manifest.json"

_sound: set[tuple[str, int, int, str]] = set()
"""Files that this process found to be as listed: path, size, time of change, checksum."""


@contextmanager
def written(run: Path, *names: str) -> Iterator[None]:
    """Write files of a run in here: they are off the list until they are whole.

    Whenever the process is killed, what the manifest lists is what was written. A manifest that is
    damaged is begun anew.
    """
    listed = _entries_or_none(run)
    if any(name in listed for name in names):
        _write(run, {name: entry for name, entry in listed.items() if name not in names})
    yield
    listed = _entries_or_none(run)
    for name in names:
        file = run / name
        if file.is_file():
            listed[name] = {"bytes": file.stat().st_size, "sha256": checksum(file)}
    _write(run, listed)


def _entries_or_none(run: Path) -> dict[str, dict[str, Any]]:
    try:
        return entries(run)
    except Damaged:
        return {}


def _write(run: Path, listed: dict[str, dict[str, Any]]) -> None:
    write_json(run / MANIFEST, {"files": dict(sorted(listed.items()))})


def entries(run: Path) -> dict[str, dict[str, Any]]:
    """What the manifest says of each file; nothing where there is no manifest.

    Raises:
        Damaged: the manifest cannot be read.
    """
    file = run / MANIFEST
    if not file.exists():
        return {}
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))["files"]
        return {
            str(name): {"bytes": int(entry["bytes"]), "sha256": str(entry["sha256"])}
            for name, entry in listed.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(f"{file}: damaged: it cannot be read") from None


def check(run: Path, name: str) -> None:
    """Compare one file with the manifest, once a process; files that are not listed are not known.

    Raises:
        Damaged: it is not what was written.
    """
    try:
        entry = entries(run).get(name)
    except Damaged as error:
        warnings.warn(f"{error}; files of the run are not compared with it", stacklevel=2)
        return
    if entry is None:
        return
    file = run / name
    found = file.stat()
    mark = (str(file), found.st_size, found.st_mtime_ns, entry["sha256"])
    if mark in _sound:
        return
    if found.st_size != entry["bytes"] or checksum(file) != entry["sha256"]:
        raise Damaged(f"{file}: damaged: it is not what softfold wrote (see manifest.json)")
    _sound.add(mark)
    trust(file)
