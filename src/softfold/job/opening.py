"""Opening a job: what it works on and with, all chosen and checked before anything is written."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from softfold.data.item_features import ItemFeatures, read_item_features
from softfold.data.leaving_out import shown
from softfold.data.lookalikes import LookAlikes
from softfold.data.table import LabelTable
from softfold.decisions.applying import read_decisions
from softfold.errors import InputError, count_of, require
from softfold.files import Damaged, told_if_damaged
from softfold.job.job import Job, engine_for
from softfold.job.kinds import check_several
from softfold.job.preparing import prepare_items
from softfold.job.trainers import choose_trainers
from softfold.profiling import Profile
from softfold.progress import Progress
from softfold.runs.folder import FILES, Run
from softfold.runs.given_features import FEATURES, features_for, known_features
from softfold.runs.lock import is_empty
from softfold.runs.settings import Settings
from softfold.runs.writing import RunWriter
from softfold.trainers import create_trainer
from softfold.trainers.per_class import for_multi_label

_ASIDE = ".damaged"
"""What is put behind the name of a file that is not what was written."""

_MAY_DIFFER = ("seeds", "names", "engine", "workers", "ray_address")
"""Settings that a job may go on with changed: names are only shown."""


def open_job(
    settings: Settings,
    out: str | Path,
    *,
    table: LabelTable | None = None,
    resume: bool = False,
    quiet: bool = False,
    profile: Profile | None = None,
    measured: bool = True,
) -> Job:
    """A new job, or with `resume` the one in the folder: its items and trainers, and config.json.

    Args:
        settings: what was asked for.
        out: the run folder.
        table: the label table, where the settings do not say how to read it.
        resume: go on with the run that is there.
        quiet: print nothing.
        profile: keeps the seconds of each step by function.
        measured: whether a comparison will be measured, for which a hold-out is drawn where none
            is given.

    Raises:
        InputError: bad labels or settings; a run folder that holds another job.
    """
    require("pyarrow", extra="cli")
    require("safetensors", extra="cli")
    settings, run = settings.absolute(), Run(out)
    progress = Progress(quiet=quiet, profile=profile)
    _claim(run, settings, resume)
    if resume:
        _set_damaged_aside(run)
    engine_for(settings)  # what it lacks, or a cluster that does not answer, is said first
    with progress.step("load", "reading the labels"):
        decisions = None
        if settings.decisions is not None:
            decisions = read_decisions(settings.decisions, with_content=True)
        _same_decisions(run, decisions)
        if table is None:
            with warnings.catch_warnings():
                if not quiet:  # the notes say it
                    warnings.simplefilter("ignore", LookAlikes)
                # what is broken is refused with what does not decode, all at once
                table = settings.read_labels(on_error="skip")
        check_several(table, settings)
        features = features_for(settings, table)
        table, notes, groups = prepare_items(
            table, settings, decisions, features=features, measured=measured
        )
        _same_holdout(run, table)
        _same_left_out(run, table)
        if features is not None:
            features = features.take(table.item)
        _same_features(run, features)
    trainers = choose_trainers(table, settings, features)
    job = Job(
        settings=settings,
        table=table,
        groups=groups,
        decisions=decisions,
        trainer=trainers.final,
        oof_trainer=trainers.oof,
        notes=tuple(notes),
        writer=RunWriter(run.path),
        progress=progress,
        features=features,
    )
    _introduce(job, trainers.why)
    job.plan(0)  # what folds cannot be drawn of is refused before anything is written
    job.write_config()
    job.writer.skipped(table.left_out)
    if decisions is not None:
        job.writer.decisions(decisions)
    return job


def reopen_job(path: str | Path, *, quiet: bool = False, **changes: Any) -> Job:
    """A job on a run that is there: its items, decisions and settings, with the changes.

    Changes of arch, size and the like are for the final models: the out-of-fold predictions of
    the run, and those of further seeds, are by the trainer that config.json names.
    """
    run, progress = Run.open(path, several=True), Progress(quiet=quiet)
    changes = {k: v for k, v in changes.items() if v is not None}
    settings, config = replace(run.settings, **changes).absolute(), run.config
    with progress.step("load", "reading the run"):
        decisions = run.decisions if settings.decisions is not None else None
        features = _reopened_features(run, settings, changes)
        table = run.table()
        check_several(table, settings)
        table, _, groups = prepare_items(table, settings, of_run=True, features=features)
    trainers = choose_trainers(table, settings, features)
    same = (trainers.oof.name, trainers.oof.describe())
    with told_if_damaged(run.path / "config.json"):
        before = (config["oof_trainer"], config["oof_trainer_settings"])
        if same != before and "recipe" not in before[1]:
            known = {**before[1], "device": settings.device}
            known["features"] = known_features(run, before[1])
            made = create_trainer(before[0], **known)
            made = for_multi_label(made) if table.multi_label else made
            trainers = replace(trainers, oof=made)
    job = Job(
        settings=settings,
        table=table,
        groups=groups,
        decisions=decisions,
        trainer=trainers.final,
        oof_trainer=trainers.oof,
        notes=tuple(config.get("notes", ())),
        writer=RunWriter(run.path),
        progress=progress,
        features=features,
        reopened=True,
    )
    _introduce(job, trainers.why)
    if changes:
        job.write_config()
    return job


def _reopened_features(
    run: Run, settings: Settings, changes: dict[str, Any]
) -> ItemFeatures | None:
    """The features of a run's items: those that it keeps, or those of another file."""
    if settings.features is None:
        return None
    if "features" not in changes and run.has(FEATURES):
        return read_item_features(run.file(FEATURES))
    labels = run.settings.read_labels(on_error="skip") if run.settings.can_be_read else None
    found = features_for(settings, labels)
    return None if found is None else found.take(run.items["item"])


def _introduce(job: Job, why: str) -> None:
    """Say what is about to happen, and on what."""
    table, say = job.table, job.progress.say
    say(
        f"{table.name}: {int((~table.valid).sum()):,} training items, "
        f"{int(table.valid.sum()):,} in the hold-out, {table.n_classes} classes"
    )
    for line in job.notes:
        say(line)
    oof = job.oof_trainer.name
    say(f"trainer: {job.trainer.name}, out-of-fold predictions: {oof} ({why})")
    if job.trainer.uses_torch or job.oof_trainer.uses_torch:
        from softfold.machine import runtime

        say(runtime.describe())


def _set_damaged_aside(run: Run) -> None:
    """Rename files of a run that are not what was written, so that they are made again.

    What the job does not read, it writes anew anyway.
    """
    for part in ("decisions", "metrics"):
        try:
            run.get(part)
        except Damaged as error:
            file = run.path / FILES[part]
            file.replace(file.with_name(file.name + _ASIDE))
            warnings.warn(
                f"{error}; it is kept as {file.name}{_ASIDE} and made again", stacklevel=2
            )


def has_finished_parts(path: str | Path) -> bool:
    """Whether a run is there of which something is finished: another job would overwrite it."""
    run = Run(path)
    return run.has("config.json") and any(run.path.rglob("*.safetensors"))


def _claim(run: Run, settings: Settings, resume: bool) -> None:
    """A run folder belongs to one job: a new one, or with `resume` the same one."""
    if run.path.is_file():
        raise InputError(f"{run.path}: a file is there; give a folder for the run")
    if is_empty(run.path):
        return
    if not run.has("config.json"):
        raise InputError(
            f"{run.path}: the folder is not empty and holds no run; give another folder"
        )
    if not resume and not has_finished_parts(run.path):
        return
    if not resume:
        raise InputError(
            f"{run.path}: a run is there already; --resume goes on with it, --out DIR makes another"
        )
    try:
        before, now = run.settings.to_json(), settings.to_json()
    except Damaged as error:  # whose run it is cannot be known: nothing in it is touched
        raise InputError(f"{error}; put a copy of it back, or give another folder") from None
    other = [k for k in now if before.get(k) != now[k] and k not in _MAY_DIFFER]
    if other:
        k = other[0]
        raise InputError(
            f"{run.path}: the run was made with {k} {before.get(k)!r}, not {now[k]!r}; "
            "give the same settings or another folder"
        )


def _same_holdout(run: Run, table: LabelTable) -> None:
    """A run that goes on does so with a hold-out where it began with one, and only there."""
    now = bool(table.valid.any())
    if not has_finished_parts(run.path) or run.config.get("has_holdout", now) == now:
        return
    what = "lists all labels and has no hold-out" if now else "has a hold-out, which is not listed"
    raise InputError(f"{run.path}: the run that is there {what}: give another folder")


def _same_left_out(run: Run, table: LabelTable) -> None:
    """A run that goes on does so without the same items."""
    if not any(run.path.rglob("*.safetensors")):
        return
    skipped = run.get("skipped")
    before = set() if skipped is None else set(skipped["item"])
    now = {each.item: each.reason for each in table.left_out}
    other = sorted(before ^ set(now))
    if other:
        first = other[0]
        what = f"cannot be used now ({now[first]})" if first in now else "could not be used then"
        raise InputError(
            f"{run.path}: {count_of(len(other), 'item')} cannot be used now but could when the run "
            f"began, or the other way round; the first is {shown(first)}, which {what}: bring the "
            "files back as they were, or give another folder"
        )


def _same_features(run: Run, features: ItemFeatures | None) -> None:
    """A run that goes on does so with the features that it began with."""
    if features is None or not any(run.path.rglob("*.safetensors")):
        return
    config = run.config
    parts = [config.get(f"{which}trainer_settings", {}) for which in ("", "oof_")]
    before = {part["features"] for part in parts if "features" in part}
    if before and features.digest not in before:
        raise InputError(
            f"{run.path}: the features have changed since the run began ({features.name}): bring "
            "them back as they were, or give another folder"
        )


def _same_decisions(run: Run, decisions: pd.DataFrame | None) -> None:
    """A run that goes on does so with the decisions that it began with."""
    before = run.get("decisions")
    if before is None or decisions is None or not any(run.path.rglob("*.safetensors")):
        return
    columns = ["item", "state", "label"]
    kept = {tuple(row) for row in before[columns].to_numpy()}
    other = [row for row in decisions[columns].to_numpy() if tuple(row) not in kept]
    if other or len(before) != len(decisions):
        first = other[0][0] if other else "one that is gone"
        raise InputError(
            f"{run.path}: decisions have changed since the run began; the first is about "
            f"{first!r}: give another folder"
        )
