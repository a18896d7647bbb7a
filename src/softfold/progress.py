"""What long work tells: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softfold.profiling import Profile

Advance = Callable[[int, int], None]
"""Called with (done, all)."""


def part_of(advance: Advance, part: int, parts: int) -> Advance:
    """What tells `advance` of one of several equal parts, all of them together being the whole.

    >>> part_of(lambda done, total: print(done, "of", total), 1, 3)(2, 5)
    7 of 15
    """
    return lambda done, total: advance(part * total + done, parts * total)


class Progress:
    """Says what happens and keeps the seconds of each step.

    Args:
        quiet: say nothing (the seconds are kept all the same).
        stream: where lines go; standard error by default, so that output can be piped.
        profile: keeps the seconds of each step by function.
    """

    def __init__(self, quiet: bool = False, stream=None, profile: Profile | None = None) -> None:
        self.quiet = quiet
        self.profile = profile
        self.stream = stream or sys.stderr
        self.seconds: dict[str, float] = {}

    def say(self, line: str) -> None:
        if not self.quiet:
            print(line, file=self.stream, flush=True)

    @contextmanager
    def step(self, key: str, title: str) -> Iterator[Advance]:
        """Time one step; calling what it yields with (done, total) shows how far it is."""
        started = time.perf_counter()
        bar = None
        if not self.quiet and self.stream.isatty():
            bar = _bar()
            bar.start()
            task = bar.add_task(title, total=None)
        else:
            self.say(f"{title} ...")
        last = started

        def advance(done: int, total: int) -> None:
            nonlocal last
            if bar is not None:
                bar.update(task, completed=done, total=total)
            elif time.perf_counter() - last > 10 and 0 < done < total:
                last = time.perf_counter()
                left = (last - started) / done * (total - done)
                self.say(f"  {done:,} of {total:,}, about {left:.0f} s left")

        try:
            with nullcontext() if self.profile is None else self.profile.step(key):
                yield advance
        finally:
            if bar is not None:
                bar.stop()
            spent = time.perf_counter() - started
            self.seconds[key] = self.seconds.get(key, 0.0) + spent
        self.say(f"{title}: {spent:.1f} s" if bar is None else f"{title} took {spent:.1f} s")


def _bar():
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
