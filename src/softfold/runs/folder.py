"""The run folder, read: everything that a job read, made and measured.

A run may be young: `softfold crossfit` alone leaves no soft labels and nothing measured. One rule
says what happens then. Asking for what is not there raises one line that names the command that
makes it. Who can do without asks with `get`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from softfold import markup
from softfold.align import find
from softfold.align.keys import unique_names
from softfold.crossfit.oof import OutOfFold
from softfold.data.delimited import read_delimited
from softfold.data.leaving_out import SKIPPED
from softfold.data.naming import check_names, titles_of
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.files import Damaged, read_json, read_parquet, told_if_damaged
from softfold.noise.model import NoiseModel
from softfold.noise.scoring import score
from softfold.pixels.images import Images
from softfold.runs.manifest import check
from softfold.runs.settings import Settings
from softfold.runs.shapes import check_shape
from softfold.soft_labels import SoftLabels
from softfold.tensors import memory_map, read_tensors

FILES = {
    "config": "config.json",
    "items": "items.parquet",
    "oof": "oof.safetensors",
    "probabilities": "oof.safetensors",
    "soft_labels": "soft_labels.safetensors",
    "targets": "soft_labels.safetensors",
    "vocab": "vocab.json",
    "noise": "noise.json",
    "history": "history.parquet",
    "metrics": "metrics.json",
    "decisions": "decisions.parquet",
    "skipped": SKIPPED,
    "profile": "profile.json",
}
"""Which file each part of a run is in. Two names of one file are two ways to read it."""

_MAKERS = {
    "issues.parquet": "softfold crossfit",
    "items.parquet": "softfold crossfit",
    "vocab.json": "softfold crossfit",
    "noise.json": "softfold crossfit",
    "oof.safetensors": "softfold crossfit",
    "soft_labels.safetensors": "softfold soften",
    "holdout.safetensors": "softfold compare",
    "history.parquet": "softfold compare",
    "model.safetensors": "softfold train",
    "report.html": "softfold report",
    "ensemble.safetensors": "softfold run --ensemble",
    "decisions.parquet": "softfold run --decisions",
    SKIPPED: "softfold run --on-error skip",
    "profile.json": "softfold run --profile",
}


class Run:
    """A run folder, read when asked.

    Rows of `train` are the rows of `probabilities`, `targets`, `oof` and `soft_labels`. Arrays and
    frames are kept after the first reading: do not change them. JSON is read anew each time.

    images: the folder in which image files are now, by their item keys; None: where they were.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    images: Path | None = None
    multi_label: ClassVar[bool] = False
    """Whether items may have several labels: a `softfold.runs.several.SeveralRun`."""

    @classmethod
    def at(cls, path: str | Path) -> Run:
        """The run of a folder, of the kind that its config.json says, where it has one."""
        from softfold.runs.several import SeveralRun

        run = Run(path)
        try:
            several = run.has("config.json") and run.config.get("labels_an_item") == "several"
        except Damaged:  # who reads it is told
            several = False
        return SeveralRun(path) if several else run

    @classmethod
    def open(
        cls, path: str | Path, images: str | Path | None = None, *, several: bool = False
    ) -> Run:
        """An existing run folder.

        Args:
            path: the folder.
            images: the folder of its image files, where that was moved.
            several: whether who asks serves items with several labels.

        Raises:
            InputError: there is no such folder, or it has no config.json; its items have several
                labels and who asks is for one label an item.
        """
        run = cls(path)
        if images is not None and not Path(images).is_dir():
            raise InputError(f"--images {images}: no such folder")
        if not run.path.is_dir():
            raise InputError(f"{path}: no such run folder")
        if not run.has("config.json"):
            raise InputError(f"{path}: not a run folder (it has no config.json)")
        run = cls.at(path)
        if run.multi_label and not several:
            raise InputError(
                f"{path}: its items have several labels, and this is for one label an item; there "
                "are softfold run, issues, report, review, export, predict, compare "
                "(docs/multilabel.md)"
            )
        run.images = None if images is None else Path(images).absolute()
        return run

    def __repr__(self) -> str:
        """The folder, and the comparison where there is one, in one line."""
        return f"Run({str(self.path)!r}: {self._comparison})"

    def _repr_html_(self) -> str:
        return f"<div>{markup.text(f'run {self.path}: {self._comparison}')}</div>"

    @property
    def _comparison(self) -> str:
        try:
            metrics = self.get("metrics", {})
        except InputError:
            return "metrics.json is not what was written"
        before, after = (metrics.get(part, {}).get("accuracy") for part in ("baseline", "soft"))
        change = metrics.get("difference", {})
        if not before or not after or not {"mean", "low", "high"} <= change.keys():
            return "given and soft labels are not compared yet"
        mean, low, high = (100 * change[name] for name in ("mean", "low", "high"))
        return (
            f"accuracy {np.mean(before):.2%} with given labels, {np.mean(after):.2%} with soft; "
            f"difference {mean:+.2f} points, 95% interval {low:+.2f} to {high:+.2f}"
        )

    def has(self, name: str) -> bool:
        """Whether the folder has a file of that name."""
        return (self.path / name).is_file()

    def file(self, name: str) -> Path:
        """The path of a file that must be there and be what was written.

        Raises:
            InputError: the file is not there; `Damaged` where it is not what was written.
        """
        if not self.has(name):
            maker = _MAKERS.get(name, "softfold run")
            raise InputError(
                f"{self.path}: the run has no {name} yet ({maker} makes it; softfold run with "
                "--resume goes on with a job that was stopped)"
            )
        check(self.path, name)
        return self.path / name

    def get(self, part: str, default: Any = None) -> Any:
        """A part of the run (a name in `FILES`), or `default` where its file is not there."""
        return getattr(self, part) if self.has(FILES[part]) else default

    # -- JSON ---------------------------------------------------------------------------------

    def _json(self, name: str) -> Any:
        value = read_json(self.file(name))
        check_shape(self.path / name, value)
        return value

    @property
    def config(self) -> dict[str, Any]:
        """All that is needed to run it again, with versions and seeds."""
        return self._json("config.json")

    @property
    def settings(self) -> Settings:
        """The settings of its job."""
        with told_if_damaged(self.path / "config.json"):
            return Settings.from_json(self.config["settings"])

    @property
    def name(self) -> str:
        """What to call its data: the name of the label table, or of the folder."""
        return str(self.config.get("name") or self.path.resolve().name)

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured."""
        return self._json("metrics.json")

    @property
    def profile(self) -> dict[str, Any]:
        """Where the seconds went, by step and by function (`--profile`)."""
        return self._json("profile.json")

    @cached_property
    def vocab(self) -> tuple[str, ...]:
        """The K class names, in column order."""
        return unique_names(self._json("vocab.json"), f"{self.path / 'vocab.json'}: classes")

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of classes for people, by class; none where the run has none."""
        if not self.has("names.json"):
            return {}
        pairs = [(str(k), str(v)) for k, v in self._json("names.json").items()]
        with told_if_damaged(self.path / "names.json"):
            return check_names(pairs, self.vocab, str(self.path / "names.json"))

    def title(self, label: Any) -> str:
        """What people read for a class: its name, or the class as it is written."""
        return self.names.get(label, str(label))

    @property
    def titles(self) -> tuple[str, ...]:
        """What people read for the K classes, in column order."""
        return titles_of(self.vocab, self.names)

    @cached_property
    def noise(self) -> NoiseModel:
        """The noise model of the first seed."""
        with told_if_damaged(self.path / "noise.json"):
            noise = NoiseModel.from_json(self._json("noise.json"))
        shapes = {e.transition.shape for e in noise.explanations} | {noise.transition.shape}
        if shapes != {(len(self.vocab),) * 2}:
            raise self._of_different_runs("noise.json")
        return noise

    # -- frames -------------------------------------------------------------------------------

    def _frame(self, name: str) -> pd.DataFrame:
        return read_parquet(self.file(name))

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row an item: item, given, split, fold, predicted, ..., class names as text."""
        items = self._frame("items.parquet")
        lacking = [c for c in ("item", "given", "split") if c not in items]
        if lacking:
            raise Damaged(f"{self.path / 'items.parquet'}: damaged: no column {lacking[0]!r}")
        if self.images is not None and "file" in items:
            items = items.assign(file=[str(self.images / key) for key in items["item"]])
        return items

    @cached_property
    def history(self) -> pd.DataFrame:
        """Learning curves: model, seed, epoch, train_loss, valid_loss, accuracy."""
        return self._frame("history.parquet")

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """What people had decided before the run began, one row an item: item, state, label, ..."""
        return self._frame("decisions.parquet")

    @cached_property
    def skipped(self) -> pd.DataFrame:
        """What the run left out because it cannot be used: item, reason."""
        return read_delimited(self.file(SKIPPED))

    @cached_property
    def train_rows(self) -> np.ndarray:
        """(N,) rows of `items` that are training items."""
        return np.flatnonzero((self.items["split"] == "train").to_numpy())

    @cached_property
    def train(self) -> pd.DataFrame:
        """The training items, in the order of the out-of-fold predictions."""
        return self.items.iloc[self.train_rows].reset_index(drop=True)

    def codes(self, column: str) -> np.ndarray:
        """(N,) positions in the vocabulary of a column of `train`, -1 where unknown."""
        if column not in self.train:
            return np.full(len(self.train), -1)
        codes = find(self.vocab, self.train[column])
        if column == "given" and (codes < 0).any():
            raise self._of_different_runs("vocab.json")
        return codes

    def _of_different_runs(self, name: str) -> Damaged:
        return Damaged(f"{self.path / name}: it does not fit the run's items: of another run?")

    @cached_property
    def suspicion(self) -> np.ndarray:
        """(N,) float64 suspicion of the training items, 0 to 1."""
        return self.train["suspicion"].to_numpy(np.float64)

    def suspicion_of(self, given: np.ndarray) -> np.ndarray:
        """The suspicions (N,) of other given labels, as positions in the vocabulary, of all items.

        All are the same where the run keeps no noise model or no predictions.
        """
        noise, probabilities = self.get("noise"), self.get("probabilities")
        if noise is None or probabilities is None:
            return np.full(len(given), 0.5)
        return score(given, np.asarray(probabilities), noise).suspicion

    @cached_property
    def ranking(self) -> np.ndarray:
        """(N,) rows of `train`, most suspicious first."""
        return np.argsort(-self.suspicion, kind="stable")

    # -- arrays -------------------------------------------------------------------------------

    @property
    def oof(self) -> OutOfFold:
        """Out-of-fold predictions of the first seed, with their item keys and folds."""
        return OutOfFold.load(self.file("oof.safetensors"))

    @property
    def soft_labels(self) -> SoftLabels:
        """Soft labels of the first seed, with their item keys."""
        return SoftLabels.load(self.file("soft_labels.safetensors"))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, K) float32 out-of-fold predictions as a memory map."""
        return self._matrix("oof.safetensors", "probabilities")

    @cached_property
    def targets(self) -> np.ndarray:
        """(N, K) float32 soft labels as a memory map."""
        return self._matrix("soft_labels.safetensors", "targets")

    def _matrix(self, file: str, name: str) -> np.ndarray:
        matrix = memory_map(self.file(file), name)
        if matrix.shape != (len(self.train), len(self.vocab)):
            raise InputError(
                f"{self.path / file}: {name} has shape {matrix.shape}, the run has "
                f"{len(self.train):,} training items and {len(self.vocab):,} classes: the files "
                "are of different runs"
            )
        return matrix

    def holdout_predictions(self) -> dict[str, np.ndarray]:
        """`baseline` and `soft`, each (S, M, K) float32 on the hold-out's items."""
        return read_tensors(self.file("holdout.safetensors"))[0]

    # -- the items themselves -----------------------------------------------------------------

    def table(self) -> LabelTable:
        """The label table of the run, rows in the order of items.parquet, with its data."""
        items, vocab = self.items, self.vocab
        truth = None
        if "truth" in items:
            truth = find(vocab, items["truth"])
        given = find(vocab, items["given"])
        if (given < 0).any():
            raise self._of_different_runs("vocab.json")
        return LabelTable(
            item=items["item"].to_numpy(dtype=object),
            given=given,
            vocab=vocab,
            valid=(items["split"] == "valid").to_numpy(),
            truth=truth,
            group=items["group"].to_numpy(dtype=object) if "group" in items else None,
            data=self._data(),
            name=self.name,
            names=self.names,
        )

    def _data(self) -> Any:
        """The items' data: what the run keeps, else what its settings name."""
        if "file" in self.items:
            return Images(self.items["file"])
        if self.has("data.parquet"):
            data = self._frame("data.parquet")
            if self.config["kind"] == "image" and "image" not in data:
                raise Damaged(f"{self.path / 'data.parquet'}: damaged: no column 'image'")
            return Images(encoded=data["image"]) if self.config["kind"] == "image" else data
        if self.has("data.safetensors"):
            return read_tensors(self.path / "data.safetensors")[0]["features"]
        source = self.settings.read_labels(on_error="skip")
        return source.take(source.rows_of(self.items["item"])).data
