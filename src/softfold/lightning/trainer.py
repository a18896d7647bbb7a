"""A LightningModule as trainer: every fold by a Trainer of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.torch.items import training_set
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


class LightningTrainer(BaseTrainer):
    """A trainer out of what makes a LightningModule, for `softfold.cross_fit`.

    The module's `training_step` gets batches whose last element (or "labels") holds targets float32
    (n, K) in place of class indices. Its `forward` gives logits (n, K) of the inputs.

    Args:
        make_module: called without arguments, gives a fresh module: its class or a function.
        batch_size: items a step.
        collate_fn: what makes a batch out of items, as in torch's DataLoader.
        workers: processes that read items.
        settings: of `lightning.Trainer`, such as max_epochs, accelerator, devices. Logger,
            checkpoints and bars are off unless they are set here.

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
        **settings: Any,
    ) -> None:
        if isinstance(make_module, LightningModule) or not callable(make_module):
            raise InputError(
                f"make_module is a {type(make_module).__name__}: want a function or class that "
                "makes a LightningModule, since every fold begins with fresh weights"
            )
        self.make_module, self.batch_size, self.settings = make_module, batch_size, settings
        self.collate_fn, self.workers = collate_fn, workers
        self.name = getattr(make_module, "__name__", type(make_module).__name__)

    def describe(self) -> dict[str, Any]:
        """The settings, and a hash of what makes the module."""
        made = {"module": self.name, "code": code_hash(self.make_module)}
        return made | {"batch_size": self.batch_size, "settings": as_json(self.settings)}

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
            loader = DataLoader(
                training_set(table, targets),
                self.batch_size,
                shuffle=True,
                collate_fn=self.collate_fn,
                num_workers=self.workers,
            )
            Trainer(**(_QUIET | self.settings)).fit(module, loader)
        return TorchModel(module, self)
