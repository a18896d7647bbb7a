"""Fine-tuning with fastai."""

from softfold.trainers.finetune.model import load
from softfold.trainers.finetune.trainer import FineTune, TrainingSettings

__all__ = ["FineTune", "TrainingSettings", "load"]
