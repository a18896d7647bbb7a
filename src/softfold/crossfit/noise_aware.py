"""Cross-fits that know the noise: models trained through T, and T estimated from what they say.

Rows are predicted by models that did not see them in every round. What passes from one fold to
another is T, its temperature and the strength of the penalty: some numbers that all items share;
where the trainer cannot train through T, also its predictions of other items, as in stacking.
`docs/method.md` says what that leaves, measured against a nested cross-fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from softfold.crossfit import neighbours
from softfold.crossfit.oof import OutOfFold
from softfold.crossfit.plain import cross_fit, draw_plan
from softfold.data.folds import FoldPlan
from softfold.data.table import LabelTable
from softfold.noise.estimation import (
    almost_none,
    anchored,
    estimate_from_evidence,
    explain,
    model_levels,
    prepared,
)
from softfold.noise.evidence import FLOOR, Evidence, confident_joint, gather, plateau
from softfold.noise.model import NoiseModel
from softfold.trainers import Trainer, create_trainer

MAX_ROUNDS = 4
SAME_START = 0.1
"""Starts for T whose rows differ by less (mean sum of absolute differences) are one."""

LEAST_GAIN = 3e-4
"""A round that adds less log likelihood an item (in nats) changes nothing that matters."""


@dataclass(frozen=True)
class NoiseAware:
    """What `noise_aware_cross_fit` made.

    oof:    predictions of the true class, p(k | x), before `noise.temperature`
    noise:  the noise model that belongs to them
    plain:  out-of-fold predictions of the given labels, from the first cross-fit
    rounds: one entry a cross-fit: start, log_likelihood (mean of log p(given | x)), rate
    """

    oof: OutOfFold
    noise: NoiseModel
    plain: OutOfFold
    rounds: list[dict[str, Any]]


def noise_aware_cross_fit(
    table: LabelTable,
    trainer: str | Trainer = "probe",
    plan: FoldPlan | None = None,
    *,
    n_folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    max_rounds: int = MAX_ROUNDS,
    out: str | Path | None = None,
    engine: str = "local",
    progress: Callable[[int, int], None] | None = None,
) -> NoiseAware:
    """Out-of-fold predictions of the truth, and the noise model, from given labels alone.

    First a plain cross-fit. From it two transition matrices, by EM and by the confident joint;
    models are trained through each (forward correction, Patrini et al. 2017), T and temperature
    are estimated again by EM on their out-of-fold predictions, and the likelier goes on: rounds
    follow as long as the out-of-fold likelihood of the given labels grows by more than its
    standard error. Where even the surest predictions disagree with their labels and no round
    explains that, models are trained through the T that these labels show. Last, where the trainer
    has features, the labels of an item's nearest neighbours in other folds are heard beside the
    model (`softfold.crossfit.neighbours`), if that too makes the given labels likelier by more
    than its standard error. Where nothing of all that shows noise, the plain predictions stay and
    `noise.clean` is set.

    A trainer that cannot train through T (`supports_noise`) is run once; the rounds then train
    softmax regressions on the logarithms of its out-of-fold predictions, in the same folds.

    Args are those of `cross_fit`. `out`: each cross-fit keeps its finished folds in a folder of
    its own there.
    """
    table = table.train if table.valid.any() else table
    trainer = create_trainer(trainer)
    plan = plan or draw_plan(table, n_folds, repeats=repeats, seed=seed)

    def once(name: str, noise: np.ndarray | None = None) -> OutOfFold:
        folder = None if out is None else Path(out) / name
        return cross_fit(
            table,
            trainer,
            plan,
            seed=seed,
            noise=noise,
            out=folder,
            engine=engine,
            progress=progress,
        )

    plain = once("plain")
    features = _features(trainer, table)
    if not getattr(trainer, "supports_noise", False):
        table = replace(table, data=_centred_logs(plain.probabilities))
        trainer = create_trainer("probe")
    evidence = gather(table.given, plain.probabilities)
    first = estimate_from_evidence(evidence, seed=seed)
    none = _as_clean(evidence, first)
    level = model_levels(evidence, none)
    entry = {"start": "plain", "log_likelihood": first.log_likelihood, "rate": first.rate}
    best = _Round(plain, first, model_levels(evidence, first), entry | {"kept": False})
    rounds = [best.entry]
    for name, start in _starts(evidence, first):
        made = _round(once, f"round-1-{name}", table, start, seed)
        rounds.append(made.entry)
        if made.level.mean() > best.level.mean():
            best = made
    for number in range(2, max_rounds + 1):
        made = _round(once, f"round-{number}", table, best.noise.transition, seed)
        rounds.append(made.entry)
        if not beats(made.level, best.level):
            break
        best = made
    flat = plateau(evidence)
    least = flat.least if flat else 0.0
    unexplained = best.noise.rate < least
    if unexplained:
        best = _round(once, "plateau", table, anchored(flat), seed, fixed=True)
        rounds.append(best.entry)
    elif not beats(best.level, level):
        return NoiseAware(plain, none, plain, rounds)
    if features is not None:
        made = _with_neighbours(best, table, features, seed, fixed=unexplained)
        rounds.append(made.entry)
        if made.noise.rate >= least and beats(made.level, best.level):
            best = made
    best.entry["kept"] = True
    return NoiseAware(best.oof, best.noise, plain, rounds)


@dataclass(frozen=True)
class _Round:
    """A cross-fit through T, the T estimated from it, and log p(given | x) of each item (N,)."""

    oof: OutOfFold
    noise: NoiseModel
    level: np.ndarray
    entry: dict[str, Any]


def _round(
    once: Callable[..., OutOfFold],
    name: str,
    table: LabelTable,
    start: np.ndarray,
    seed: int,
    fixed: bool = False,
) -> _Round:
    oof = once(name, start)
    evidence = gather(table.given, oof.probabilities)
    noise = estimate_from_evidence(evidence, seed=seed, start=start, fixed=fixed)
    level = model_levels(evidence, noise)
    entry = {"start": name, "log_likelihood": noise.log_likelihood, "rate": noise.rate}
    return _Round(oof, noise, level, entry | {"kept": False})


def _features(trainer: Trainer, table: LabelTable) -> np.ndarray | None:
    """What neighbours are found by (N, D): the trainer's features, where it has any."""
    if not hasattr(trainer, "fitted_features") or len(table) > neighbours.MOST_ITEMS:
        return None
    return trainer.fitted_features(table)


def _with_neighbours(
    best: _Round, table: LabelTable, features: np.ndarray, seed: int, fixed: bool
) -> _Round:
    """The best round, and beside the model what the labels of an item's neighbours say."""
    near = neighbours.nearest(features, best.oof.fold[:, 0])
    p = neighbours.joined(table.given, best.oof.probabilities, best.noise, near)

    def same(name: str, start: np.ndarray) -> OutOfFold:
        return replace(best.oof, probabilities=p)

    return _round(same, "neighbours", table, best.noise.transition, seed, fixed)


def _starts(evidence: Evidence, first: NoiseModel) -> list[tuple[str, np.ndarray]]:
    """Transition matrices to begin with, those that are much the same only once."""
    starts = [("em", first.transition)]
    joint = prepared(confident_joint(evidence))
    if np.abs(joint - first.transition).sum(axis=1).mean() >= SAME_START:
        starts.append(("joint", joint))
    return starts


def beats(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether the mean of (N,) `ours` is above that of `theirs` by more than a standard error."""
    gain = ours - theirs
    return bool(gain.mean() > max(LEAST_GAIN, gain.std() / np.sqrt(len(gain))))


def _as_clean(evidence: Evidence, first: NoiseModel) -> NoiseModel:
    """The noise model of plain predictions whose given labels nothing shows wrong."""
    transition, temperature = almost_none(evidence)
    final = explain(evidence, transition, temperature)
    rate = float(final.suspicion.mean())
    return replace(
        first,
        transition=transition,
        temperature=temperature,
        rate=rate,
        rate_interval=(0.0, max(rate, first.rate_interval[1])),
        clean=True,
        unmix=False,
        joint=final.counts,
        prior=final.counts.sum(axis=1) / final.counts.sum(),
        log_likelihood=float(final.log_likelihood.mean()),
    )


def _centred_logs(probabilities: np.ndarray) -> np.ndarray:
    """Log probabilities, each row's mean taken off: features (N, K) float32."""
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float32)
    return logs - logs.mean(axis=1, keepdims=True)
