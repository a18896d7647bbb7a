"""Fine-tuning with fastai."""

from softfold.trainers.finetune.model import load
from softfold.trainers.finetune.trainer import FineTune, Recipe

__all__ = ["FineTune", "Recipe", "load"]
