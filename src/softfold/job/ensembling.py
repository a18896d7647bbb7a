"""Averages of models: the folds' models, several views of an image, given and soft labels.

All are measured on the hold-out against the one soft model that sees each image once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from softfold.crossfit.oof import OutOfFold, checked_fold
from softfold.errors import count_of
from softfold.evaluation import measured_by_seed, paired_difference
from softfold.job.comparing import Comparison
from softfold.job.fitting import Fit, Seen, fit_folds
from softfold.job.job import Job
from softfold.large_arrays import scratch
from softfold.pixels.views import views
from softfold.progress import Advance, part_of
from softfold.runs.manifest import written
from softfold.runs.members import LABELS, member, title_of
from softfold.soft_labels import SoftLabels
from softfold.trainers.ensemble import viewed

SINGLE = "soft"
"""The predictions that all others are compared with: those of the one soft model."""


def seen_by(job: Job) -> Seen:
    """The views of the hold-out's images that the job's models predict as well."""
    return Seen(job.settings.tta, job.settings.flip, job.settings.seed)


def prepare_views(job: Job) -> None:
    """What all fits share of the views of the hold-out's images, such as features."""
    seen, trainer = seen_by(job), job.trainer
    if seen.tta == 1 or trainer.prepares is None:
        return
    tables = viewed(job.table.holdout, views(**asdict(seen)))[1:]
    title = f"{trainer.prepares} of {count_of(len(tables), 'more view')} of the hold-out"
    with job.progress.step("crossfit", title) as advance:
        for i, table in enumerate(tables):
            trainer.prepare(table)
            advance(i + 1, len(tables))


def folds_are_kept_from_cross_fit(job: Job) -> bool:
    """Whether the kept fold models on given labels are those of the cross-fit itself."""
    return job.settings.ensemble and job.settings.repeats == 1 and job.trainer is job.oof_trainer


def train_folds(
    job: Job, s: int, soft: SoftLabels | None, progress: Advance | None = None
) -> list[Fit]:
    """The s-th seed's fold models on soft labels, or (None) on given ones; the first seed's models
    are kept in the run."""
    labels = LABELS[soft is not None]
    names = [member(labels, fold) for fold in range(job.settings.folds)] if s == 0 else []
    with written(job.writer.path, *names):
        return fit_folds(
            job.table,
            job.plan(s),
            labels,
            soft,
            job.trainer,
            seed=job.seed(s),
            out=job.fits,
            model_files=[job.writer.path / name for name in names] or None,
            engine=job.engine,
            seen=seen_by(job),
            progress=progress,
        )


def out_of_fold(job: Job, s: int, fits: list[Fit]) -> OutOfFold:
    """What the s-th seed's fold models predict of the folds that they did not see."""
    train, plan = job.train, job.plan(s)
    probabilities = scratch((len(train), train.n_classes))
    for fold, ((_, held), fit) in enumerate(zip(plan.splits(0), fits, strict=True)):
        shape = (len(held), train.n_classes)
        probabilities[held] = checked_fold(fit.held, shape, job.trainer.name, fold)
    return OutOfFold(train.item, probabilities, plan.fold, train.vocab)


def average(
    job: Job, softs: list[SoftLabels], baseline: list[Fit], soft: list[Fit]
) -> dict[str, np.ndarray]:
    """Predictions on the hold-out, each (S, M, K) float32, of every model or mean of models.

    Names are those of metrics.json: `given`, `soft`; with `_views` averaged over views of each
    image, with `_folds` over the folds' models; `both` is the mean of given and soft.
    """
    groups: dict[str, Any] = {"": (baseline, soft)}
    if job.settings.ensemble:
        none = [None] * len(softs)
        groups["_folds"] = tuple(_folds(job, *each) for each in (("given", none), ("soft", softs)))
    out: dict[str, np.ndarray] = {}
    for end, (given, softened) in groups.items():
        for what in ("holdout", "views") if job.settings.tta > 1 else ("holdout",):
            name = end + ("_views" if what == "views" else "")
            for labels, fits in (("given", given), ("soft", softened)):
                out[labels + name] = np.stack([_of(each, what) for each in fits])
            out["both" + name] = (out["given" + name] + out["soft" + name]) / 2
    return out


def _folds(job: Job, labels: str, softs: Sequence[SoftLabels | None]) -> list[list[Fit]]:
    """The fold models of every seed."""
    title = f"fold models on {labels} labels ({job.trainer.name})"
    with job.progress.step("ensemble", title) as advance:
        out = []
        for s, soft in enumerate(softs):
            out.append(train_folds(job, s, soft, part_of(advance, s, len(softs))))
    return out


def _of(fit: Fit | list[Fit], what: str) -> np.ndarray:
    """(M, K) of a fit, or the mean of those of several."""
    if isinstance(fit, Fit):
        return getattr(fit, what)
    return np.mean([getattr(each, what) for each in fit], axis=0, dtype=np.float64).astype("f4")


def ensemble_metrics(
    job: Job, predictions: dict[str, np.ndarray], compared: Comparison
) -> dict[str, Any]:
    """The key `ensemble` of metrics.json: each average, and how it differs from the one soft."""
    known = compared.labels >= 0
    labels, single = compared.labels[known], predictions[SINGLE][:, known]
    measured = {"given": compared.metrics["baseline"], SINGLE: compared.metrics["soft"]}
    models: dict[str, Any] = {}
    for name, each in predictions.items():
        if name in measured:  # by the comparison
            about = {k: v for k, v in measured[name].items() if k != "strategy"}
        else:
            about = measured_by_seed(each[:, known], labels)
        if name != SINGLE:
            about["difference"] = paired_difference(single, each[:, known], labels)
        models[name] = about
    out: dict[str, Any] = {"tta": job.settings.tta, "flip": job.settings.flip}
    if job.settings.ensemble:
        out["folds"] = job.settings.folds
    return out | {"models": models}


def ensemble_table(metrics: dict[str, Any]) -> str:
    """The averages and their differences to the one soft model, as lines for a terminal.

    metrics: the key `ensemble` of metrics.json.
    """
    lines = [f"{'':<32}{'accuracy':>10}{'ROC AUC':>10}   less the one soft model, 95% interval"]
    for name, part in metrics["models"].items():
        area = f"{np.mean(part['roc_auc']):.4f}" if "roc_auc" in part else "-"
        line = f"{title_of(name, metrics):<32}{100 * np.mean(part['accuracy']):>9.2f}%{area:>10}"
        d = part.get("difference")
        if d is not None:
            line += f"   {100 * d['mean']:+.2f} ({100 * d['low']:+.2f} to {100 * d['high']:+.2f})"
        lines.append(line)
    return "\n".join(lines)
