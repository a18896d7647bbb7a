"""Out-of-fold predictions: each row from a model that never saw that item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softfold import markup
from softfold.align import KeyedMatrix
from softfold.arrays import row_blocks
from softfold.data.folds import FoldPlan
from softfold.errors import InputError, count_of
from softfold.files import told_if_damaged
from softfold.tensors import pack_keys, read_tensors, unpack_keys, write_tensors

_MULTI = {"multi_label": "true"}

SHOWN = 5
"""Rows that a notebook shows."""


@dataclass(frozen=True)
class OutOfFold:
    """N x K probabilities with, for each row, the folds whose models made it.

    Attributes:
        item: (N,) item keys.
        probabilities: (N, K) float32, the mean over R repeats; rows sum to 1.
        fold: (N, R) int16, the fold that held the item out in each repeat.
        vocab: the K class names, in the order of the columns.
        multi_label: the classes do not exclude each other: rows need not sum to 1.
    """

    item: np.ndarray
    probabilities: np.ndarray
    fold: np.ndarray
    vocab: tuple[str, ...]
    multi_label: bool = False

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

    def __repr__(self) -> str:
        return f"OutOfFold({self._about})"

    @property
    def _about(self) -> str:
        """Facts in one line; `fold` and `probabilities` have the rest."""
        (n, k), repeats = self.probabilities.shape, self.fold.shape[1]
        folds = int(self.fold.max()) + 1 if n else 0
        several = ", multi-label" if self.multi_label else ""
        return f"{n:,} items, {k:,} classes{several}, {folds} folds, {count_of(repeats, 'repeat')}"

    def _repr_html_(self) -> str:
        rows = [
            [key, ", ".join(map(str, fold)), markup.most_likely(np.asarray(p), self.vocab)]
            for key, fold, p in zip(self.item[:SHOWN], self.fold, self.probabilities)
        ]
        head = ["item", "predicted by fold", "likeliest classes"]
        return markup.table(f"out-of-fold predictions: {self._about}", head, rows)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.probabilities, dtype=dtype)

    def keyed(self) -> KeyedMatrix:
        """The probabilities with their keys and class names, as `softfold.align` reads them."""
        return KeyedMatrix(
            self.probabilities,
            self.item,
            self.vocab,
            "out-of-fold predictions",
            "an out-of-fold prediction",
        )

    def check(self, plan: FoldPlan) -> None:
        """Refuse predictions that the folds of `plan` did not make."""
        if not np.array_equal(self.item, plan.item) or not np.array_equal(self.fold, plan.fold):
            raise InputError(
                "these out-of-fold predictions are not of this fold plan: items or folds differ"
            )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: probabilities, fold, item keys, class names."""
        tensors: dict[str, np.ndarray] = {
            "probabilities": np.ascontiguousarray(self.probabilities, dtype=np.float32),
            "fold": np.ascontiguousarray(self.fold, dtype=np.int16),
            "item": pack_keys(self.item),
        }
        about = {"vocab": json.dumps(list(self.vocab))}
        write_tensors(path, tensors, metadata=about | _MULTI if self.multi_label else about)

    @classmethod
    def load(cls, path: str | Path, plan: FoldPlan | None = None) -> OutOfFold:
        """Read what `save` wrote; with a plan, check that its folds made the rows."""
        kept, about = read_tensors(path)
        with told_if_damaged(path):
            out = cls(
                item=unpack_keys(kept["item"]),
                probabilities=kept["probabilities"],
                fold=kept["fold"],
                vocab=tuple(json.loads(about["vocab"])),
                multi_label="multi_label" in about,
            )
        if plan is not None:
            out.check(plan)
        return out


def checked_fold(probabilities: Any, shape: tuple[int, int], trainer: str, fold: int) -> np.ndarray:
    """What a trainer predicted of a fold, as float32 (n, K) of that shape.

    Raises:
        InputError: it has another shape, or is not all numbers.
    """
    probabilities = np.asarray(probabilities, dtype=np.float32)
    if probabilities.shape != shape:
        raise InputError(
            f"the trainer {trainer!r} gave predictions of shape {probabilities.shape}; want {shape}"
        )
    if not all(np.isfinite(probabilities[rows]).all() for rows in row_blocks(*shape)):
        raise InputError(
            f"the trainer {trainer!r} gave predictions that are not numbers in fold {fold}: "
            "training diverged; lower its learning rate"
        )
    return probabilities
