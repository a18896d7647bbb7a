"""What an engine is: where the trainings of a job run, each of them a task.

A new engine is one class with `run` in a file here, and one line in the table of `__init__`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from softfold.machine import runtime
from softfold.trainers import Trainer


@dataclass(frozen=True)
class Needs:
    """What each of some tasks needs of the machine that it runs on.

    Attributes:
        threads: on a processor. Sums of numbers depend on how they are divided among threads:
            with as many as this process has, a task gives the same bytes wherever it runs.
        gpus: GPUs, 0 or 1.
        uses_torch: whether torch is set up before the task begins.
        device: the one GPU that was asked for by its number, `cuda:1`, for every task; None: any.
    """

    threads: int = 1
    gpus: int = 0
    uses_torch: bool = False
    device: str | None = None

    @classmethod
    def of(cls, trainer: Trainer) -> Needs:
        """What one training of this trainer needs: what it would have in this process."""
        if not trainer.uses_torch:
            return cls(threads=runtime.wanted_threads())
        asked, chosen = getattr(trainer, "device", None), runtime.setup()
        return cls(
            chosen.threads,
            gpus=int(asked != "cpu" and chosen.device.startswith("cuda")),
            uses_torch=True,
            device=asked if asked and asked.startswith("cuda:") else None,
        )


@dataclass(frozen=True)
class Task:
    """One training: one fold of one repeat (or the folds of a repeat, where a trainer solves them
    together), or the final model of one seed.

    Attributes:
        name: in words, each task's own.
        work: a function of a module, called as `work(shared, **own)`. Its result is picklable, or
            an iterator over what is.
        own: what this task alone is given.
    """

    name: str
    work: Callable[..., Any]
    own: dict[str, Any] = field(default_factory=dict)


Done = Callable[[Task, Any], None]
"""Takes a task and its result. It writes the result into the run, at once, in this process."""


@runtime_checkable
class Engine(Protocol):
    """Where tasks run.

    Attributes:
        name: for config.json.
    """

    name: str

    def run(self, tasks: Sequence[Task], shared: tuple[Any, ...], done: Done, needs: Needs) -> None:
        """Run every task, in any order.

        Args:
            tasks: none of which needs the result of another.
            shared: what all of them are given; moved once.
            done: called in this process with each task's result, the moment it is there. What was
                told to it is on disk, whatever happens to the others.
            needs: of each task.

        Raises:
            InputError: a task could not be done, as in this process; or was lost too often.
            KeyboardInterrupt: somebody asked to stop (`softfold.stopping`). Tasks that were
                told of are on disk, and the others are ended.
        """
        ...
