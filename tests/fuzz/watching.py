"""How many cases there are, the watch over each, and the tally.

`SOFTFOLD_FUZZ=10000` asks for 10,000 tables and for the other kinds in proportion; without it each
kind has a few cases, always the same ones, in seconds. `SOFTFOLD_FUZZ_TALLY=file` counts what goes
wrong and writes it there, where a test would stop (see benchmarks/fuzz.py).
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from softfold.errors import InputError

ASKED = int(os.environ.get("SOFTFOLD_FUZZ") or 0)
TALLY = os.environ.get("SOFTFOLD_FUZZ_TALLY")

KINDS = {
    "tables": (1.0, 300),
    "frames": (0.1, 60),
    "images": (0.2, 120),
    "runs": (0.02, 12),
    "requests": (0.5, 150),
    "probabilities": (0.1, 60),
}
"""Cases of each kind: the share of those asked for, and how many there are by default."""

MOST_MEMORY = 1 << 30
"""Bytes that the cases of a kind may add to the process."""


class Shift(AssertionError):
    """A label beside another item, or rewritten."""


class Hang(BaseException):
    """Too long. No Exception, so that nothing takes it for its own."""


@dataclass
class Tally:
    """What became of the cases of one kind."""

    cases: int = 0
    answered: int = 0
    refused: int = 0
    tracebacks: int = 0
    shifts: int = 0
    hangs: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


TALLIES = {kind: Tally() for kind in KINDS}


def n_cases(kind: str) -> int:
    """How many cases of this kind to try."""
    share, usual = KINDS[kind]
    return max(1, round(ASKED * share)) if ASKED else usual


def many(kind: str, part: float = 1.0) -> Callable:
    """hypothesis' settings: so many cases, and by default always the same ones."""
    return settings(
        max_examples=max(1, round(part * n_cases(kind))),
        deadline=None,
        derandomize=not ASKED,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def watched(
    kind: str,
    call: Callable[[], Any],
    *clear: type[Exception],
    told: str = "",
    seconds: float = 20.0,
) -> None:
    """Try one case: it answers, or refuses with one line; anything else is a failure.

    Args:
        call: the case, with its own checks of the answer.
        clear: exceptions besides InputError that are a refusal.
        told: what makes the case again, for the reader of a failure.
        seconds: a case that takes longer hangs.
    """
    tally = TALLIES[kind]
    tally.cases += 1
    began = BEGAN.setdefault(kind, Memory(held(), peak()))

    def wrong(what: str, error: Exception) -> None:
        if told:
            error.add_note(told)
        _wrong(tally, what, error)

    before = signal.signal(signal.SIGALRM, _hang)
    begun = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
        tally.answered += 1
    except (InputError, *clear) as error:
        tally.refused += 1
        if not str(error) or len(str(error).splitlines()) > 1:
            wrong("tracebacks", AssertionError(f"not one line: {str(error)!r}"))
    except Shift as error:
        wrong("shifts", error)
    except Hang:
        wrong("hangs", AssertionError(f"it took more than {seconds:g} s"))
    except Exception as error:
        wrong("tracebacks", error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        tally.seconds += time.perf_counter() - begun
    grown = began.grown()
    if grown > MOST_MEMORY:
        wrong("tracebacks", AssertionError(f"{grown >> 20:,} MiB of memory"))


def _hang(*_: object) -> None:
    raise Hang


def _wrong(tally: Tally, what: str, error: Exception) -> None:
    setattr(tally, what, getattr(tally, what) + 1)
    if not TALLY:
        raise error
    if len(tally.problems) < 400:
        tally.problems.append("".join(traceback.format_exception(error))[-60_000:])


def peak() -> int:
    """Most memory that the process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def held() -> int:
    """Memory that the process has now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


STARTED = peak()


@dataclass(frozen=True)
class Memory:
    """What the process held before the first case of a kind, and its most until then, in bytes."""

    held: int
    peak: int

    def grown(self) -> int:
        """What has come on top, at its most, besides what other tests took before."""
        most = peak()
        return (most if most > self.peak else held()) - self.held


BEGAN: dict[str, Memory] = {}


def _write() -> None:
    told = {kind: asdict(tally) for kind, tally in TALLIES.items() if tally.cases}
    told["memory"] = {"peak": peak(), "before": STARTED}
    with Path(str(TALLY)).open("w", encoding="utf-8") as file:
        json.dump(told, file)


if TALLY:
    atexit.register(_write)
