"""Soft labels in Lightning: folds of a LightningModule by one call.

Datasets get their soft targets by `softfold.torch.with_soft_targets`, in a LightningDataModule or
in front of a Trainer. A `training_step` stays as it is where its loss takes probabilities, as
`torch.nn.functional.cross_entropy` does.
"""

from softfold.errors import require

require("torch", extra="torch")
require("lightning", extra=None)

from softfold.lightning.trainer import LightningTrainer  # noqa: E402

__all__ = ["LightningTrainer"]
