"""Finished folds on disk, so that a cross-fit that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softfold.arrays import target_blocks
from softfold.errors import require
from softfold.stopping import stop_here
from softfold.tensors import read_tensors_of, write_tensors


@dataclass(frozen=True)
class FoldTask:
    """One fold of one repeat: rows to train on, rows to predict, and the seed of its model."""

    repeat: int
    fold: int
    train: np.ndarray
    predict: np.ndarray
    seed: int


class FoldStore:
    """Finished folds on disk, one safetensors file each, tied to what they were made from."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        require("safetensors", extra="cli")
        self.folder, self.fingerprint = folder, fingerprint
        folder.mkdir(parents=True, exist_ok=True)

    def _file(self, task: FoldTask) -> Path:
        return self.folder / f"repeat-{task.repeat}-fold-{task.fold}.safetensors"

    def save(self, task: FoldTask, probabilities: np.ndarray) -> None:
        tensors: dict[str, np.ndarray] = {
            "rows": task.predict.astype(np.int64),
            "probabilities": np.ascontiguousarray(probabilities, dtype=np.float32),
        }
        write_tensors(self._file(task), tensors, fingerprint=self.fingerprint)
        stop_here()

    def load(self, task: FoldTask) -> np.ndarray | None:
        """The fold's predictions, None where it is not there or was made from something else."""
        kept = read_tensors_of(self._file(task), self.fingerprint)
        if kept is None or not np.array_equal(kept["rows"], task.predict):
            return None
        return kept["probabilities"]


def fold_fingerprint(table, trainer, plan, targets, noise, seed) -> str:
    """A hash of everything that the folds' predictions follow from."""
    digest = hashlib.sha256(f"{plan.fingerprint} {table.fingerprint} {seed}".encode())
    digest.update(trainer.name.encode())
    digest.update(json.dumps(trainer.describe(), sort_keys=True, default=str).encode())
    for block in target_blocks(targets, table.n_classes):
        digest.update(block.data)
    if noise is not None:
        digest.update(np.ascontiguousarray(noise, dtype=np.float64).data)
    return digest.hexdigest()
