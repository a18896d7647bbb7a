"""Running jobs: the row of steps from labels to the report, and parts of it on a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from softfold.align import as_frame
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.files import remove_unfinished
from softfold.job import steps
from softfold.job.job import Job
from softfold.job.metrics import write_metrics, write_rate
from softfold.job.opening import open_job, reopen_job
from softfold.job.recipes import get_recipe, settings_of
from softfold.profiling import Profile
from softfold.report import write_report
from softfold.runs.folder import Run
from softfold.runs.lock import locked
from softfold.runs.settings import Settings
from softfold.soft_labels import SoftLabels
from softfold.stopping import watch


def run(
    labels: str | Path | pd.DataFrame | LabelTable,
    out: str | Path = "runs/softfold",
    *,
    resume: bool = False,
    quiet: bool = False,
    profile: bool = False,
    **settings: Any,
) -> Run:
    """The whole job: cross-fit, soft labels, training with both, comparison, report.

    Args:
        labels: a CSV or Parquet file, a folder, a known dataset's name, a data frame or a
            LabelTable, also one of items with several labels (`softfold.multilabel`).
        out: the run folder to write.
        resume: go on with the run that is there.
        quiet: print nothing.
        profile: write where the seconds went, by step and by function, into profile.json and the
            report.
        settings: the command line's options (docs/settings.md).

    Returns:
        The run folder, with `metrics`, `items`, `soft_labels` and the rest.
    """
    labels = as_frame(labels)
    table = labels if isinstance(labels, LabelTable) else None
    if isinstance(labels, pd.DataFrame):
        kept: dict[str, Any] = {"keys_are_enough": settings.get("features") is not None}
        kept["on_error"] = "skip"
        columns = ("images", "path", "item", "label", "valid", "truth", "group", "names")
        kept |= {c: settings.get(c) for c in columns}
        if settings.get("label_delim") is not None:
            from softfold.multilabel.reading import read_table as read_several

            table = read_several(labels, label_delim=settings["label_delim"], **kept)
        else:
            table = read_table(labels, **kept)
    named = table.name if table is not None else str(labels)
    asked = settings_of(labels=named, **settings)
    return run_settings(asked, out, table=table, resume=resume, quiet=quiet, profile=profile)


def run_settings(settings: Settings, out: str | Path, *, profile: bool = False, **how: Any) -> Run:
    """The whole job of settings that are made; `profile` as in `run`, `how` that of `open_job`."""
    kept = Profile() if profile else None
    try:
        with writes(out):
            return finish(open_job(settings, out, profile=kept, **how))
    finally:
        if kept is not None:
            kept.close()


@contextmanager
def writes(path: str | Path) -> Iterator[None]:
    """Write a run folder in here: nobody else does, and Ctrl-C waits for the step in hand."""
    with locked(path), watch():
        if Run(path).has("config.json"):
            remove_unfinished(Path(path))
        yield


def finish(job: Job) -> Run:
    """Every step of a job that is not done yet, then metrics.json and the report."""
    if job.settings.recipe is not None:
        get_recipe(job.settings.recipe).finish(job)
    else:
        steps.every_step(job)
    if job.progress.profile is not None:
        job.writer.profile(job.progress.profile.close())
    write_report(job.writer.path)
    return Run.at(job.writer.path)


def crossfit_settings(settings: Settings, out: str | Path, **how: Any) -> dict[str, Any]:
    """Out-of-fold predictions and the noise model of one seed; gives the metrics."""
    with writes(out):
        return crossfit_labels(open_job(settings, out, **how))


def crossfit_labels(job: Job) -> dict[str, Any]:
    """Out-of-fold predictions and the noise model of a job's first seed; gives the metrics."""
    return write_metrics(job, steps.cross_fit_seeds(job, 1)[0])


def soften_run(path: str | Path, *, quiet: bool = False, **changes: Any) -> tuple[Job, SoftLabels]:
    """Soft labels of a run's out-of-fold predictions, and the job that made them."""
    with writes(Run.open(path, several=True).path):
        job = reopen_job(path, quiet=quiet, **changes)
        before = _first(job)
        made = steps.with_audit(job, before)
        if made.noise is not before.noise:
            steps.write_cross_fit(job, made)
            write_rate(job, made.noise)
        return job, steps.soften_seeds(job, [made])[0]


def train_run(path: str | Path, *, quiet: bool = False, **changes: Any) -> Job:
    """One model on a run's soft labels, kept in the run; gives the job that made it."""
    soft = Run.open(path, several=True).soft_labels
    with writes(path):
        job = reopen_job(path, quiet=quiet, **changes)
        steps.train_soft(job, [soft])
        steps.train_members(job, soft)
        return job


def compare_run(path: str | Path, *, quiet: bool = False, **changes: Any) -> Run:
    """Every step that a run lacks, with the changes; gives the run.

    Raises:
        InputError: a run without a hold-out, as `softfold issues` makes it.
    """
    with writes(Run.open(path, several=True).path):
        job = reopen_job(path, quiet=quiet, **changes)
        if not job.table.valid.any():
            raise InputError(
                f"{path}: the run lists labels and has no hold-out to compare on: softfold run "
                "LABELS --out DIR makes one that has"
            )
        return finish(job)


def _first(job: Job) -> steps.SeedCrossFit:
    """The cross-fit of the first seed, which the run must have."""
    made = steps.kept_cross_fit(job, 0)
    if made is None:
        run = Run.at(job.writer.path)
        made = steps.SeedCrossFit(run.oof, run.noise)
    return made
