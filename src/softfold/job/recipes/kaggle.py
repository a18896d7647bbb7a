"""The protocol of the first place of Kaggle's Plant Pathology 2020, whole, on images.

Five models, each blind to one fold; soft labels of 0.7 given and 0.3 predicted probabilities; five
models on the soft labels of the same folds; every prediction averaged over eight views of the
image, over the five models of a kind, and over both kinds. The run keeps all ten models, and
`softfold.load(run)` predicts with them. Measured on the hold-out beside the single models.

Every step is an option of any run: `--strategy blend`, `--ensemble`, `--tta`.
"""

from __future__ import annotations

from typing import Any

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.job.steps import every_step
from softfold.job.trainers import Trainers, make_trainers
from softfold.runs.settings import Settings
from softfold.trainers import default_trainers

SETTINGS: dict[str, Any] = {
    "folds": 5,
    "strategy": "blend",
    "given_weight": 0.7,
    "ensemble": True,
    "tta": 8,
}


def choose_trainers(table: LabelTable, settings: Settings) -> Trainers:
    """One trainer for all models, fine-tuning where there is a GPU; another for the out-of-fold
    predictions only where that was asked for."""
    if table.kind != "image":
        raise InputError(
            f"{table.name}: the recipe kaggle is for images; --ensemble --strategy blend does the "
            "same without views"
        )
    name, _, why = default_trainers(table, settings.trainer, device=settings.device)
    return make_trainers(settings, name, settings.oof_trainer or name, f"--recipe kaggle; {why}")


finish = every_step
"""The steps of every run; the figures of the averages are under `ensemble` of the metrics."""

summary = None
"""Printed is what every run prints."""
