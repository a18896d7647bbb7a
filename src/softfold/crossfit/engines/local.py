"""The local engine: folds one after the other in this process, or all solved together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from softfold.data.table import LabelTable
from softfold.trainers import Trainer


@dataclass(frozen=True)
class Task:
    """One fold of one repeat: rows to train on, rows to predict, and the seed of its model."""

    repeat: int
    fold: int
    train: np.ndarray
    predict: np.ndarray
    seed: int


def run(
    trainer: Trainer,
    table: LabelTable,
    tasks: Sequence[Task],
    targets: np.ndarray,
    noise: np.ndarray | None,
    done: Callable[[Task, np.ndarray], None],
) -> None:
    """Train and predict every task; `done` takes each one's (n, K) float32 predictions."""
    extra = {} if noise is None else {"noise": noise}
    if hasattr(trainer, "fit_folds"):
        for repeat in sorted({t.repeat for t in tasks}):
            together = [t for t in tasks if t.repeat == repeat]
            folds = [(t.train, t.predict) for t in together]
            seed = together[0].seed
            made = trainer.fit_folds(table, folds, targets, seed=seed, **extra)
            for task, probabilities in zip(together, made, strict=True):
                done(task, probabilities)
        return
    for task in tasks:
        model = trainer.fit(table.take(task.train), targets[task.train], seed=task.seed, **extra)
        done(task, model.predict(table.take(task.predict)))
