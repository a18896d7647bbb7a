"""Soft labels in fastai: a callback for a Learner, a block for a DataBlock, losses and metrics."""

from softfold.errors import require

require("fastai", extra="fastai")

from softfold.fastai.block import SoftCategoryBlock  # noqa: E402
from softfold.fastai.callback import SoftLabelCallback  # noqa: E402
from softfold.fastai.loss import ForwardCrossEntropy, SoftCrossEntropy  # noqa: E402
from softfold.fastai.metrics import (  # noqa: E402
    RocAuc,
    accuracy,
    error_rate,
    soft_metric,
    top_k_accuracy,
)

__all__ = [
    "ForwardCrossEntropy",
    "RocAuc",
    "SoftCategoryBlock",
    "SoftCrossEntropy",
    "SoftLabelCallback",
    "accuracy",
    "error_rate",
    "soft_metric",
    "top_k_accuracy",
]
