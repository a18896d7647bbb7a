"""Stopping: the first Ctrl-C finishes the step in hand, the second stops at once.

Long work calls `stop_here` where nothing would be lost: after a fold, an epoch, a few hundred rows
of a cache. Between two such places the first Ctrl-C (or SIGTERM) only makes a note.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = False
_watched = False
_put_off = False


def was_asked() -> bool:
    """Whether somebody asked to stop since `watch` began."""
    return _asked


@contextmanager
def put_off() -> Iterator[None]:
    """In here `stop_here` does not stop: other work is under way that must be told of first."""
    global _put_off
    before, _put_off = _put_off, True
    try:
        yield
    finally:
        _put_off = before


def stop_here() -> None:
    """Stop if somebody asked for it; called where everything finished is on disk.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed since `watch` began.
    """
    if _asked and not _put_off:
        raise KeyboardInterrupt


@contextmanager
def watch() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the next `stop_here`; a second one does not wait.

    Outside of the main thread, and where signals are watched already, this does nothing.
    """
    global _asked, _watched
    if _watched or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        global _asked
        if _asked:
            raise KeyboardInterrupt
        _asked = True
        print(
            "softfold: stopping after the step in hand (a fold, an epoch, some hundred images); "
            "once more stops at once",
            file=sys.stderr,
            flush=True,
        )

    _asked, _watched = False, True
    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked = _watched = False
