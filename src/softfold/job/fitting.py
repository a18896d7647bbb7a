"""Models trained side by side: one a seed, or one a fold, and what each predicts of the hold-out.

What finished is on disk before the next begins, and is used again where it was made from the same.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from softfold.arrays import target_blocks
from softfold.crossfit.engines import Engine, Needs, Task, get_engine
from softfold.data.folds import FoldPlan, fold_seed
from softfold.data.table import LabelTable
from softfold.files import Damaged, checksum, read_parquet, write_bytes, write_parquet, write_text
from softfold.large_arrays import taken
from softfold.soft_labels import SoftLabels
from softfold.stopping import stop_here
from softfold.tensors import read_tensors_of, write_tensors
from softfold.trainers import Model, Trainer, check_model
from softfold.trainers.checkpoints import checkpoints_in
from softfold.trainers.ensemble import Views
from softfold.trainers.protocol import Fold, given_targets


@dataclass(frozen=True)
class Fit:
    """One trained model's predictions.

    Attributes:
        holdout: (M, K) float32 on the hold-out.
        history: its learning curve, or None.
        is_new: whether it was trained now or was there.
        views: (M, K) float32 on the hold-out, averaged over views of each image; None without.
        held: (n, K) float32 of the fold that it was not trained on; None where there is none.
    """

    holdout: np.ndarray
    history: pd.DataFrame | None
    is_new: bool = True
    views: np.ndarray | None = None
    held: np.ndarray | None = None


@dataclass(frozen=True)
class Seen:
    """The views of a hold-out's images that predictions are averaged over, as `Views` takes them;
    with one view there is nothing to average."""

    tta: int = 1
    flip: bool = True
    seed: int = 0


def fit_seeds(
    table: LabelTable,
    softs: Sequence[SoftLabels | None],
    trainer: Trainer,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    model_file: str | Path | None = None,
    engine: str | Engine = "local",
    seen: Seen = Seen(),
    progress: Callable[[int, int], None] | None = None,
) -> list[Fit]:
    """One fit a seed, on its soft labels or (None) on the given ones; `seed` is the first.

    Args:
        out: folder of finished fits, each put there the moment it is finished. What it holds is
            used where it was made from the same items, targets, trainer and seed.
        model_file: where to keep the model of the first seed; a finished fit of it is used only
            where this is its model.
        engine: where the models are trained.
        seen: which views of the hold-out's images are predicted as well.
    """
    common = _Common(trainer, table, seen, out)
    learned = {id(soft): common.targets(soft) for soft in softs}  # of each, whatever its seeds
    wanted = [
        common.wanted(
            "baseline" if soft is None else "soft",
            learned[id(soft)],
            seed + s,
            model_file if s == 0 else None,
        )
        for s, soft in enumerate(softs)
    ]
    return _fit_all(wanted, common, engine, progress)


def fit_folds(
    table: LabelTable,
    plan: FoldPlan,
    labels: str,
    soft: SoftLabels | None,
    trainer: Trainer,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    model_files: Sequence[str | Path] | None = None,
    engine: str | Engine = "local",
    seen: Seen = Seen(),
    progress: Callable[[int, int], None] | None = None,
) -> list[Fit]:
    """One fit a fold of a plan, each trained without its fold, which it predicts (`Fit.held`).

    Args are those of `fit_seeds`, but:
        plan: its first repeat's folds.
        labels: what the fits are called in `out`.
        soft: what to train on; the given labels where None.
        seed: of the first fold's model; the fits have the seeds of `softfold.cross_fit`.
        model_files: where to keep each fold's model.
    """
    common = _Common(trainer, table, seen, out)
    learned = common.targets(soft)
    wanted = [
        common.wanted(
            f"{labels}-fold-{fold}",
            learned,
            fold_seed(seed, fold),
            None if model_files is None else model_files[fold],
            split,
        )
        for fold, split in enumerate(plan.splits(0))
    ]
    return _fit_all(wanted, common, engine, progress)


def _fit_all(
    wanted: Sequence[_Wanted],
    common: _Common,
    engine: str | Engine,
    progress: Callable[[int, int], None] | None,
) -> list[Fit]:
    """The fits, in their order: those that are there, and those that are made now."""
    fits = {one.name: fit for one in wanted if (fit := one.finished()) is not None}
    left = {one.name: one for one in wanted if one.name not in fits}

    def tell() -> None:
        if progress is not None and fits:
            progress(len(fits), len(wanted))

    def done(task: Task, made: tuple[Fit, bytes | None]) -> None:
        fits[task.name] = made[0]
        left[task.name].keep(*made)
        tell()

    tell()
    if left:
        trainer = common.trainer
        trainer.prepare(common.table)
        todo = [Task(name, _fit, one.given()) for name, one in left.items()]
        shared = (trainer, common.train, common.holdout, common.seen)
        with checkpoints_in(common.out):
            get_engine(engine).run(todo, (shared,), done, Needs.of(trainer))
    return [fits[one.name] for one in wanted]


def _fit(
    shared: Any,
    targets: np.ndarray,
    seed: int,
    model_name: str | None,
    rows: np.ndarray | None = None,
    held: np.ndarray | None = None,
) -> tuple[Fit, bytes | None]:
    """One fit and its model's file where that is wanted, in whatever process an engine calls it."""
    ((trainer, train, holdout, seen),) = shared
    part, watched = (train, holdout) if rows is None else (train.take(rows), None)
    watched = watched if len(holdout) else None
    model = check_model(trainer.fit(part, targets, seed=seed, holdout=watched), trainer)
    made = Fit(
        _predicted(model, holdout),
        model.history if rows is None else None,
        views=None if seen.tta == 1 else _predicted(Views(model, **asdict(seen)), holdout),
        held=None if held is None else _predicted(model, train.take(held)),
    )
    if model_name is None:
        return made, None
    with TemporaryDirectory() as folder:
        file = Path(folder) / model_name
        model.save(file)
        return made, file.read_bytes()


def _predicted(model: Model, table: LabelTable) -> np.ndarray:
    """float32 (n, K); a run may have no hold-out, and few models predict no items."""
    if not len(table):
        return np.zeros((0, table.n_classes), np.float32)
    return np.asarray(model.predict(table), np.float32)


@dataclass(frozen=True)
class _Wanted:
    """One model that is wanted: of which targets and seed, and where what it gives is kept."""

    name: str
    targets: np.ndarray
    seed: int
    mark: str
    file: Path | None
    model_file: Path | None
    rows: np.ndarray | None = None
    held: np.ndarray | None = None

    def given(self) -> dict[str, Any]:
        name = None if self.model_file is None else self.model_file.name
        own = {"targets": self.targets, "seed": self.seed, "model_name": name}
        return own if self.rows is None else own | {"rows": self.rows, "held": self.held}

    def finished(self) -> Fit | None:
        if self.file is None:
            return None
        if self.model_file is not None and _model_of(self.file, self.model_file) != self.mark:
            return None
        return _finished(self.file, self.mark)

    def keep(self, made: Fit, model: bytes | None) -> None:
        """Write the model, and the fit last: what is there is whole."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        if self.model_file is not None and model is not None:
            self.model_file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self.model_file, model)
            if self.file is not None:
                kept = f"{self.mark} {checksum(self.model_file)}"
                write_text(_kept_mark(self.file, self.model_file), kept)
        if self.file is not None:
            curve = self.file.with_suffix(".parquet")
            curve.unlink(missing_ok=True)
            if made.history is not None:
                write_parquet(curve, made.history)
            parts = {"probabilities": made.holdout, "views": made.views, "held": made.held}
            tensors = {name: each for name, each in parts.items() if each is not None}
            write_tensors(self.file, tensors, fingerprint=self.mark)
            stop_here()


@dataclass(frozen=True)
class _Targets:
    """What is learned: values (n, K) or (n,), and their hash."""

    values: np.ndarray
    digest: str


@dataclass(frozen=True)
class _Common:
    """What all fits of a call share; what identifies it is computed once for all of them."""

    trainer: Trainer
    table: LabelTable
    seen: Seen
    out: str | Path | None

    @cached_property
    def train(self) -> LabelTable:
        return self.table.train

    @cached_property
    def holdout(self) -> LabelTable:
        return self.table.holdout

    @cached_property
    def about(self) -> list[Any]:
        """What identifies items, trainer and views."""
        trainer, seen = self.trainer, self.seen
        views = [] if seen.tta == 1 else [asdict(seen)]
        items = [self.train.fingerprint, self.holdout.fingerprint]
        return [*items, trainer.name, trainer.describe(), *views]

    def targets(self, soft: SoftLabels | None) -> _Targets:
        """The soft labels, or (None) the given ones, as the trainer takes them."""
        train = self.train
        if soft is None:
            values = given_targets(self.trainer, train)
        else:
            values = soft.aligned(train.item, train.vocab)
        digest = hashlib.sha256()
        for block in target_blocks(values, train.n_classes):
            digest.update(block.data)
        return _Targets(values, digest.hexdigest())

    def wanted(
        self,
        name: str,
        targets: _Targets,
        seed: int,
        model_file: str | Path | None,
        split: Fold | None = None,
    ) -> _Wanted:
        """One fit on all training items, or on the first rows of a split."""
        rows, held = (None, None) if split is None else split
        parts = [] if split is None else [hashlib.sha256(np.asarray(held).data).hexdigest()]
        about = [*self.about, targets.digest, seed, *parts]
        mark = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
        out = None if self.out is None else Path(self.out)
        return _Wanted(
            name=f"{name}, seed {seed}",
            targets=targets.values if rows is None else taken(targets.values, rows),
            seed=seed,
            mark=mark.hexdigest(),
            file=None if out is None else out / f"{name}-seed-{seed}.safetensors",
            model_file=None if model_file is None else Path(model_file),
            rows=rows,
            held=held,
        )


def _kept_mark(file: Path, model_file: Path) -> Path:
    """Beside the fits: the fingerprint of the one whose model is kept, and the model's checksum."""
    return file.with_name(f"kept-{model_file.stem}.txt")


def _model_of(file: Path, model_file: Path) -> str | None:
    """The fingerprint of the fit whose model was kept last, None where there is no model."""
    mark = _kept_mark(file, model_file)
    if not Path(model_file).exists() or not mark.exists():
        return None
    made_from, _, content = mark.read_text(encoding="utf-8", errors="replace").partition(" ")
    return made_from if content == checksum(model_file) else None


def _finished(file: Path, mark: str) -> Fit | None:
    """What an earlier call left, None where there is nothing or it was made from something else."""
    kept = read_tensors_of(file, mark)
    if kept is None:
        return None
    curve = file.with_suffix(".parquet")
    try:
        history = read_parquet(curve) if curve.exists() else None
    except Damaged as error:
        warnings.warn(f"{error}; it is made again", stacklevel=2)
        return None
    views, held = kept.get("views"), kept.get("held")
    return Fit(kept["probabilities"], history, is_new=False, views=views, held=held)
