"""The run folder, written: every file whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.crossfit.oof import OutOfFold
from softfold.data.delimited import csv_text
from softfold.data.leaving_out import SKIPPED, LeftOut, as_frame
from softfold.data.table import Images, LabelTable
from softfold.files import write_json, write_parquet, write_tensors, write_text
from softfold.noise.model import NoiseModel
from softfold.softening import SoftLabels

_CURVES = {
    "model": str,
    "seed": "int64",
    "epoch": "int64",
    "train_loss": float,
    "valid_loss": float,
    "accuracy": float,
}
"""Columns of history.parquet where no model has learning curves."""


class RunWriter:
    """Writes the files of one run folder. What is in them: docs/run-folder.md."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def config(self, config: dict[str, Any]) -> None:
        """config.json, and the folder where there is none."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "config.json", config)

    def decisions(self, decisions: pd.DataFrame) -> None:
        """decisions.parquet: what people had decided when the job began."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_parquet(self.path / "decisions.parquet", decisions)

    def skipped(self, left_out: Sequence[LeftOut]) -> None:
        """skipped.csv: what was left out and why; no file where that is nothing."""
        file = self.path / SKIPPED
        if left_out:
            write_text(file, csv_text(as_frame(left_out)))
        else:
            file.unlink(missing_ok=True)

    def cross_fit(self, oof: OutOfFold, noise: NoiseModel) -> None:
        """The first seed's out-of-fold predictions, noise model and class names."""
        oof.save(self.path / "oof.safetensors")
        write_json(self.path / "vocab.json", list(oof.vocab))
        write_json(self.path / "noise.json", noise.to_json())

    def items(self, frame: pd.DataFrame) -> None:
        """items.parquet."""
        write_parquet(self.path / "items.parquet", frame)

    def data(self, table: LabelTable, *, can_be_read: bool) -> None:
        """The items' data, unless they are images in files or can be read where they came from."""
        data = table.data
        if isinstance(data, Images):
            if can_be_read or not len(data) or data.path(0) is not None:
                return
            data = pd.DataFrame({"image": [data[i] for i in range(len(data))]})
        if isinstance(data, pd.DataFrame):
            write_parquet(self.path / "data.parquet", data)
        elif data is not None:
            write_tensors(self.path / "data.safetensors", {"features": data})

    def soft_labels(self, soft: SoftLabels) -> None:
        """soft_labels.safetensors, of the first seed."""
        soft.save(self.path / "soft_labels.safetensors")

    def annotators(self, quality: pd.DataFrame) -> None:
        """annotators.parquet: one row an annotator, how good their votes are."""
        write_parquet(self.path / "annotators.parquet", quality)

    def holdout(self, baseline: np.ndarray, soft: np.ndarray) -> None:
        """holdout.safetensors: predictions (S seeds, M, K) float32 of both ways to train."""
        write_tensors(self.path / "holdout.safetensors", {"baseline": baseline, "soft": soft})

    def history(self, history: pd.DataFrame | None) -> None:
        """history.parquet, without rows where no model has learning curves."""
        if history is None:
            history = pd.DataFrame({k: pd.Series(dtype=v) for k, v in _CURVES.items()})
        write_parquet(self.path / "history.parquet", history)

    def metrics(self, metrics: dict[str, Any]) -> None:
        """metrics.json."""
        write_json(self.path / "metrics.json", metrics)
