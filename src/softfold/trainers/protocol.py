"""What a trainer is and what a model is, and bases that hold the defaults.

A trainer of your own derives from `BaseTrainer` and writes `fit`; a model derives from `BaseModel`
and writes `predict`. `docs/own-trainer.md` shows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.large_arrays import scratch, taken

Progress = Callable[[int, int], None]
"""Called with (steps done, all steps)."""

Fold = tuple[np.ndarray, np.ndarray]
"""Rows to train on and rows to predict, both int64."""


@runtime_checkable
class Model(Protocol):
    """What a trainer's `fit` returns.

    Attributes:
        history: the learning curve, one row an epoch: `epoch`, and of `train_loss`, `valid_loss`,
            `accuracy`, `roc_auc` what is known. None where there is no curve.
    """

    history: pd.DataFrame | None

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K): row i of `table.item[i]`, columns as in `table.vocab`."""
        ...

    def save(self, path: str | Path) -> None:
        """Write the model to one file.

        Raises:
            InputError: models of this trainer cannot be written.
        """
        ...


@runtime_checkable
class Trainer(Protocol):
    """What turns items and targets into a model that predicts.

    Attributes:
        name: for messages, for config.json and for what is kept on disk.
        supports_noise: whether `fit` and `fit_folds` train through a transition matrix.
        solves_folds_together: whether `fit_folds` is given all folds of a repeat at once. Otherwise
            it gets them one by one, so that a fold that finished is on disk before the next begins.
        saves_models: whether `softfold.load` reads what the models' `save` wrote. Otherwise a run
            fits its model again.
        uses_torch: whether the machine is set up for torch before anything is trained.
        prepares: what `prepare` computes, in a word for people; None where it does nothing.
    """

    name: str
    supports_noise: bool
    solves_folds_together: bool
    saves_models: bool
    uses_torch: bool
    prepares: str | None

    def describe(self) -> dict[str, Any]:
        """Settings, as JSON holds them.

        They are written to config.json. Finished work is used again only where they are the same.
        """
        ...

    def prepare(self, table: LabelTable, progress: Progress | None = None) -> str | None:
        """Compute what all fits on these items share, such as features.

        Returns a line for people on what was chosen for them; a run keeps it in its notes.
        """
        ...

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> Model:
        """Train one model.

        Args:
            table: the n items to train on.
            targets: float32 (n, K), rows sum to 1, one-hot or soft; row i of `table.item[i]`. The
                model learns these and not `table.given`.
            seed: of all that is random.
            holdout: items to measure the learning curve on. They choose nothing.
            noise: (K, K) transition matrix T[truth, given] to train through (forward correction,
                Patrini et al. 2017). Given only where `supports_noise` is true.
        """
        ...

    def fit_folds(
        self,
        table: LabelTable,
        folds: Sequence[Fold],
        targets: np.ndarray,
        *,
        seed: int,
        noise: np.ndarray | None = None,
    ) -> Iterable[np.ndarray]:
        """Probabilities float32 (n, K) of each fold's second rows, from models of its first rows.

        Args are those of `fit`; `targets` has a row for every item of `table`.
        """
        ...

    def features(self, table: LabelTable) -> np.ndarray | None:
        """Features (N, D) by which near copies are found, row i of `table.item[i]`, or None."""
        ...

    def fitted_features(self, table: LabelTable) -> np.ndarray | None:
        """Features (N, D) as fits on these items use them, row i of `table.item[i]`, or None."""
        ...


class BaseModel:
    """Defaults of a model; `predict` is yours to write.

    sees_views: whether `predict` looks at images as their `view` says, as everything does that
        decodes them by `softfold.pixels.decoding`.
    """

    history: pd.DataFrame | None = None
    sees_views: bool = False

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K); see `Model`."""
        raise InputError(f"{type(self).__name__} has no predict: write one that gives (n, K)")

    def save(self, path: str | Path) -> None:
        """Say that this model cannot be written."""
        raise InputError(
            f"{path}: {type(self).__name__} has no save, so the model was not written; give it a "
            "save(path), or fit the model again"
        )


class BaseTrainer:
    """Defaults of a trainer; `fit` is yours to write.

    A class without a `name` is known by the name of the class, also one derived from such a class.

    >>> class Mean(BaseTrainer):
    ...     def __init__(self, weight: float = 1.0) -> None:
    ...         self.weight = weight
    >>> Mean().name, Mean().describe(), Mean().supports_noise
    ('Mean', {'weight': 1.0}, False)
    """

    name: str = "trainer"
    supports_noise: bool = False
    solves_folds_together: bool = False
    saves_models: bool = False
    uses_torch: bool = False
    prepares: str | None = None
    takes_labels: bool = False
    """Whether targets may be labels int64 (n,), which stand for one-hot rows."""
    multi_label: Literal["together", "one by one", "no"] = "one by one"
    """How it learns a multi-label table: all classes at once, from targets (n, K) that need not sum
    to 1, giving K independent probabilities; class by class, as questions of two classes; not."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        named = next(c for c in cls.__mro__ if "name" in vars(c))
        # a name that is a class's own is not that of the classes derived from it
        if named is not cls and cls.name in (BaseTrainer.name, named.__name__):
            cls.name = cls.__name__

    def describe(self) -> dict[str, Any]:
        """The attributes whose names have no `_` in front, as JSON holds them."""
        return {k: as_json(v) for k, v in sorted(vars(self).items()) if not k.startswith("_")}

    def prepare(self, table: LabelTable, progress: Progress | None = None) -> str | None:
        """Nothing: no work is shared."""
        return None

    def shards(self, table: LabelTable) -> Any:
        """What `prepare` computes of images, in parts that an engine's processes share
        (`softfold.vision.features.Shards`). None: there are no parts."""
        return None

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> Model:
        """A model trained on targets float32 (n, K); see `Trainer`."""
        raise InputError(f"the trainer {self.name!r} has no fit: write one that gives a model")

    def fit_folds(
        self,
        table: LabelTable,
        folds: Sequence[Fold],
        targets: np.ndarray,
        *,
        seed: int,
        noise: np.ndarray | None = None,
    ) -> Iterable[np.ndarray]:
        """A model a fold, one after the other; fold i has the seed `seed` + i."""
        through: dict[str, Any] = {} if noise is None else {"noise": noise}
        for i, (train, predict) in enumerate(folds):
            made = self.fit(table.take(train), taken(targets, train), seed=seed + i, **through)
            yield check_model(made, self).predict(table.take(predict))

    def features(self, table: LabelTable) -> np.ndarray | None:
        """None: there are no features."""
        return None

    def fitted_features(self, table: LabelTable) -> np.ndarray | None:
        """None: there are no features."""
        return None


def given_targets(trainer: Trainer, table: LabelTable) -> np.ndarray:
    """The given labels as targets: int64 (N,) for a trainer that takes them, else (N, K), on the
    disk where that is large.
    """
    if table.multi_label:
        return table.given.astype(np.float32)
    if getattr(trainer, "takes_labels", False):
        return table.given
    targets = scratch((len(table), table.n_classes))
    targets[np.arange(len(table)), table.given] = 1
    return targets


def check_trainer(candidate: Any) -> Trainer:
    """The object, where it is a whole trainer.

    Raises:
        InputError: it is something else; the line says what it lacks.
    """
    kind = type(candidate).__name__
    if isinstance(candidate, type):
        raise InputError(
            f"trainer is the class {candidate.__name__}: want an object, {candidate.__name__}(...)"
        )
    if isinstance(candidate, Trainer):
        return candidate
    if not callable(getattr(candidate, "fit", None)):
        raise InputError(
            f"trainer is a {kind} without fit: want the name of a trainer, a trainer, a "
            "scikit-learn classifier, or a function (table, targets) -> predict"
        )
    lacking = _lacking(candidate, Trainer)
    raise InputError(
        f"trainer is a {kind} that has fit and no {lacking[0]}: derive a trainer from "
        "softfold.trainers.BaseTrainer; a scikit-learn classifier needs predict_proba"
    )


def check_model(candidate: Any, trainer: Trainer | BaseTrainer) -> Model:
    """What `fit` returned, where it is a whole model.

    Raises:
        InputError: it is something else; the line names the trainer and what is lacking.
    """
    if isinstance(candidate, Model):
        return candidate
    raise InputError(
        f"the fit of trainer {trainer.name!r} gave a {type(candidate).__name__}, which has no "
        f"{_lacking(candidate, Model)[0]}: derive the model from softfold.trainers.BaseModel"
    )


_MEMBERS: dict[Any, tuple[str, ...]] = {
    Model: ("predict", "history", "save"),
    Trainer: (
        "name",
        "describe",
        "prepare",
        "fit_folds",
        "supports_noise",
        "solves_folds_together",
        "saves_models",
        "uses_torch",
        "prepares",
        "features",
        "fitted_features",
    ),
}
"""Members of the protocols, in the order in which a lack of them is named."""


def _lacking(candidate: Any, protocol: Any) -> list[str]:
    return [name for name in _MEMBERS[protocol] if not hasattr(candidate, name)]


_PLAIN = (str, int, float, bool, type(None))


def as_json(value: Any) -> Any:
    """A setting as JSON holds it; arrays by a hash of their content, other objects by their type.

    >>> as_json((1, "a")), as_json(np.float32(0.5)), as_json(len)
    ([1, 'a'], 0.5, 'builtins.builtin_function_or_method')
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [as_json(v) for v in value]
    if isinstance(value, dict):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()[:16]
        return f"array {value.shape} {value.dtype} {content}"
    return f"{type(value).__module__}.{type(value).__qualname__}"
