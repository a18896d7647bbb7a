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
    groups = [[task] for task in tasks]
    if trainer.solves_folds_together:
        repeats = sorted({t.repeat for t in tasks})
        groups = [[t for t in tasks if t.repeat == repeat] for repeat in repeats]
    for group in groups:
        folds = [(t.train, t.predict) for t in group]
        made = trainer.fit_folds(table, folds, targets, seed=group[0].seed, noise=noise)
        for task, probabilities in zip(group, made, strict=True):
            done(task, probabilities)
