"""Trainers: what turns items and targets into a model that predicts.

A trainer has a `name`, `fit(table, targets, *, seed, holdout=None, noise=None)` that returns a
model, and `describe()`. It may have `prepare(table)` (what all fits share, such as features) and
`fit_folds(table, folds, targets, *, seed, noise=None)` (all folds solved together). A model has
`predict(table)`, `history` and `save(path)`. A new trainer is one file and one line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.table import LabelTable
from softfold.errors import InputError

TRAINERS = {
    "finetune": "softfold.trainers.finetune:FineTune",
    "probe": "softfold.trainers.probe:Probe",
    "estimator": "softfold.trainers.estimator:Estimator",
}

Trainer = Any
Model = Any


def create_trainer(name: str | Trainer, **settings: Any) -> Trainer:
    """The trainer of that name with the settings it knows; a trainer object comes back as it is.

    Settings that are None keep the trainer's defaults. Usual ones: arch, weights, size, epochs,
    batch_size, device.
    """
    if not isinstance(name, str):
        return name
    factory = _factory(name)
    known = inspect.signature(factory).parameters
    return factory(**{k: v for k, v in settings.items() if v is not None and k in known})


def takes(name: str, setting: str) -> bool:
    """Whether the trainer of that name has a setting of that name."""
    return setting in inspect.signature(_factory(name)).parameters


def _factory(name: str) -> Any:
    if name not in TRAINERS:
        raise InputError(f"no trainer {name!r}: there are {', '.join(TRAINERS)}")
    module, attribute = TRAINERS[name].split(":")
    return getattr(import_module(module), attribute)


def default_trainers(table: LabelTable, trainer: str | None = None) -> tuple[str, str, str]:
    """The final trainer, the out-of-fold trainer, and one line on why.

    Images: the final models are fine-tuned where there is a GPU and probed where there is none;
    out-of-fold predictions come from the probe. Feature tables and texts: the estimator.
    """
    if table.kind == "labels":
        raise InputError(
            f"{table.name}: labels alone cannot be trained on; give images or features"
        )
    if table.kind != "image":
        return trainer or "estimator", "estimator", f"{table.kind} items: scikit-learn"
    if trainer == "estimator":
        raise InputError(
            f"{table.name}: the estimator takes tables of features or texts; for images use "
            "--trainer probe or finetune"
        )
    if trainer is not None:
        return trainer, "probe", f"--trainer {trainer}"
    from softfold.machine.runtime import setup

    if setup().device.startswith("cuda"):
        return "finetune", "probe", "a GPU is here: final models are fine-tuned"
    return "probe", "probe", "there is no GPU; --trainer finetune fine-tunes all the same"


def load_model(path: Any, meta: Mapping[str, Any]) -> Model:
    """The model that a trainer's `Model.save` wrote."""
    module = TRAINERS[meta["trainer"]].split(":")[0]
    return import_module(module).load(path)


def predict_frame(model: Model, table: LabelTable) -> pd.DataFrame:
    """Predictions as a frame: item, predicted class, confidence, one column a class."""
    probabilities = np.asarray(model.predict(table))
    best = probabilities.argmax(1)
    frame = pd.DataFrame({"item": table.item, "predicted": np.asarray(table.vocab)[best]})
    frame["confidence"] = probabilities[np.arange(len(best)), best]
    return frame.join(pd.DataFrame(probabilities, columns=list(table.vocab)))
