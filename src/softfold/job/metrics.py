"""metrics.json: of a cross-fit, of a comparison, and of an audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softfold.job.comparing import Comparison
from softfold.job.job import Job
from softfold.job.kinds import kind_of
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
    data = {
        "n_train": len(job.train),
        "n_valid": int(job.table.valid.sum()),
        "n_classes": job.table.n_classes,
    }
    return {"data": data} | kind_of(job.table).measured(job, made)
