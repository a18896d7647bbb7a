"""A LightningModule as trainer: every fold by a Trainer of its own."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from softfold.data.folds import draw_folds
from softfold.data.grouping import copies_of, merge_groups
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.torch.items import training_set, validation_set
from softfold.torch.training import TorchModel, seeded
from softfold.trainers.function import code_hash
from softfold.trainers.protocol import BaseTrainer, as_json

_QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
"""Settings of a fold's Trainer, unless others are given: a fold leaves no files."""

_UNKNOWN_METRIC = re.compile("conditioned on metric|could not find the monitored key")
"""What Lightning says where a callback or a schedule monitors what nobody logged."""


class LightningTrainer(BaseTrainer):
    """A trainer out of what makes a LightningModule, for `softfold.cross_fit`.

    The module's `training_step` gets batches whose last element (or "labels") holds targets float32
    (n, K) in place of class indices. Its `forward` gives logits (n, K) of the inputs.

    Args:
        make_module: called without arguments, gives a fresh module: its class or a function.
        batch_size: items a step.
        collate_fn: what makes a batch out of items, as in torch's DataLoader.
        workers: processes that read items.
        valid_share: about what share of a fold's training items is kept from training and goes to
            the module's `validation_step`, with class indices: what monitors `val_loss` needs it.
            By itself none, and nothing is validated.
        settings: of `lightning.Trainer`, such as max_epochs, accelerator, devices. Logger,
            checkpoints and bars are off unless they are set here. Every fold gets copies of its
            own, also of callbacks and loggers; a ModelCheckpoint with a `dirpath` writes to the
            next free folder `fit-1`, `fit-2`, ... there.

    The items are those of `softfold.torch.label_table`, or the rows of a numeric array (N, ...).
    """

    uses_torch = True
    multi_label = "no"

    def __init__(
        self,
        make_module: Callable[[], LightningModule],
        *,
        batch_size: int = 64,
        collate_fn: Callable[[list], Any] | None = None,
        workers: int = 0,
        valid_share: float = 0.0,
        **settings: Any,
    ) -> None:
        if isinstance(make_module, LightningModule) or not callable(make_module):
            raise InputError(
                f"make_module is a {type(make_module).__name__}: want a function or class that "
                "makes a LightningModule, since every fold begins with fresh weights"
            )
        if not 0 <= valid_share <= 0.5:
            raise InputError(f"valid_share is {valid_share}: want a share of 0 to 0.5")
        self.make_module, self.batch_size, self.settings = make_module, batch_size, settings
        self.collate_fn, self.workers, self.valid_share = collate_fn, workers, valid_share
        self.name = getattr(make_module, "__name__", type(make_module).__name__)

    def describe(self) -> dict[str, Any]:
        """The settings, and a hash of what makes the module."""
        made: dict[str, Any] = {"module": self.name, "code": code_hash(self.make_module)}
        made |= {"batch_size": self.batch_size, "settings": as_json(self.settings)}
        return made | ({"valid_share": self.valid_share} if self.valid_share else {})

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> TorchModel:
        """A module trained on targets float32 (n, K)."""
        with seeded(seed):
            module = self.make_module()
            trainer = Trainer(**(_QUIET | _of_this_fit(self.settings)))
            with _metrics_explained():
                trainer.fit(module, **self._loaders(table, targets, seed))
        return TorchModel(module, self)

    def _loaders(self, table: LabelTable, targets: np.ndarray, seed: int) -> dict[str, Any]:
        """The loader of training items, and that of validation items where there are any."""
        if not self.valid_share:
            return {"train_dataloaders": self._loader(training_set(table, targets), shuffle=True)}
        valid = self._validated(table, seed)
        train, held = np.flatnonzero(~valid), np.flatnonzero(valid)
        part = training_set(table.take(train), targets[train])
        return {
            "train_dataloaders": self._loader(part, shuffle=True),
            "val_dataloaders": self._loader(validation_set(table.take(held), targets[held])),
        }

    def _loader(self, dataset: Any, shuffle: bool = False) -> DataLoader:
        how: dict[str, Any] = {"collate_fn": self.collate_fn, "num_workers": self.workers}
        return DataLoader(dataset, self.batch_size, shuffle=shuffle, **how)

    def _validated(self, table: LabelTable, seed: int) -> np.ndarray:
        """(n,) bool, the items to validate on: each class alike, groups and copies on one side."""
        group = merge_groups(table.group, copies_of(table), n=len(table))
        parts = round(1 / self.valid_share)
        return draw_folds(table.given, group, parts, np.random.default_rng([seed, 6151])) == 0


def _of_this_fit(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with callbacks and loggers of their own: those of Lightning keep what they saw."""
    own = {}
    for name, value in settings.items():
        try:
            own[name] = copy.deepcopy(value)
        except TypeError as error:
            raise InputError(
                f"{name}= holds what cannot be copied, and every fold needs its own ({error})"
            ) from None
    callbacks = own.get("callbacks") or []
    for callback in callbacks if isinstance(callbacks, list) else [callbacks]:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is not None:
            callback.dirpath = str(_new_folder(Path(callback.dirpath)))
    return own


def _new_folder(parent: Path) -> Path:
    """The next free `fit-1`, `fit-2`, ..., made here: folds may run side by side."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / f"fit-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


@contextmanager
def _metrics_explained() -> Iterator[None]:
    """A metric that nobody logged is an `InputError` that says what folds lack."""
    try:
        yield
    except Exception as error:
        if not _UNKNOWN_METRIC.search(str(error)):
            raise
        raise InputError(
            f"{error} (folds validate nothing by themselves: LightningTrainer(..., "
            "valid_share=0.1), or monitor a metric of training)"
        ) from error
