"""What a job does differently where items have one label, and where they may have several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from softfold.arrays import likeliest
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.evaluation import accuracy, average_precision, log_loss
from softfold.job.items import items_frame, several_items_frame
from softfold.multilabel.measures import MEASURES
from softfold.multilabel.noise import MultiLabelNoise
from softfold.multilabel.noise import estimate_noise as estimate_noise_of_each
from softfold.multilabel.ranking import rank_issues
from softfold.multilabel.soft import soften as soften_each
from softfold.noise.estimation import estimate_noise
from softfold.noise.model import NoiseModel
from softfold.noise.words import rate_fields
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.softening import soften

if TYPE_CHECKING:
    from softfold.job.job import Job
    from softfold.job.steps import SeedCrossFit


@dataclass(frozen=True)
class Kind:
    """The functions that take one label an item, or several.

    Attributes:
        noise: what noise.json holds, with `from_json`.
        estimate_noise: called with given labels and out-of-fold predictions.
        soften: called with the table, predictions and the settings of `softfold.soften`.
        write_items: writes items.parquet and what else is said of items.
        measured: `oof`, `noise` and `issues` of metrics.json.
    """

    noise: Any
    estimate_noise: Callable[..., Any]
    soften: Callable[..., Any]
    write_items: Callable[[Job, SeedCrossFit], None]
    measured: Callable[[Job, SeedCrossFit], dict[str, Any]]


def kind_of(table: LabelTable) -> Kind:
    """That of a label table's items."""
    return SEVERAL if table.multi_label else ONE


def check_several(table: LabelTable, settings: Settings) -> None:
    """Raises InputError naming the first setting that items with several labels do not take."""
    if not table.multi_label:
        return
    for name in ("recipe", "decisions", "annotator", "noise", "data", "ensemble", "features"):
        if getattr(settings, name):
            raise InputError(f"--{name} does not go with several labels an item (--label-delim)")
    if settings.tta > 1:
        raise InputError("--tta does not go with several labels an item (--label-delim)")


def _write_items(job: Job, made: SeedCrossFit) -> None:
    job.writer.items(items_frame(job.table, made.oof, made.noise, job.decisions))


def _measured(job: Job, made: SeedCrossFit) -> dict[str, Any]:
    train, p = job.train, made.oof.probabilities
    out: dict[str, Any] = {
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


def _write_several(job: Job, made: SeedCrossFit) -> None:
    issues = rank_issues(job.train, made.oof, noise=made.noise)
    job.writer.items(several_items_frame(job.table, made.oof, issues))  # type: ignore[arg-type]
    job.writer.issues(issues.drop(columns="index"))


def _measured_several(job: Job, made: SeedCrossFit) -> dict[str, Any]:
    train, p, noise = job.train, np.asarray(made.oof.probabilities), made.noise
    rate: dict[str, Any] = {} if np.isnan(noise.rate) else {"rate_estimate": float(noise.rate)}
    rate["rate_low"], rate["rate_high"] = noise.rate_interval
    out: dict[str, Any] = {
        "oof": {f"{name}_given": float(of(p, train.given)) for name, of in MEASURES.items()},
        "noise": rate,
    }
    if train.truth is not None and (train.truth >= 0).any():
        known = (train.truth >= 0).all(axis=1)
        truth, given = train.truth[known], train.given[known]
        out["oof"] |= {f"{name}_truth": float(of(p[known], truth)) for name, of in MEASURES.items()}
        rate["rate_truth"] = float((given != truth).mean())
    return out


ONE = Kind(NoiseModel, estimate_noise, soften, _write_items, _measured)
SEVERAL = Kind(
    MultiLabelNoise, estimate_noise_of_each, soften_each, _write_several, _measured_several
)
