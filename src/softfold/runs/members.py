"""The fold models that a run keeps beside its soft model, to predict with their mean."""

from __future__ import annotations

from typing import Any

from softfold.errors import InputError
from softfold.runs.folder import Run
from softfold.trainers.protocol import Model

LABELS = ("given", "soft")
"""What fold models are trained on: given labels and soft labels."""

MODELS = ("all", *LABELS, "single")
"""Which models of a run predict: all fold models, those trained on given or on soft labels, or
the one soft model that was trained on all items."""


TITLES = {"given": "given labels", "soft": "soft labels", "both": "mean of both"}


def member(labels: str, fold: int) -> str:
    """The file of a fold model, trained without that fold, in the run folder.

    >>> member("soft", 0)
    'members/soft-fold-0.safetensors'
    """
    return f"members/{labels}-fold-{fold}.safetensors"


def chosen_models(run: Run, models: str | None) -> str:
    """Which models predict; where nobody says, all fold models of a run that keeps them.

    Raises:
        InputError: no such choice, or the run keeps no fold models.
    """
    keeps = run.settings.ensemble
    if models is None:
        return "all" if keeps else "single"
    if models not in MODELS:
        raise InputError(f"--models {models}: there are {', '.join(MODELS)}")
    if models != "single" and not keeps:
        raise InputError(
            f"--models {models}: {run.path} keeps no fold models; softfold run --ensemble does"
        )
    return models


def load_members(run: Run, models: str, config: dict[str, Any]) -> Model:
    """The mean of a run's fold models: "all" of them, or those of "given" or "soft" labels.

    Raises:
        InputError: one is not there yet; `Damaged` where one is not what was written.
    """
    from softfold.trainers import load_model
    from softfold.trainers.ensemble import Ensemble

    parts = LABELS if models == "all" else (models,)
    names = [member(labels, fold) for labels in parts for fold in range(run.settings.folds)]
    return Ensemble([load_model(run.file(name), config) for name in names])


def title_of(name: str, metrics: dict[str, Any]) -> str:
    """A name in `ensemble` of metrics.json for people.

    >>> title_of("both_folds_views", {"folds": 5, "tta": 8})
    'mean of both, 5 folds, 8 views'
    """
    labels, *more = name.split("_")
    words = {"folds": f"{metrics.get('folds')} folds", "views": f"{metrics.get('tta')} views"}
    return ", ".join([TITLES[labels], *(words[part] for part in more)])
