"""Trainers: what turns items and targets into a model that predicts.

`protocol` says what a trainer and a model are. A new trainer is one file and one line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.trainers.function import FunctionTrainer
from softfold.trainers.protocol import (
    BaseModel,
    BaseTrainer,
    Model,
    Trainer,
    check_model,
    check_trainer,
)

__all__ = [
    "TRAINERS",
    "BaseModel",
    "BaseTrainer",
    "FunctionTrainer",
    "Model",
    "Trainer",
    "TrainerLike",
    "check_model",
    "create_trainer",
    "default_trainers",
    "load_model",
    "predict_frame",
    "takes",
]

TRAINERS = {
    "finetune": "softfold.trainers.finetune:FineTune",
    "probe": "softfold.trainers.probe:Probe",
    "estimator": "softfold.trainers.estimator:Estimator",
}

TrainerLike = str | Trainer | Any
"""A trainer, or what `create_trainer` makes one of: a name, a classifier, a function."""


def create_trainer(trainer: TrainerLike, **settings: Any) -> Trainer:
    """A trainer from its name, or from an object.

    Args:
        trainer: one of

            - a name in `TRAINERS`;
            - a `Trainer`, which comes back as it is;
            - a scikit-learn classifier or Pipeline, or another object with `fit` and
              `predict_proba`, which becomes an `Estimator`;
            - a function `(table, targets) -> predict`, which becomes a `FunctionTrainer`.
        settings: of a trainer given by name. Those it does not know are left out, and those that
            are None keep its defaults. Usual ones: arch, weights, size, epochs, batch_size, device.

    Raises:
        InputError: no such name, or an object that is none of these.
    """
    if isinstance(trainer, str):
        factory = _factory(trainer)
        known = inspect.signature(factory).parameters
        return factory(**{k: v for k, v in settings.items() if v is not None and k in known})
    if isinstance(trainer, (Trainer, type)):
        return check_trainer(trainer)
    if inspect.isroutine(trainer) or isinstance(trainer, partial) or _is_called(trainer):
        return FunctionTrainer(trainer)
    if callable(getattr(trainer, "fit", None)):
        from softfold.trainers.estimator import trainer_of

        wrapped = trainer_of(trainer)
        if wrapped is not None:
            return wrapped
    return check_trainer(trainer)


def _is_called(candidate: Any) -> bool:
    """Whether it is an object with `__call__` that is no estimator and no network of torch."""
    odd = hasattr(candidate, "fit") or hasattr(candidate, "state_dict")
    return callable(candidate) and not odd


def takes(name: str, setting: str) -> bool:
    """Whether the trainer of that name has a setting of that name."""
    return setting in inspect.signature(_factory(name)).parameters


def _factory(name: str) -> Any:
    if name not in TRAINERS:
        raise InputError(f"no trainer {name!r}: there are {', '.join(TRAINERS)}")
    module, attribute = TRAINERS[name].split(":")
    return getattr(import_module(module), attribute)


def default_trainers(
    table: LabelTable,
    trainer: str | None = None,
    *,
    own_features: bool = False,
    device: str | None = None,
) -> tuple[str, str, str]:
    """The final trainer, the out-of-fold trainer, and one line on why.

    Features that were given (`own_features`): the probe, whatever the items are. Images: the final
    models are fine-tuned on a GPU (`device`, the best there is where None) and probed where there
    is none; out-of-fold predictions come from the probe. Feature tables and texts: the estimator.
    """
    if own_features:
        oof = "estimator" if trainer == "estimator" else "probe"
        return trainer or "probe", oof, "features that were given"
    if table.kind == "labels":
        raise InputError(
            f"{table.name}: labels alone cannot be trained on; give images or features (--features)"
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

    if setup(device).device.startswith("cuda"):
        return "finetune", "probe", "a GPU is here: final models are fine-tuned"
    why = "--device cpu" if device == "cpu" else "there is no GPU"
    return "probe", "probe", f"{why}; --trainer finetune fine-tunes all the same"


def load_model(path: str | Path, meta: Mapping[str, Any]) -> Model:
    """The model that a trainer's `Model.save` wrote. meta: a run's config, with its `trainer`."""
    if meta["trainer"] not in TRAINERS:
        raise InputError(
            f"{path}: made by a trainer of your own, {meta['trainer']!r}; read it with your code"
        )
    module = TRAINERS[meta["trainer"]].split(":")[0]
    return import_module(module).load(path)


def predict_frame(model: Model, table: LabelTable) -> pd.DataFrame:
    """Predictions as a frame: item, predicted class, confidence, one column a class.

    Where items may have several labels: lists of the classes of at least one half, no confidence.

    The column of a class that is called as one of the others is `class item`, and so on.
    """
    probabilities, names = np.asarray(model.predict(table)), np.asarray(table.vocab)
    if table.multi_label:
        likely = [names[row].tolist() for row in probabilities >= 0.5]
        frame = pd.DataFrame({"item": table.item, "predicted": pd.Series(likely, dtype=object)})
    else:
        best = probabilities.argmax(1)
        frame = pd.DataFrame({"item": table.item, "predicted": names[best]})
        frame["confidence"] = probabilities[np.arange(len(best)), best]
    taken = {*frame.columns, "predicted_name"}
    columns = [f"class {name}" if name in taken else name for name in table.vocab]
    return frame.join(pd.DataFrame(probabilities, columns=columns))
