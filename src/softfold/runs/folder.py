"""The run folder: everything that a job read, made and measured."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.crossfit.oof import OutOfFold
from softfold.data.table import Images, LabelTable
from softfold.errors import InputError, require
from softfold.files import read_tensors, write_json
from softfold.noise.model import NoiseModel
from softfold.runs.settings import Settings
from softfold.softening import SoftLabels


class Run:
    """A run folder, read lazily; what is not there raises one clear line."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run folder."""
        run = cls(path)
        if not run.path.is_dir():
            raise InputError(f"{path}: no such run folder")
        if not (run.path / "config.json").exists():
            raise InputError(f"{path}: no run folder (it has no config.json)")
        return run

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def file(self, name: str) -> Path:
        """The path of a file that must be there."""
        path = self.path / name
        if not path.exists():
            raise InputError(f"{self.path}: the run has no {name} yet ({_maker(name)} makes it)")
        return path

    def read_json(self, name: str) -> Any:
        return json.loads(self.file(name).read_text(encoding="utf-8"))

    def write_json(self, name: str, value: Any) -> None:
        write_json(self.path / name, value)

    @property
    def config(self) -> dict[str, Any]:
        return self.read_json("config.json")

    @property
    def settings(self) -> Settings:
        return Settings.from_json(self.config["settings"])

    @property
    def metrics(self) -> dict[str, Any]:
        return self.read_json("metrics.json")

    @property
    def vocab(self) -> tuple[str, ...]:
        return tuple(self.read_json("vocab.json"))

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row an item: item, given, split, fold, predicted, ..., class names as text."""
        require("pyarrow", extra="cli")
        return pd.read_parquet(self.file("items.parquet"))

    @property
    def oof(self) -> OutOfFold:
        return OutOfFold.load(self.file("oof.safetensors"))

    @property
    def soft_labels(self) -> SoftLabels:
        return SoftLabels.load(self.file("soft_labels.safetensors"))

    @property
    def noise(self) -> NoiseModel:
        return NoiseModel.from_json(self.read_json("noise.json"))

    @property
    def history(self) -> pd.DataFrame:
        """Learning curves: model, seed, epoch, train_loss, valid_loss, accuracy."""
        return pd.read_parquet(self.file("history.parquet"))

    def holdout_predictions(self) -> dict[str, np.ndarray]:
        """`baseline` and `soft`, each (S, M, K) float32 on the hold-out's items."""
        return read_tensors(self.file("holdout.safetensors"))[0]

    def table(self) -> LabelTable:
        """The label table of the run, rows in the order of items.parquet, with its data."""
        items, vocab = self.items, self.vocab
        position = pd.Index(vocab)
        data: Any
        if "file" in items:
            data = Images(items["file"])
        elif self.has("data.parquet"):
            data = pd.read_parquet(self.path / "data.parquet")
            if self.config["kind"] == "image":
                data = Images(encoded=data["image"])
        elif self.has("data.safetensors"):
            data = read_tensors(self.path / "data.safetensors")[0]["features"]
        else:
            source = self.settings.read_labels()
            data = source.take(source.rows_of(items["item"])).data
        truth = None
        if "truth" in items:
            truth = position.get_indexer(pd.Index(items["truth"])).astype(np.int64)
        return LabelTable(
            item=items["item"].to_numpy(dtype=object),
            given=position.get_indexer(pd.Index(items["given"])).astype(np.int64),
            vocab=vocab,
            valid=(items["split"] == "valid").to_numpy(),
            truth=truth,
            group=items["group"].to_numpy(dtype=object) if "group" in items else None,
            data=data,
            name=self.config.get("name", self.path.name),
        )


def describe_items(table: LabelTable) -> pd.DataFrame:
    """The part of items.parquet that the label table gives."""
    names = np.asarray(table.vocab, dtype=object)
    frame = pd.DataFrame(
        {
            "item": table.item,
            "given": names[table.given],
            "split": np.where(table.valid, "valid", "train"),
        }
    )
    if table.truth is not None:
        frame["truth"] = np.where(table.truth >= 0, names[table.truth], None)
    if table.group is not None:
        frame["group"] = table.group
    if isinstance(table.data, Images) and len(table) and table.data.path(0) is not None:
        frame["file"] = [str(Path(table.data.path(i)).absolute()) for i in range(len(table))]
    return frame


def _maker(name: str) -> str:
    return {
        "oof.safetensors": "softfold crossfit",
        "soft_labels.safetensors": "softfold soften",
        "model.safetensors": "softfold train",
        "report.html": "softfold report",
    }.get(name, "softfold run")
