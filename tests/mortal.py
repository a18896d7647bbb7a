"""A trainer that other processes can import, whose process is killed once."""

import os
import signal
from pathlib import Path

import numpy as np

from softfold.trainers import BaseModel, BaseTrainer


class Mean(BaseModel):
    def __init__(self, mean):
        self.mean = mean

    def predict(self, table):
        return np.tile(self.mean, (len(table), 1))


class Mortal(BaseTrainer):
    """Predicts the mean target. The first fit of all kills its process; the file `mark` tells."""

    def __init__(self, mark):
        self.mark = mark

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        if not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Mean(np.asarray(targets).mean(axis=0))
