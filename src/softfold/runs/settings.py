"""The settings of a job: what the command line takes, what config.json keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from softfold.crossfit.engines import ENGINES
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.softening import STRATEGIES


@dataclass(frozen=True)
class Settings:
    """Everything a job needs to be run again. Defaults work; None means "choose for me".

    The names are those of the command line (`--given-weight` is `given_weight`).
    """

    labels: str | None = None
    images: str | None = None
    path: str | None = None
    label: str | None = None
    valid: str | None = None
    truth: str | None = None
    group: str | None = None
    holdout: str | None = None
    holdout_label: str | None = None
    noise: str | None = None
    data: str | None = None
    trainer: str | None = None
    oof_trainer: str | None = None
    arch: str | None = None
    weights: str | None = None
    size: int | None = None
    epochs: int | None = None
    folds: int = 5
    repeats: int = 1
    strategy: str = "auto"
    given_weight: float = 0.7
    hard: bool = False
    threshold: float | None = None
    seeds: int = 3
    seed: int = 0
    device: str | None = None
    engine: str = "local"
    decisions: str | None = None
    group_near_copies: bool = False

    def __post_init__(self) -> None:
        for name, least in (("folds", 2), ("repeats", 1), ("seeds", 1), ("seed", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise InputError(f"--{option} {getattr(self, name)}: at least {least} is needed")
        for name, least in (("epochs", 0), ("size", 8)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"--{name} {value}: at least {least} is needed")
        for name in ("given_weight", "threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(
                    f"--{name.replace('_', '-')} {value}: want a number between 0 and 1"
                )
        if self.strategy != "auto" and self.strategy not in STRATEGIES:
            raise InputError(f"--strategy {self.strategy}: there are auto, {', '.join(STRATEGIES)}")
        if self.threshold is not None and self.strategy != "gate":
            raise InputError(f"--threshold goes with --strategy gate, not {self.strategy}")
        if self.engine not in ENGINES:
            raise InputError(f"--engine {self.engine}: there are {', '.join(ENGINES)}")
        if self.weights is not None and not Path(self.weights).is_file():
            raise InputError(f"--weights {self.weights}: no such file")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})

    def absolute(self) -> Settings:
        """The same settings with paths that hold from any working folder."""
        values = asdict(self)
        for name in ("labels", "images", "holdout", "data", "weights", "decisions"):
            value = values[name]
            if value is not None and Path(value).exists():
                values[name] = str(Path(value).resolve())
        return Settings(**values)

    @property
    def can_be_read(self) -> bool:
        """Whether `read_labels` finds the labels again: not those handed over in memory."""
        from softfold.data.datasets import DATASETS

        return self.labels in DATASETS or Path(str(self.labels)).exists()

    def read_labels(self) -> LabelTable:
        """The label table that the settings name."""
        from softfold.data.datasets import DATASETS, load_dataset

        if self.labels is None:
            raise InputError("say which labels: a CSV or Parquet file, a folder or a known dataset")
        if self.labels in DATASETS and not Path(self.labels).exists():
            return load_dataset(self.labels, noise=self.noise, data=self.data, seed=0)
        if self.noise is not None or self.data is not None:
            option = "--noise" if self.noise is not None else "--data"
            raise InputError(
                f"{option} is for known datasets ({', '.join(DATASETS)}), not for {self.labels}"
            )
        return read_table(
            self.labels,
            images=self.images,
            path=self.path,
            label=self.label,
            valid=self.valid,
            truth=self.truth,
            group=self.group,
            holdout=self.holdout,
            holdout_label=self.holdout_label,
        )
