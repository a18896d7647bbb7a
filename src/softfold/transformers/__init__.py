"""Soft labels in transformers: a Trainer whose loss takes probabilities.

Given labels float (N, K), a classifier of transformers trains K yes-or-no questions (multi-label,
`BCEWithLogitsLoss`) and does not say so. Both names here train one question with K answers.
"""

from softfold.errors import require

require("torch", extra="torch")
require("transformers", extra=None)

from softfold.transformers.trainer import SoftLabelTrainer, soft_cross_entropy  # noqa: E402

__all__ = ["SoftLabelTrainer", "soft_cross_entropy"]
