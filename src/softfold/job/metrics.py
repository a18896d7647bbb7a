"""metrics.json: of a cross-fit, of a comparison, and of an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softfold.arrays import likeliest
from softfold.evaluation import accuracy, average_precision, log_loss
from softfold.job.comparing import Comparison
from softfold.job.job import Job
from softfold.noise.model import NoiseModel
from softfold.noise.words import rate_fields
from softfold.runs.folder import Run

if TYPE_CHECKING:
    from softfold.job.steps import SeedCrossFit


def write_rate(job: Job, noise: NoiseModel) -> None:
    """What an audit found, in the metrics.json that is there."""
    metrics = Run(job.writer.path).get("metrics")
    if metrics is not None:
        metrics["noise"] |= rate_fields(noise)
        job.writer.metrics(metrics)


def write_metrics(
    job: Job, first: SeedCrossFit, comparison: Comparison | None = None, **more: Any
) -> dict[str, Any]:
    """metrics.json: of the first seed's cross-fit, and of the comparison where there is one."""
    metrics = _cross_fit_metrics(job, first) | more
    if comparison is not None:
        metrics.update(comparison.metrics)
    known = Run(job.writer.path).get("metrics", {})
    spent = {**known.get("seconds", {}), **job.progress.seconds}
    spent["total"] = sum(v for k, v in spent.items() if k != "total")
    metrics["seconds"] = {k: round(v, 3) for k, v in spent.items()}
    job.writer.metrics(metrics)
    return metrics


def _cross_fit_metrics(job: Job, made: SeedCrossFit) -> dict[str, Any]:
    train, p = job.train, made.oof.probabilities
    out: dict[str, Any] = {
        "data": {
            "n_train": len(train),
            "n_valid": int(job.table.valid.sum()),
            "n_classes": job.table.n_classes,
        },
        "oof": {
            "accuracy_given": float(accuracy(p, train.given)),
            "log_loss_given": float(log_loss(p, train.given)),
        },
        "noise": rate_fields(made.noise),
    }
    if train.truth is not None and (train.truth >= 0).any():
        known = train.truth >= 0
        wrong = train.given[known] != train.truth[known]
        out["oof"]["accuracy_truth"] = float((likeliest(p) == train.truth)[known].mean())
        out["noise"]["rate_truth"] = float(wrong.mean())
        if 0 < wrong.sum() < len(wrong):
            suspicion = Run(job.writer.path).suspicion[known]
            found = average_precision(suspicion, wrong)
            out["issues"] = {} if found is None else {"average_precision": float(found)}
    return out
