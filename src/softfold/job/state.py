"""A job: all that is chosen before anything is written. Steps read it and change nothing in it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.data.folds import FoldPlan, plan_folds
from softfold.data.table import LabelTable
from softfold.progress import Progress
from softfold.runs.settings import Settings
from softfold.runs.writing import RunWriter
from softfold.trainers import Trainer


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
        reopened: the items come from the run, not from where its settings say.
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
    reopened: bool = False

    @cached_property
    def train(self) -> LabelTable:
        """The N training items."""
        return self.table.train

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

    def write_config(self, *more_notes: str) -> None:
        """Write config.json: what runs, and all that is needed to run it again."""
        self.writer.config(
            {
                "settings": self.settings.to_json(),
                "recipe": self.settings.recipe,
                "name": self.table.name,
                "kind": self.table.kind,
                "trainer": self.trainer.name,
                "trainer_settings": self.trainer.describe(),
                "oof_trainer": self.oof_trainer.name,
                "oof_trainer_settings": self.oof_trainer.describe(),
                "seeds": [self.seed(s) for s in range(self.settings.seeds)],
                "notes": [*self.notes, *more_notes],
                "versions": versions(),
                "machine": f"{platform.system()} {platform.machine()}, Python "
                f"{platform.python_version()}",
            }
        )


def versions() -> dict[str, str]:
    """Versions of softfold and of what the figures depend on."""
    from softfold import __version__

    found = {"softfold": __version__}
    for package in ("numpy", "pandas", "torch", "fastai", "timm", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
