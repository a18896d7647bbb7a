"""Soft labels in PyTorch: datasets whose items bring their soft target, nets that are cross-fitted.

The loss for soft targets is PyTorch's own: `torch.nn.functional.cross_entropy` takes probabilities
(N, K) as well as class indices (N,).
"""

from softfold.errors import require

require("torch", extra="torch")

from softfold.torch.delivery import with_soft_targets  # noqa: E402
from softfold.torch.items import label_table  # noqa: E402
from softfold.torch.training import ModuleTrainer, TrainingLoop  # noqa: E402

__all__ = ["ModuleTrainer", "TrainingLoop", "label_table", "with_soft_targets"]
