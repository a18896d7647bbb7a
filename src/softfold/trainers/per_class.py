"""Several labels an item: any trainer asked class by class whether items have it.

Known as binary relevance. The features of items are computed once; of the probe, so is the solver's
view of them, while every class has a strength of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.trainers.protocol import BaseModel, BaseTrainer, Fold, Progress, Trainer, check_model

LEAST = 0.01
"""Where no target of a class is further from 0, or from 1, there is nothing to learn of it."""


def for_multi_label(trainer: Trainer) -> Trainer:
    """The trainer as it learns a multi-label table.

    Raises:
        InputError: it cannot.
    """
    how = getattr(trainer, "multi_label", BaseTrainer.multi_label)
    if how == "no":
        raise InputError(
            f"the trainer {trainer.name!r} learns one label an item; for several use probe, "
            "estimator, a function or softfold.torch (docs/multilabel.md)"
        )
    return trainer if how == "together" else PerClass(trainer)


def refuse_noise(table: LabelTable) -> None:
    """Raises InputError where a model of several labels an item is asked to train through a T."""
    if table.multi_label:
        raise InputError(
            f"{table.name}: noise= is a transition matrix between classes that exclude each other, "
            "and items of this table have several; noise_aware_cross_fit trains class by class"
        )


class PerClass(BaseTrainer):
    """A trainer of several labels an item out of one of one label an item.

    Args:
        trainer: learns each class from targets (n, 2): not having it, having it. Where it has
            `of_classes(models, vocab)`, that makes one model of the K, which is kept if it is.
    """

    name = "per_class"
    multi_label = "together"

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.name = trainer, trainer.name
        self.solves_folds_together = trainer.solves_folds_together
        self.uses_torch, self.prepares = trainer.uses_torch, trainer.prepares
        self._of_classes = getattr(trainer, "of_classes", None)
        self.saves_models = trainer.saves_models and self._of_classes is not None

    def describe(self) -> dict[str, Any]:
        """The settings of the trainer inside."""
        return {"classes": "one by one", **self.trainer.describe()}

    def prepare(self, table: LabelTable, progress: Progress | None = None) -> str | None:
        """What classes share, such as features; the question is that of the class learned first."""
        first = most_even_first(np.asarray(table.given, dtype=float))[0]
        return self.trainer.prepare(_question(table, first), progress)

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> Any:
        """A model a class, of targets float32 (n, K) that need not sum to 1."""
        models: list[Any] = [None] * table.n_classes
        for k in most_even_first(targets):
            has = np.asarray(targets[:, k])
            if is_known(has):
                models[k] = _share(has)
                continue
            made = self.trainer.fit(_question(table, k), _two(has), seed=seed)
            models[k] = check_model(made, self.trainer)
        if self._of_classes is not None:
            return self._of_classes(models, table.vocab)
        return PerClassModel(models)

    def fit_folds(
        self,
        table: LabelTable,
        folds: Sequence[Fold],
        targets: np.ndarray,
        *,
        seed: int,
        noise: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """Probabilities float32 (n, K) of each fold's second rows."""
        made = [np.empty((len(predict), table.n_classes), np.float32) for _, predict in folds]
        for k in most_even_first(targets):
            has = np.asarray(targets[:, k])
            open_ones = []
            for f, (train, _) in enumerate(folds):
                if is_known(has[train]):
                    made[f][:, k] = _share(has[train])
                else:
                    open_ones.append(f)
            if open_ones:
                some = [folds[f] for f in open_ones]
                found = self.trainer.fit_folds(_question(table, k), some, _two(has), seed=seed)
                for f, probabilities in zip(open_ones, found, strict=True):
                    made[f][:, k] = probabilities[:, 1]
        return made

    def features(self, table: LabelTable) -> np.ndarray | None:
        """Those of the trainer inside."""
        return self.trainer.features(table)

    def fitted_features(self, table: LabelTable) -> np.ndarray | None:
        """Those of the trainer inside."""
        return self.trainer.fitted_features(table)


class PerClassModel(BaseModel):
    """A model a class; a number where there was nothing to learn of it."""

    def __init__(self, models: Sequence[Any]) -> None:
        self.models = list(models)

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), column k of having class k."""
        made = np.empty((len(table), len(self.models)), np.float32)
        for k, model in enumerate(self.models):
            known = isinstance(model, float)
            made[:, k] = model if known else model.predict(_question(table, k))[:, 1]
        return made


def most_even_first(targets: np.ndarray) -> list[int]:
    """Classes, the one that nearest to half of the items have first.

    What a trainer chooses once for all classes (the probe: whether stages of the backbone help) is
    so chosen where most is known.

    >>> most_even_first(np.array([[0, 1, 1], [0, 0, 1], [1, 0, 1]], dtype=float))
    [0, 1, 2]
    """
    return np.argsort(np.abs(np.mean(targets, axis=0) - 0.5), kind="stable").tolist()


def _question(table: LabelTable, k: int) -> LabelTable:
    return table.of_class(table.vocab[k])  # type: ignore[attr-defined]


def _two(has: np.ndarray) -> np.ndarray:
    return np.stack([1 - has, has], axis=1).astype(np.float32)


def is_known(has: np.ndarray) -> bool:
    """Whether targets (n,) of a class leave nothing to learn: nobody has it, or all do."""
    return bool(has.max() < LEAST or has.min() > 1 - LEAST)


def _share(has: np.ndarray) -> float:
    """The class's share, half an item added to either side."""
    return float((has.sum() + 0.5) / (len(has) + 1))
