"""The settings of a job, in one place: name, type, default, check, help, and who takes it.

The command line, `--help`, config.json and docs/settings.md come out of the fields of `Settings`.
A new setting is one field here. This module loads neither NumPy nor pandas, for the sake of
`--help`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from softfold.errors import InputError
from softfold.runs.declaring import Setting, at_least, existing_file, fraction, one_of, setting

if TYPE_CHECKING:
    from softfold.data.table import LabelTable


def _strategies() -> list[str]:
    from softfold.softening import STRATEGIES

    return ["auto", *STRATEGIES]


def _trainers() -> list[str]:
    from softfold.trainers import TRAINERS

    return list(TRAINERS)


def _on_error() -> list[str]:
    from softfold.data.leaving_out import ON_ERROR

    return list(ON_ERROR)


def _engines() -> list[str]:
    from softfold.crossfit.engines import ENGINES

    return list(ENGINES)


READING = "run crossfit issues corrupt features"
"""The commands that read a label table."""

CROSS_FITTING = "run crossfit issues"
"""The commands that make out-of-fold predictions."""

BACKBONE = "run crossfit issues train compare features"
"""The commands that may look at images through a network."""

REOPENING = ("soften", "train", "compare")
"""The commands that go on with a run; a setting that is not given stays as the run has it."""


@dataclass(frozen=True)
class Settings:
    """Everything a job needs to be run again. Defaults work; None means "choose for me".

    The names are those of the command line: `--given-weight` is `given_weight`.

    Raises:
        InputError: a value of another type, or one that its check refuses.
    """

    labels: str | None = setting(
        None,
        "CSV or Parquet file, folder of class folders, or a known dataset (digits, imagewoof, ...)",
        "run crossfit corrupt features",
        is_path=True,
        positional=True,
    )
    images: str | None = setting(None, "folder the paths start from", READING, is_path=True)
    path: str | None = setting(None, "column of image paths or encoded images", READING)
    item: str | None = setting(None, "column of item keys, of a table without images", READING)
    label: str | None = setting(None, "column of given labels", READING)
    label_delim: str | None = setting(
        None, "what stands between labels, where items have several", CROSS_FITTING
    )
    valid: str | None = setting(None, "column that marks the hold-out (is_valid)", READING)
    truth: str | None = setting(None, "column of right labels, to measure with only", READING)
    group: str | None = setting(None, "column of groups that share a fold", CROSS_FITTING)
    annotator: str | None = setting(
        None, "column that names who gave a label: one row a vote", "run crossfit"
    )
    holdout: str | None = setting(
        None, "table of the hold-out's items", "run crossfit", is_path=True
    )
    holdout_label: str | None = setting(None, "its label column", "run crossfit")
    names: str | None = setting(
        None,
        "names of classes for people: a file of two columns (class, name), or a column",
        CROSS_FITTING,
        is_path=True,
    )
    noise: str | None = setting(
        None, "which noisy labels of a known dataset (5, aggre, ...)", CROSS_FITTING
    )
    data: str | None = setting(None, "local copy of a known dataset", READING, is_path=True)
    decisions: str | None = setting(
        None, "decisions of a review, to train with", "run crossfit", is_path=True
    )
    on_error: str = setting(
        "stop",
        "items that cannot be used (broken image, no label, empty text): stop names all, skip goes "
        "on without them",
        "run crossfit issues features",
        check=one_of(_on_error),
    )
    group_near_copies: bool = setting(
        False,
        "near copies by features share a fold too",
        "run crossfit",
        flags="--group-near-copies",
    )
    recipe: str | None = setting(None, "a whole protocol: post, kaggle", "run")
    trainer: str | None = setting(
        None,
        "trains the final models: finetune, probe or estimator (finetune with a GPU, else probe)",
        "run train compare",
        check=one_of(_trainers),
    )
    oof_trainer: str | None = setting(
        None,
        "makes the out-of-fold predictions (probe for images)",
        CROSS_FITTING,
        check=one_of(_trainers),
    )
    arch: str | None = setting(
        None,
        "backbone, by torchvision's or timm's name; of texts a sentence-transformers model, by "
        "name or folder; of tables a scikit-learn classifier",
        BACKBONE,
    )
    weights: str | None = setting(
        None,
        "file with the backbone's weights",
        BACKBONE,
        check=existing_file,
        is_path=True,
    )
    size: int | None = setting(None, "image size in pixels", BACKBONE, check=at_least(8))
    epochs: int | None = setting(
        None,
        "epochs of fine-tuning: 10 is fine_tune(10)",
        "run crossfit train compare",
        check=at_least(0),
    )
    features: str | None = setting(
        None,
        "features made elsewhere, a row an item: .parquet or .safetensors with item keys, .npy in "
        "the order of the labels",
        "run crossfit issues train compare",
        is_path=True,
    )
    folds: int = setting(5, "folds of the cross-fit", CROSS_FITTING, check=at_least(2))
    repeats: int = setting(1, "cross-fits to average", "run crossfit", check=at_least(1))
    strategy: str = setting(
        "auto",
        "how soft labels are made: auto, posterior, people, blend, gate, given",
        "run crossfit soften",
        check=one_of(_strategies),
    )
    given_weight: float = setting(
        0.7, "weight of the given label in a blend", "run soften", check=fraction
    )
    hard: bool = setting(
        False,
        "blend with the predicted class, not probabilities",
        "run soften",
        flags="--hard/--probabilities",
    )
    threshold: float | None = setting(
        None, "confidence from which gate blends", "run soften", check=fraction
    )
    ensemble: bool = setting(
        False,
        "keep the folds' models, on given and on soft labels, and predict with their mean",
        "run",
        flags="--ensemble",
    )
    tta: int = setting(
        1,
        "views of an image whose predictions are averaged (test-time augmentation)",
        "run",
        check=at_least(1),
    )
    flip: bool = setting(
        True,
        "some of the views are mirrored: not for letters and digits",
        "run",
        flags="--flip/--no-flip",
    )
    seeds: int = setting(3, "how many seeds to measure with", "run compare", check=at_least(1))
    seed: int = setting(0, "the first seed", "run crossfit issues corrupt", check=at_least(0))
    device: str | None = setting(None, "cpu, cuda, cuda:1 or mps", BACKBONE)
    engine: str = setting(
        "local",
        "where models are trained: local or ray",
        "run crossfit train compare",
        check=one_of(_engines),
    )
    workers: int = setting(
        1,
        "processes that train side by side on this machine; each takes seconds to begin, which "
        "short trainings, such as a probe's, do not repay",
        "run crossfit train compare",
        check=at_least(1),
    )
    ray_address: str | None = setting(
        None, "address of the Ray cluster: auto, HOST:PORT, ray://...", "run crossfit train compare"
    )

    def __post_init__(self) -> None:
        for about in settings_table():
            value = getattr(self, about.name)
            if value is None and about.optional:
                continue
            value = about.checked(value)
            object.__setattr__(self, about.name, value)
        if self.annotator is not None:
            self._refuse_with_votes()
        if self.ray_address is not None and self.engine != "ray":
            raise InputError(f"--ray-address goes with --engine ray, not {self.engine}")
        if self.workers != 1 and self.engine != "local":
            raise InputError(f"--workers goes with --engine local, not {self.engine}")
        if self.threshold is not None and self.strategy != "gate":
            raise InputError(f"--threshold goes with --strategy gate, not {self.strategy}")

    def _refuse_with_votes(self) -> None:
        """Votes and predictions make the soft labels: nothing that makes them otherwise."""
        usual = {each.name: each for each in fields(self)}
        for name in ("strategy", "given_weight", "hard", "threshold"):
            if getattr(self, name) != usual[name].default:
                option = "--" + name.replace("_", "-")
                raise InputError(
                    f"{option} does not go with --annotator: several people's votes and the "
                    "predictions make the soft labels; leave it out"
                )

    def to_json(self) -> dict[str, Any]:
        """The settings as config.json keeps them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """What `to_json` gave; names that are no settings (any more) are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})

    def absolute(self) -> Settings:
        """The same settings with paths that hold from any working folder."""
        values = asdict(self)
        for about in settings_table():
            value = values[about.name]
            if about.is_path and value is not None and Path(value).exists():
                values[about.name] = str(Path(value).resolve())
        return Settings(**values)

    @property
    def can_be_read(self) -> bool:
        """Whether `read_labels` finds the labels again: not those handed over in memory."""
        from softfold.data.datasets import DATASETS

        return self.labels in DATASETS or Path(str(self.labels)).exists()

    def check_labels(self) -> None:
        """Raises InputError where no labels are named."""
        if self.labels is None:
            raise InputError("say which labels: a CSV or Parquet file, a folder or a known dataset")

    def read_labels(
        self, on_error: Literal["stop", "skip"] = "stop", *, keys_are_enough: bool = False
    ) -> LabelTable:
        """The label table that the settings name.

        Args:
            on_error: what to do about rows that cannot be used, see `read_table`.
            keys_are_enough: the items need not be here, since predictions of them are.

        Raises:
            InputError: no such table, or options that do not go with it.
        """
        from softfold.data.datasets import DATASETS, load_dataset
        from softfold.data.reading import read_table

        self.check_labels()
        assert self.labels is not None
        if self.labels in DATASETS and not Path(self.labels).exists():
            return load_dataset(
                self.labels, noise=self.noise, data=self.data, names=self.names, seed=0
            )
        if self.noise is not None or self.data is not None:
            option = "--noise" if self.noise is not None else "--data"
            raise InputError(
                f"{option} is for known datasets ({', '.join(DATASETS)}), not for {self.labels}"
            )
        if self.label_delim is not None:
            return self._read_several(on_error)
        if self.annotator is not None:
            from softfold.runs.voted import read_voted

            return read_voted(self, on_error)
        return read_table(
            self.labels,
            images=self.images,
            path=self.path,
            item=self.item,
            label=self.label,
            valid=self.valid,
            truth=self.truth,
            group=self.group,
            holdout=self.holdout,
            holdout_label=self.holdout_label,
            names=self.names,
            keys_are_enough=keys_are_enough or self.features is not None,
            on_error=on_error,
        )

    def _read_several(self, on_error: Literal["stop", "skip"]) -> LabelTable:
        """The table of items with several labels."""
        from softfold.multilabel.reading import read_table

        return read_table(
            self.labels,
            label=self.label,
            label_delim=self.label_delim,
            images=self.images,
            path=self.path,
            item=self.item,
            valid=self.valid,
            truth=self.truth,
            group=self.group,
            holdout=self.holdout,
            holdout_label=self.holdout_label,
            names=self.names,
            on_error=on_error,
        )


@cache
def settings_table() -> tuple[Setting, ...]:
    """All settings of a job, in the order of `Settings`."""
    types = get_type_hints(Settings, {"LabelTable": Any})
    out = []
    for each in fields(Settings):
        arguments = get_args(types[each.name])
        kind = next((a for a in arguments if a is not type(None)), types[each.name])
        out.append(Setting(each.name, kind, bool(arguments), each.default, **each.metadata))
    return tuple(out)


def taken_by(command: str) -> tuple[Setting, ...]:
    """The settings that a command of the command line takes."""
    return tuple(each for each in settings_table() if command in each.commands)
