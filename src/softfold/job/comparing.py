"""Proof: train with given and with soft labels, all else equal, and measure on the hold-out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import align_targets
from softfold.crossfit.engines import Engine, get_engine
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.evaluation import measured_by_seed, paired_difference
from softfold.job.fitting import Fit, fit_seeds
from softfold.multilabel.measures import MEASURES, differences
from softfold.multilabel.soft import MultiSoftLabels
from softfold.soft_labels import SoftLabels
from softfold.trainers import TrainerLike, create_trainer
from softfold.trainers.per_class import for_multi_label


@dataclass(frozen=True)
class Comparison:
    """Two ways to train, measured on the same hold-out with the same seeds.

    Attributes:
        baseline, soft: (S seeds, M, K) float32 probabilities on the hold-out.
        labels: (M,) int64 labels measured against; rows with -1 are left out.
        against: "truth" or "given".
        strategy: what made the soft labels.
        history: learning curves (model, seed, epoch, ...), or None.
    """

    baseline: np.ndarray
    soft: np.ndarray
    labels: np.ndarray
    against: str
    strategy: str
    history: pd.DataFrame | None = field(default=None, repr=False)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """`baseline`, `soft`, `difference` and `accuracy_against`, as in metrics.json."""
        known = self.labels >= 0
        labels = self.labels[known]
        out: dict[str, Any] = {"accuracy_against": self.against}
        for name, probabilities in (("baseline", self.baseline), ("soft", self.soft)):
            out[name] = measured_by_seed(probabilities[:, known], labels)
        out["soft"]["strategy"] = self.strategy
        out["difference"] = paired_difference(self.baseline[:, known], self.soft[:, known], labels)
        return out

    def __str__(self) -> str:
        return comparison_table(self.metrics)


@dataclass(frozen=True)
class MultiComparison(Comparison):
    """The same of items with several labels: labels (M, K); probabilities are independent.

    Items of whose labels any is -1, not known, are left out.
    """

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """`baseline`, `soft`, `difference` by measure, and `accuracy_against`."""
        known = (self.labels >= 0).all(axis=1)
        labels, baseline, soft = self.labels[known], self.baseline[:, known], self.soft[:, known]
        out: dict[str, Any] = {"accuracy_against": self.against}
        for name, probabilities in (("baseline", baseline), ("soft", soft)):
            out[name] = {
                measure: [of(p, labels) for p in probabilities] for measure, of in MEASURES.items()
            }
        out["soft"]["strategy"] = self.strategy
        out["difference"] = differences(baseline, soft, labels)
        return out


def multi_comparison_table(metrics: dict[str, Any]) -> str:
    """The comparison of several labels an item as a few plain lines for a terminal."""
    lines = []
    for measure, title in (("mean_average_precision", "mean AP"), ("micro_f1", "micro F1")):
        lines.append(f"{title:<22}{'mean':>10}   by seed")
        for name, how in (("baseline", "given labels"), ("soft", "soft labels")):
            values = metrics[name][measure]
            seeds = " ".join(f"{v:.4f}" for v in values)
            lines.append(f"{how:<22}{np.mean(values):>10.4f}   {seeds}")
        d = metrics["difference"][measure]
        lines.append(
            f"{'difference':<22}{d['mean']:>+10.4f}, 95% interval {d['low']:+.4f} to "
            f"{d['high']:+.4f}, p = {d['p_value']:.3g}"
        )
    if d.get("over") == "items":
        lines.append("one seed: the interval covers the draw of the hold-out's items only")
    return "\n".join(lines)


def comparison_table(metrics: dict[str, Any]) -> str:
    """The comparison as a few plain lines for a terminal."""
    if "accuracy" not in metrics["baseline"]:
        return multi_comparison_table(metrics)
    lines = [f"{'':<22}{'accuracy':>10}{'ROC AUC':>10}   by seed"]
    for name, title in (("baseline", "given labels"), ("soft", "soft labels")):
        part = metrics[name]
        area = f"{np.mean(part['roc_auc']):.4f}" if "roc_auc" in part else "-"
        seeds = " ".join(f"{100 * a:.2f}" for a in part["accuracy"])
        lines.append(f"{title:<22}{100 * np.mean(part['accuracy']):>9.2f}%{area:>10}   {seeds}")
    d = metrics["difference"]
    lines.append(
        f"{'difference':<22}{100 * d['mean']:>+9.2f} points, 95% interval "
        f"{100 * d['low']:+.2f} to {100 * d['high']:+.2f}, p = {d['p_value']:.3g}"
    )
    if d["mean"] == d["low"] == d["high"] == 0:
        lines[-1] = "no difference: both ways are right on the same items; more items could tell"
    if d.get("over") == "items":
        lines.append("one seed: the interval covers the draw of the hold-out's items only")
    return "\n".join(lines)


def compare(
    table: LabelTable,
    soft: Any,
    trainer: TrainerLike = "probe",
    *,
    seeds: int = 3,
    seed: int = 0,
    out: str | Path | None = None,
    engine: str | Engine = "local",
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Train with given and with soft labels for several seeds; measure both on the hold-out.

    Of a multi-label table the measures are mean average precision and micro F1.

    Args:
        table: label table with hold-out items, which no cross-fit and no soft label has touched.
        soft: soft labels of the training items: one for all seeds, or a list of one a seed (each
            from folds of its own, which lets the interval cover the draw of the folds). Each is
            SoftLabels, an OutOfFold or a data frame, matched by key and class name, or a matrix
            in the order of the table (its training items, or all items).
        trainer: trains every model, with the same settings.
        seeds: how many seeds; `seed` is the first.
        out: folder; every finished model's predictions are kept there, and a second call goes on.
        engine: where the models are trained: "local", "ray", or an engine.
        progress: called with (finished models, all models).

    Raises:
        InputError: no hold-out; a training item without soft label; other class names.
    """
    if not table.valid.any():
        raise InputError(f"{table.name}: no hold-out to measure on (--valid, --holdout)")
    several = isinstance(soft, list | tuple) or np.ndim(soft) == 3
    softs = [_soft_labels_of(table, one) for one in (soft if several else [soft])]
    softs *= 1 if several else seeds
    if len(softs) != seeds:
        raise InputError(
            f"{len(softs)} sets of soft labels for {seeds} seeds: want one, or one each"
        )
    trainer = create_trainer(trainer)
    if table.multi_label:
        trainer = for_multi_label(trainer)

    def advance(before: int) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, n: progress(before + done, 2 * n)

    same: dict[str, Any] = {"seed": seed, "out": out, "engine": get_engine(engine)}
    baseline = fit_seeds(table, [None] * seeds, trainer, progress=advance(0), **same)
    trained = fit_seeds(table, softs, trainer, progress=advance(seeds), **same)
    return compare_fits(table, baseline, trained, strategy=softs[0].strategy, seed=seed)


def compare_fits(
    table: LabelTable, baseline: Sequence[Fit], soft: Sequence[Fit], *, strategy: str, seed: int = 0
) -> Comparison:
    """Measure fits that are made: one a seed on given labels, one a seed on soft labels.

    Args:
        table: the label table whose hold-out they predicted.
        baseline, soft: S fits each, in the order of the seeds.
        strategy: what made the soft labels.
        seed: the first seed.
    """
    curves = [
        fit.history.assign(model=name, seed=seed + s)
        for s, pair in enumerate(zip(baseline, soft, strict=True))
        for name, fit in zip(("baseline", "soft"), pair, strict=True)
        if fit.history is not None
    ]
    labels, against = holdout_labels(table)
    return (MultiComparison if table.multi_label else Comparison)(
        baseline=np.stack([fit.holdout for fit in baseline]),
        soft=np.stack([fit.holdout for fit in soft]),
        labels=labels,
        against=against,
        strategy=strategy,
        history=pd.concat(curves, ignore_index=True) if curves else None,
    )


def _soft_labels_of(table: LabelTable, targets: Any) -> SoftLabels:
    """Soft labels of a table's training items, whatever `compare` was given."""
    train = table.train
    strategy = targets.strategy if isinstance(targets, SoftLabels) else "targets"
    kind = MultiSoftLabels if table.multi_label else SoftLabels
    return kind(train.item, align_targets(table, targets), train.vocab, strategy)


def holdout_labels(table: LabelTable) -> tuple[np.ndarray, str]:
    """(M,) labels of the hold-out to measure against, and which: "truth" or "given"."""
    holdout = table.holdout
    if holdout.truth is not None and (holdout.truth >= 0).any():
        return holdout.truth, "truth"
    return holdout.given, "given"
