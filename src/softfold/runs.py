"""The run folder: everything that a job read, made and measured."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.errors import InputError, require
from softfold.labels import Images, LabelTable
from softfold.noise import NoiseModel
from softfold.oof import OutOfFold
from softfold.reading import IMAGE_SUFFIXES, PATH_NAMES, image_column, read_frame
from softfold.settings import Settings
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
        write_atomic(
            self.path / name, json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n"
        )

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
        return _load_tensors(self.file("holdout.safetensors"))

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
            data = _load_tensors(self.path / "data.safetensors")["features"]
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


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _load_tensors(path: Path) -> dict[str, np.ndarray]:
    return require("safetensors.numpy", extra="cli").load_file(str(path))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def _maker(name: str) -> str:
    return {
        "oof.safetensors": "softfold crossfit",
        "soft_labels.safetensors": "softfold soften",
        "model.safetensors": "softfold train",
        "report.html": "softfold report",
    }.get(name, "softfold run")


class Predictor:
    """The better model of a run, ready for new items."""

    def __init__(self, model: Any, vocab: Sequence[str], kind: str) -> None:
        self.model, self.vocab, self.kind = model, tuple(vocab), kind

    def predict(self, items: str | Path | pd.DataFrame | Iterable[str | Path]) -> pd.DataFrame:
        """Predictions for a folder, a CSV or Parquet file, a data frame or a list of image files.

        Returns:
            A frame with item, predicted, confidence and one column of probabilities a class.
        """
        from softfold.trainers import predict_frame

        return predict_frame(self.model, unlabelled(items, self.vocab, self.kind))


def unlabelled(items: Any, vocab: tuple[str, ...], kind: str) -> LabelTable:
    """A table of items without labels, to predict."""
    if isinstance(items, LabelTable):
        return items
    if isinstance(items, (str, Path)) and Path(items).is_dir():
        files = sorted(p for p in Path(items).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise InputError(f"{items}: no images in this folder")
        keys, data = [str(p.relative_to(items)) for p in files], Images(files)
    elif isinstance(items, np.ndarray) and items.ndim == 2:
        keys, data = range(len(items)), items
    elif isinstance(items, pd.DataFrame) or str(items).lower().endswith((".csv", ".parquet")):
        frame, _, base = read_frame(items)
        if kind == "image":
            column = next((c for c in PATH_NAMES if c in frame.columns), None)
            if column is None:
                raise InputError(f"{items}: no column with image paths ({', '.join(PATH_NAMES)})")
            keys, data = image_column(frame[column], base)
        else:
            keys, data = frame.index.astype(str), frame.reset_index(drop=True)
    else:
        files = [items] if isinstance(items, (str, Path)) else list(items)
        lost = [f for f in files if not Path(f).is_file()]
        if lost:
            raise InputError(
                f"{len(lost):,} of {len(files):,} images are missing; first: {lost[0]}"
            )
        keys, data = [str(f) for f in files], Images(files)
    keys = np.array([str(k) for k in keys], dtype=object)
    zeros = np.zeros(len(keys), dtype=np.int64)
    return LabelTable(
        item=keys, given=zeros, vocab=vocab, valid=zeros.astype(bool), data=data, name="new items"
    )


def load(run: str | Path) -> Predictor:
    """The soft model of a run, to predict new items with.

    Torch models are read from model.safetensors; scikit-learn ones are fitted again from the
    run's items and soft labels.
    """
    from softfold.trainers import create_trainer, load_model

    folder = Run.open(run)
    config = folder.config
    if folder.has("model.safetensors"):
        model = load_model(folder.path / "model.safetensors", config)
        return Predictor(model, folder.vocab, config["kind"])
    if config["trainer"] != "estimator":
        raise InputError(f"{run}: the run keeps no model (softfold train {run} makes one)")
    train, soft = folder.table().train, folder.soft_labels
    trainer = create_trainer(config["trainer"], **config["trainer_settings"])
    model = trainer.fit(train, soft.aligned(train.item, train.vocab), seed=folder.settings.seed)
    return Predictor(model, folder.vocab, config["kind"])
