"""Where the seconds of a job go, by step and by function.

Python's own profiler, one for each step. It sees the thread that runs the job: what other threads
do (decoding of images) shows as waiting for them.
"""

from __future__ import annotations

import cProfile
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MOST = 15
"""Functions told of a step, those with the most seconds of their own."""

OUTSIDE = "rest"
"""What is between the steps: choosing the trainers, writing settings."""

_IMPORTING = ("<frozen importlib._bootstrap>", "_find_and_load")
"""The function that every import of a module not loaded yet goes through."""


class Profile:
    """Seconds by step and function, from the moment it is made.

    A step within a step counts as itself alone.
    """

    def __init__(self) -> None:
        self._profiles: dict[str, cProfile.Profile] = {}
        self._spent: dict[str, list[float]] = {}
        self._open: list[str] = []
        self._begin(OUTSIDE)

    @contextmanager
    def step(self, key: str) -> Iterator[None]:
        """What is done in here belongs to the step."""
        self._pause()
        self._begin(key)
        try:
            yield
        finally:
            self._pause()
            self._open.pop()
            if self._open:
                self._resume()

    def close(self) -> dict[str, Any]:
        """Stop, and give `steps`, in the order they began: each with `step`, `seconds`,
        `processor_seconds` (of all threads), `import_seconds` (of `seconds`: modules loaded when
        they were first needed) and `functions`, most seconds of their own first.
        """
        while self._open:
            self._pause()
            self._open.pop()
        steps = []
        for key, profile in self._profiles.items():
            seconds, processor = self._spent[key]
            profile.create_stats()
            found: dict[Any, Any] = profile.stats  # type: ignore[attr-defined]
            steps.append(
                {
                    "step": key,
                    "seconds": round(seconds, 3),
                    "processor_seconds": round(processor, 3),
                    "import_seconds": round(_importing(found), 3),
                    "functions": _functions(found),
                }
            )
        return {"steps": steps}

    def _begin(self, key: str) -> None:
        self._profiles.setdefault(key, cProfile.Profile())
        self._spent.setdefault(key, [0.0, 0.0])
        self._open.append(key)
        self._resume()

    def _resume(self) -> None:
        spent = self._spent[self._open[-1]]
        spent[0] -= time.perf_counter()
        spent[1] -= time.process_time()
        self._profiles[self._open[-1]].enable()

    def _pause(self) -> None:
        if self._open:
            self._profiles[self._open[-1]].disable()
            spent = self._spent[self._open[-1]]
            spent[0] += time.perf_counter()
            spent[1] += time.process_time()


def _importing(found: dict[Any, Any]) -> float:
    """Seconds in the outermost imports."""
    return sum(told[3] for (file, _, name), told in found.items() if (file, name) == _IMPORTING)


def _functions(found: dict[Any, Any]) -> list[dict[str, Any]]:
    own = sorted(found.items(), key=lambda pair: -pair[1][2])[:MOST]
    return [
        {
            "function": _named(*where),
            "calls": calls,
            "own_seconds": round(inside, 4),
            "seconds": round(with_callees, 4),
        }
        for where, (_, calls, inside, with_callees, _) in own
    ]


def _named(file: str, line: int, name: str) -> str:
    """A function as people look for it, without the machine's folders."""
    if file == "~":  # not Python's: its name says what it is
        return re.sub(r" at 0x[0-9a-f]+", "", name).strip("<>{}")
    parts = re.split(r"[\\/]", file)
    for root in ("site-packages", "src", "lib"):
        if root in parts[:-1]:
            at = len(parts) - 1 - parts[::-1].index(root)
            return f"{'/'.join(parts[at + 1 :])}:{line} {name}"
    return f"{parts[-1]}:{line} {name}"
