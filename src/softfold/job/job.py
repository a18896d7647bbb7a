"""A job: all that is chosen before anything is written. Steps read it and change nothing in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.crossfit.engines import Engine, get_engine
from softfold.data.folds import FoldPlan, plan_folds
from softfold.data.item_features import ItemFeatures
from softfold.data.table import LabelTable
from softfold.job.config import config_of
from softfold.progress import Progress
from softfold.runs.settings import Settings
from softfold.runs.writing import RunWriter
from softfold.trainers import Trainer


def engine_for(settings: Settings) -> Engine:
    """Where the trainings of a job with these settings run."""
    return get_engine(settings.engine, workers=settings.workers, ray_address=settings.ray_address)


@dataclass(frozen=True)
class Job:
    """A job, ready for its steps.

    Attributes:
        settings: as they were asked for.
        table: the items to work on: decisions applied, the hold-out drawn.
        groups: (N,) training items with the same number share a fold; None where none must.
        decisions: what people decided, one row an item, or None.
        trainer: trains the final models.
        oof_trainer: makes the out-of-fold predictions.
        notes: what a reader of the figures must know, one line each.
        writer: writes the run folder.
        progress: tells what happens, and keeps the seconds.
        features: what the settings' features are of these items, in their order, or None.
        reopened: the items come from the run, not from where its settings say.
        found: notes that steps add (`note`), such as near copies and the classifier chosen.
        prepared: trainers that have what all of their fits share.
    """

    settings: Settings
    table: LabelTable
    groups: np.ndarray | None
    decisions: pd.DataFrame | None
    trainer: Trainer
    oof_trainer: Trainer
    notes: tuple[str, ...]
    writer: RunWriter
    progress: Progress
    features: ItemFeatures | None = None
    reopened: bool = False
    found: list[str] = field(default_factory=list)
    prepared: list[Trainer] = field(default_factory=list)

    @cached_property
    def train(self) -> LabelTable:
        """The N training items."""
        return self.table.train

    @cached_property
    def engine(self) -> Engine:
        """Where its trainings run."""
        return engine_for(self.settings)

    def seed(self, s: int) -> int:
        """The number of the s-th seed."""
        return self.settings.seed + s

    def folder(self, s: int) -> Path:
        """Where the s-th seed keeps what it finished."""
        return self.writer.path / "seeds" / str(self.seed(s))

    @property
    def fits(self) -> Path:
        """Where the fits of all seeds are kept."""
        return self.writer.path / "seeds" / "fits"

    @property
    def model_file(self) -> Path | None:
        """Where the first seed's soft model goes; scikit-learn's are not kept."""
        return self.writer.path / "model.safetensors" if self.trainer.saves_models else None

    def plan(self, s: int) -> FoldPlan:
        """The folds of the s-th seed."""
        return plan_folds(
            self.train,
            self.settings.folds,
            repeats=self.settings.repeats,
            seed=self.seed(s),
            groups=self.groups,
        )

    def note(self, *lines: str) -> list[str]:
        """Say what steps found out and keep it beside the notes; gives the lines that are new."""
        fresh = [line for line in lines if line not in (*self.notes, *self.found)]
        for line in fresh:
            self.progress.say(line)
        self.found.extend(fresh)
        if fresh:
            self.write_config()
        return fresh

    def write_config(self) -> None:
        """Write config.json: what runs, and all that is needed to run it again."""
        self.writer.config(config_of(self))
