"""Where a trainer may keep what it has of an unfinished fit.

Who trains and keeps finished fits on disk says in which folder; a trainer that can go on from the
middle of a fit asks for it. Trainers that cannot need not know of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_folder: ContextVar[Path | None] = ContextVar("softfold_checkpoints", default=None)


@contextmanager
def checkpoints_in(folder: str | Path | None) -> Iterator[None]:
    """Fits that are trained in here may keep what they have in a folder; None: nowhere."""
    token = _folder.set(None if folder is None else Path(folder) / "unfinished")
    try:
        yield
    finally:
        _folder.reset(token)


def checkpoint_folder() -> Path | None:
    """Where an unfinished fit may be kept (it need not exist yet), None where it may not."""
    return _folder.get()
