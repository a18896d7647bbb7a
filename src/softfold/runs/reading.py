"""A run folder as a person will look at it: whatever the run holds, read only when needed.

A run may be young: `crossfit` alone leaves no hold-out, no metrics and no soft labels. What is
absent reads as None or an empty dict here, and whoever shows it leaves that part out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.errors import InputError
from softfold.files import memory_map


@dataclass(frozen=True)
class RunData:
    """What a run folder holds. Rows of `train` are the rows of `probabilities` and `targets`."""

    path: Path

    def __post_init__(self) -> None:
        if not (self.path / "items.parquet").is_file():
            raise InputError(f"{self.path}: no items.parquet there, so it is not a run folder")

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        return json.loads(file.read_text()) if file.is_file() else {}

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row an item, with `given`, `suggested`, `predicted` and `truth` as class names."""
        frame = pd.read_parquet(self.path / "items.parquet")
        for column in ("given", "predicted", "suggested", "truth"):
            if column in frame and pd.api.types.is_numeric_dtype(frame[column]):
                frame[column] = self._names(frame[column])
        frame["item"] = frame["item"].astype(str)
        return frame

    def _names(self, codes: pd.Series) -> np.ndarray:
        names = np.array([*self.vocab, None], dtype=object)
        whole = codes.fillna(-1).astype(np.int64).to_numpy()
        return names[np.where((whole >= 0) & (whole < len(self.vocab)), whole, len(self.vocab))]

    @cached_property
    def train_rows(self) -> np.ndarray:
        """(N,) rows of `items` that are training items."""
        if "split" not in self.items:
            return np.arange(len(self.items))
        return np.flatnonzero((self.items["split"] == "train").to_numpy())

    @cached_property
    def train(self) -> pd.DataFrame:
        """The training items, in the order of the out-of-fold predictions."""
        return self.items.iloc[self.train_rows].reset_index(drop=True)

    @cached_property
    def vocab(self) -> tuple[str, ...]:
        file = self.path / "vocab.json"
        if not file.is_file():
            raise InputError(f"{self.path}: no vocab.json there, so the classes have no names")
        return tuple(str(name) for name in json.loads(file.read_text()))

    @cached_property
    def config(self) -> dict[str, Any]:
        return self._json("config.json")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return self._json("metrics.json")

    @cached_property
    def noise(self) -> dict[str, Any]:
        return self._json("noise.json")

    @cached_property
    def transition(self) -> np.ndarray | None:
        """(K, K) T[truth, given], or None where no noise model was made."""
        matrix = self.noise.get("transition")
        return None if matrix is None else np.asarray(matrix, dtype=np.float64)

    @cached_property
    def history(self) -> pd.DataFrame | None:
        file = self.path / "history.parquet"
        frame = pd.read_parquet(file) if file.is_file() else None
        return frame if frame is not None and len(frame) else None

    def _matrix(self, file: str, name: str) -> np.ndarray | None:
        path = self.path / file
        if not path.is_file():
            return None
        matrix = memory_map(path, name)
        if matrix.shape != (len(self.train), len(self.vocab)):
            raise InputError(
                f"{path}: {name} has shape {matrix.shape}, the run has {len(self.train):,} "
                f"training items and {len(self.vocab):,} classes: the files are of different runs"
            )
        return matrix

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """(N, K) out-of-fold predictions as a memory map, or None."""
        return self._matrix("oof.safetensors", "probabilities")

    @cached_property
    def targets(self) -> np.ndarray | None:
        """(N, K) soft labels as a memory map, or None."""
        return self._matrix("soft_labels.safetensors", "targets")

    def codes(self, column: str) -> np.ndarray:
        """(N,) positions in the vocabulary of a column of `train`, -1 where unknown."""
        if column not in self.train:
            return np.full(len(self.train), -1)
        return pd.Index(self.vocab).get_indexer(self.train[column].astype(object))

    @cached_property
    def suspicion(self) -> np.ndarray:
        """(N,) suspicion of the training items, NaN where none was made."""
        if "suspicion" not in self.train:
            return np.full(len(self.train), np.nan)
        return self.train["suspicion"].to_numpy(np.float64)

    @cached_property
    def ranking(self) -> np.ndarray:
        """Rows of `train` with a suspicion, most suspicious first."""
        order = np.argsort(-np.nan_to_num(self.suspicion, nan=-1.0), kind="stable")
        return order[~np.isnan(self.suspicion[order])]

    @property
    def name(self) -> str:
        """What to call the run's data: the name of the label table, or of the folder."""
        return str(self.config.get("name") or self.path.resolve().name)
