"""The main job: label table, cross-fit, soft labels, comparison, report; each step on disk."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.lookalikes import LookAlikes
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.errors import InputError, require
from softfold.job.preparing import untangle
from softfold.job.steps import Job
from softfold.progress import Progress
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.trainers import Trainer, create_trainer, default_trainers, takes


def open_job(
    settings: Settings,
    out: str | Path,
    *,
    table: LabelTable | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Job:
    """Read the labels, look for copies, draw the hold-out where there is none, write config.json.

    Raises:
        InputError: bad labels or settings; a run folder that holds another job.
    """
    require("pyarrow", extra="cli")
    require("safetensors", extra="cli")
    settings = settings.absolute()
    run = Run(out)
    _claim(run, settings, resume)
    progress = Progress(quiet=quiet)
    with progress.step("load", "reading the labels"):
        if table is None:
            with warnings.catch_warnings():
                if not quiet:  # the notes say it
                    warnings.simplefilter("ignore", LookAlikes)
                table = settings.read_labels()
        table, notes, groups = untangle(table, settings)
    job = _begin(run, settings, table, groups, progress, notes)
    job.plan(0)  # what folds cannot be drawn of is refused before anything is written
    run.path.mkdir(parents=True, exist_ok=True)
    job.write_config()
    return job


def reopen_job(path: str | Path, *, quiet: bool = False, **changes: Any) -> Job:
    """A job on a run that is there: its items and settings, with the changes that are not None."""
    run = Run.open(path)
    progress = Progress(quiet=quiet)
    changes = {k: v for k, v in changes.items() if v is not None}
    settings = replace(run.settings, **changes)
    with progress.step("load", "reading the run"):
        table, _, groups = untangle(run.table(), replace(settings, decisions=None))
    job = _begin(run, settings, table, groups, progress, run.config["notes"])
    if changes:
        job.write_config()
    return job


def _begin(
    run: Run,
    settings: Settings,
    table: LabelTable,
    groups: np.ndarray | None,
    progress: Progress,
    notes: list[str],
) -> Job:
    """Choose and make the trainers, set up the machine, and say so."""
    name, oof_name, why = default_trainers(table, settings.trainer)
    oof_name = settings.oof_trainer or oof_name
    _check_options(settings, name, oof_name)
    asked = {s: getattr(settings, s) for s in ("arch", "weights", "size", "epochs", "device")}
    trainer = create_trainer(name, **asked)
    oof_trainer = trainer if oof_name == name else create_trainer(oof_name, **asked)
    runtime_line = _set_up(settings, trainer, oof_trainer)
    progress.say(
        f"{table.name}: {int((~table.valid).sum()):,} training items, "
        f"{int(table.valid.sum()):,} in the hold-out, {table.n_classes} classes"
    )
    for line in notes:
        progress.say(line)
    progress.say(f"trainer: {name}, out-of-fold predictions: {oof_name} ({why})")
    if runtime_line:
        progress.say(runtime_line)
    return Job(run, settings, table, groups, trainer, oof_trainer, progress, notes)


def run(
    labels: str | Path | pd.DataFrame | LabelTable,
    out: str | Path = "runs/softfold",
    *,
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """The whole job: cross-fit, soft labels, training with both, comparison, report.

    Args:
        labels: a CSV or Parquet file, a folder, a known dataset's name, a data frame or a
            LabelTable.
        out: the run folder to write.
        resume: go on with the run that is there.
        quiet: print nothing.
        settings: the command line's options (see `softfold.runs.settings.Settings`).

    Returns:
        The run folder, with `metrics`, `items`, `soft_labels` and the rest.
    """
    table = labels if isinstance(labels, LabelTable) else None
    if isinstance(labels, pd.DataFrame):
        columns = ("images", "path", "label", "valid", "truth", "group")
        table = read_table(labels, **{c: settings.get(c) for c in columns})
    named = table.name if table is not None else str(labels)
    asked = Settings(labels=named, **settings)
    job = open_job(asked, out, table=table, resume=resume, quiet=quiet)
    return finish(job)


def finish(job: Job) -> Run:
    """Every step of a job that is not done yet, then metrics.json and the report."""
    seeds = job.settings.seeds
    job.crossfit(seeds)
    job.write_metrics(job.compare(job.soften(seeds)))
    from softfold.report import write_report

    write_report(job.run.path)
    return Run(job.run.path)


def _claim(run: Run, settings: Settings, resume: bool) -> None:
    """A run folder belongs to one job: a new one, or with `resume` the same one."""
    if run.path.is_file():
        raise InputError(f"{run.path}: a file is there; give a folder (--out)")
    if not run.path.exists() or not any(run.path.iterdir()):
        return
    if not run.has("config.json"):
        raise InputError(
            f"{run.path}: the folder is not empty and holds no run; give another --out"
        )
    if not resume and not any(run.path.rglob("*.safetensors")):
        return  # nothing there was finished
    if not resume:
        raise InputError(
            f"{run.path}: a run is there already; --resume goes on with it, --out DIR makes another"
        )
    before, now = run.config["settings"], settings.to_json()
    other = [k for k in now if before.get(k) != now[k] and k != "seeds"]
    if other:
        k = other[0]
        raise InputError(
            f"{run.path}: the run was made with {k} {before.get(k)!r}, not {now[k]!r}; "
            "give the same settings or another --out"
        )


def _check_options(settings: Settings, trainer: str, oof_trainer: str) -> None:
    for name in ("arch", "weights", "size", "epochs"):
        if getattr(settings, name) is None:
            continue
        if not takes(trainer, name) and not takes(oof_trainer, name):
            raise InputError(
                f"--{name} does not go with the trainer {trainer!r}: use --trainer finetune"
            )


def _set_up(settings: Settings, *trainers: Trainer) -> str | None:
    """The machine's settings for torch trainers, in one line."""
    if not any(trainer.uses_torch for trainer in trainers):
        return None
    from softfold.machine import runtime

    runtime.setup(device=settings.device)
    return runtime.describe()
