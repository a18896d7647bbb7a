"""Features of images by all that an engine has, before a trainer asks for them."""

from __future__ import annotations

from typing import Any

from softfold.crossfit.engines import Engine, Needs, Task
from softfold.data.table import LabelTable
from softfold.progress import Advance
from softfold.stopping import stop_here
from softfold.trainers import BaseTrainer, Trainer

SHARD = 1024
"""Images of a task: enough that loading a network does not count, and a few megabytes back."""


def shard_features(
    trainer: Trainer, table: LabelTable, engine: Engine, advance: Advance | None = None
) -> None:
    """Fill the cache with the features that `trainer.prepare` will look for, a task a shard.

    Does nothing for a trainer without features of images, and where one process does all tasks.
    Shards that are finished are kept. What a node has no files of is left for `prepare`.
    """
    shards = trainer.shards(table) if isinstance(trainer, BaseTrainer) else None
    if shards is None or getattr(engine, "workers", 2) < 2:
        return
    parts = {f"features {i}": part for i, part in enumerate(shards.parts(SHARD))}
    done = 0

    def keep(task: Task, made: Any) -> None:
        nonlocal done
        shards.keep(parts[task.name], made)
        done += 1
        if advance is not None:
            advance(done, len(parts))
        stop_here()

    tasks = [Task(name, _compute, {"part": part}) for name, part in parts.items()]
    if tasks:
        engine.run(tasks, ((shards,),), keep, Needs.of(trainer))


def _compute(shared: Any, part: Any) -> Any:
    ((shards,),) = shared
    return shards.compute(part)
