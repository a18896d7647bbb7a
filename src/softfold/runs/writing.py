"""The run folder, written: every file whole or not at all, and listed in the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.crossfit.oof import OutOfFold
from softfold.data.delimited import csv_text
from softfold.data.item_features import ItemFeatures
from softfold.data.leaving_out import SKIPPED, LeftOut, as_frame
from softfold.data.table import LabelTable
from softfold.files import write_json, write_parquet, write_text
from softfold.multilabel.noise import MultiLabelNoise
from softfold.noise.model import NoiseModel
from softfold.pixels.images import Images
from softfold.runs.given_features import FEATURES
from softfold.runs.manifest import written
from softfold.soft_labels import SoftLabels
from softfold.tensors import write_tensors

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

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Write a file of the run in here; afterwards the manifest lists it."""
        with written(self.path, name):
            yield self.path / name

    def config(self, config: dict[str, Any]) -> None:
        """config.json, and the folder where there is none."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.writing("config.json") as file:
            write_json(file, config)

    def decisions(self, decisions: pd.DataFrame) -> None:
        """decisions.parquet: what people had decided when the job began."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.writing("decisions.parquet") as file:
            write_parquet(file, decisions)

    def skipped(self, left_out: Sequence[LeftOut]) -> None:
        """skipped.csv: what was left out and why; no file where that is nothing."""
        with self.writing(SKIPPED) as file:
            if left_out:
                write_text(file, csv_text(as_frame(left_out)))
            else:
                file.unlink(missing_ok=True)

    def issues(self, frame: pd.DataFrame) -> None:
        """issues.parquet, where items have several labels: a row an item and class."""
        with self.writing("issues.parquet") as file:
            write_parquet(file, frame)

    def cross_fit(self, oof: OutOfFold, noise: NoiseModel | MultiLabelNoise) -> None:
        """The first seed's out-of-fold predictions, noise model and class names."""
        with self.writing("oof.safetensors") as file:
            oof.save(file)
        with self.writing("vocab.json") as file:
            write_json(file, list(oof.vocab))
        with self.writing("noise.json") as file:
            write_json(file, noise.to_json())

    def names(self, names: Mapping[str, str]) -> None:
        """names.json: names of classes for people; no file where there are none."""
        with self.writing("names.json") as file:
            if names:
                write_json(file, dict(names))
            else:
                file.unlink(missing_ok=True)

    def items(self, frame: pd.DataFrame) -> None:
        """items.parquet."""
        with self.writing("items.parquet") as file:
            write_parquet(file, frame)

    def data(self, table: LabelTable, *, can_be_read: bool) -> None:
        """The items' data; not images that are files or can be read where they came from."""
        data = table.data
        if isinstance(data, Images):
            if can_be_read or not len(data) or data.path(0) is not None:
                return
            data = pd.DataFrame({"image": [data[i] for i in range(len(data))]})
        if isinstance(data, pd.DataFrame):
            with self.writing("data.parquet") as file:
                write_parquet(file, data)
        elif isinstance(data, np.ndarray):
            with self.writing("data.safetensors") as file:
                write_tensors(file, {"features": data})

    def features(self, features: ItemFeatures) -> None:
        """features.safetensors, where it is not there: what was given, of the run's items."""
        if not (self.path / FEATURES).is_file():
            with self.writing(FEATURES) as file:
                features.save(file)

    def soft_labels(self, soft: SoftLabels) -> None:
        """soft_labels.safetensors, of the first seed."""
        with self.writing("soft_labels.safetensors") as file:
            soft.save(file)

    def annotators(self, quality: pd.DataFrame) -> None:
        """annotators.parquet: one row an annotator, how good their votes are."""
        with self.writing("annotators.parquet") as file:
            write_parquet(file, quality)

    def holdout(self, baseline: np.ndarray, soft: np.ndarray) -> None:
        """holdout.safetensors: predictions (S seeds, M, K) float32 of both ways to train."""
        with self.writing("holdout.safetensors") as file:
            write_tensors(file, {"baseline": baseline, "soft": soft})

    def ensemble(self, predictions: Mapping[str, np.ndarray]) -> None:
        """ensemble.safetensors: predictions (S seeds, M, K) float32 of each mean of models."""
        with self.writing("ensemble.safetensors") as file:
            write_tensors(file, dict(predictions))

    def history(self, history: pd.DataFrame | None) -> None:
        """history.parquet, without rows where no model has learning curves."""
        if history is None:
            history = pd.DataFrame({k: pd.Series(dtype=v) for k, v in _CURVES.items()})
        with self.writing("history.parquet") as file:
            write_parquet(file, history)

    def profile(self, profile: dict[str, Any]) -> None:
        """profile.json."""
        with self.writing("profile.json") as file:
            write_json(file, profile)

    def metrics(self, metrics: dict[str, Any]) -> None:
        """metrics.json."""
        with self.writing("metrics.json") as file:
            write_json(file, metrics)
