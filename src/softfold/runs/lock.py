"""One process writes a run folder at a time."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from softfold.errors import InputError, require
from softfold.files import write_json

LOCK, HOLDER = ".lock", ".lock-holder.json"
"""The file that the system locks, and beside it who holds the lock."""


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold a run folder's lock; the folder is made where there is none.

    The system gives the lock back when the process ends, however it ends.

    Raises:
        InputError: another process holds it, or the folder cannot be written.
    """
    filelock = require("filelock", extra="cli")
    path = Path(path)
    if path.is_file():
        raise InputError(f"{path}: a file is there; give a folder for the run")
    is_new = not path.exists()
    lock = filelock.FileLock(path / LOCK, timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        write_json(path / HOLDER, _me())
    except filelock.Timeout:
        raise InputError(
            f"{path}: another process writes this run ({_holder(path)}); wait for it, or stop it"
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path}: the run folder cannot be written ({reason}); give another, or free this one"
        ) from None
    try:
        yield
    finally:
        (path / HOLDER).unlink(missing_ok=True)
        lock.release()
        if is_new and not [file for file in path.iterdir() if file.name != LOCK]:
            (path / LOCK).unlink(missing_ok=True)
            path.rmdir()


def is_empty(path: Path) -> bool:
    """Whether a folder is absent, or holds nothing but a lock."""
    return not path.exists() or all(file.name in (LOCK, HOLDER) for file in path.iterdir())


def _me() -> dict[str, str | int]:
    return {
        "process": os.getpid(),
        "host": platform.node(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _holder(path: Path) -> str:
    """Who holds the lock, in words."""
    try:
        who = json.loads((path / HOLDER).read_text(encoding="utf-8"))
        return f"{who['command']}, process {who['process']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said who it is"
