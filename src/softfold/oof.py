"""Out-of-fold predictions: each row from a model that never saw that item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softfold.errors import InputError, require
from softfold.folds import FoldPlan


@dataclass(frozen=True)
class OutOfFold:
    """N x K probabilities with, for each row, the folds whose models made it.

    Attributes:
        item: (N,) item keys.
        probabilities: (N, K) float32, the mean over R repeats; rows sum to 1.
        fold: (N, R) int16, the fold that held the item out in each repeat.
        vocab: the K class names, in the order of the columns.
    """

    item: np.ndarray
    probabilities: np.ndarray
    fold: np.ndarray
    vocab: tuple[str, ...]

    def __post_init__(self) -> None:
        n, k = len(self.item), len(self.vocab)
        if self.probabilities.shape != (n, k):
            raise InputError(
                f"out-of-fold predictions of shape {self.probabilities.shape} for {n:,} items and "
                f"{k} classes: want ({n}, {k})"
            )
        if len(self.fold) != n or (self.fold < 0).any():
            raise InputError("out-of-fold predictions with rows that no fold held out")

    def __len__(self) -> int:
        return len(self.item)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.probabilities, dtype=dtype)

    def check(self, plan: FoldPlan) -> None:
        """Refuse predictions that the folds of `plan` did not make."""
        if not np.array_equal(self.item, plan.item) or not np.array_equal(self.fold, plan.fold):
            raise InputError(
                "these out-of-fold predictions are not of this fold plan: items or folds differ"
            )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: probabilities, fold, item keys, class names."""
        save_file = require("safetensors.numpy", extra="cli").save_file
        tensors = {
            "probabilities": np.ascontiguousarray(self.probabilities, dtype=np.float32),
            "fold": np.ascontiguousarray(self.fold, dtype=np.int16),
            "item": pack_keys(self.item),
        }
        save_file(tensors, str(path), metadata={"vocab": json.dumps(list(self.vocab))})

    @classmethod
    def load(cls, path: str | Path, plan: FoldPlan | None = None) -> OutOfFold:
        """Read what `save` wrote; with a plan, check that its folds made the rows."""
        safe_open = require("safetensors", extra="cli").safe_open
        with safe_open(str(path), framework="numpy") as file:
            out = cls(
                item=unpack_keys(file.get_tensor("item")),
                probabilities=file.get_tensor("probabilities"),
                fold=file.get_tensor("fold"),
                vocab=tuple(json.loads(file.metadata()["vocab"])),
            )
        if plan is not None:
            out.check(plan)
        return out


def pack_keys(item: np.ndarray) -> np.ndarray:
    """Item keys as one uint8 array, so that they fit beside tensors.

    >>> list(unpack_keys(pack_keys(np.array(["a.jpg", "é"], dtype=object))))
    ['a.jpg', 'é']
    """
    return np.frombuffer(json.dumps([str(k) for k in item]).encode(), dtype=np.uint8)


def unpack_keys(packed: np.ndarray) -> np.ndarray:
    """(N,) str objects out of what `pack_keys` made."""
    keys = json.loads(packed.tobytes())
    out = np.empty(len(keys), dtype=object)
    out[:] = keys
    return out
