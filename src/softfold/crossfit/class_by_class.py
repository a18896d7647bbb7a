"""The noise-aware cross-fit of items with several labels: one of two classes for each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from softfold.crossfit.engines import Engine
from softfold.crossfit.noise_aware import NoiseAware, from_plain, nearest_once
from softfold.crossfit.oof import OutOfFold
from softfold.crossfit.plain import cross_fit
from softfold.data.folds import FoldPlan
from softfold.multilabel.noise import MultiLabelNoise, problems
from softfold.multilabel.table import MultiLabelTable
from softfold.noise.estimation import estimate_checked
from softfold.trainers import Trainer
from softfold.trainers.per_class import PerClass, for_multi_label, is_known, most_even_first


def class_by_class(
    table: MultiLabelTable,
    trainer: Trainer,
    plan: FoldPlan,
    *,
    out: str | Path | None = None,
    engine: str | Engine = "local",
    progress: Callable[[int, int], None] | None = None,
    **how: Any,
) -> NoiseAware:
    """`noise_aware_cross_fit` of training items with several labels.

    A trainer that learns all classes at once makes the plain predictions of all, in one cross-fit;
    what follows is trained on these. A class that the training part of some fold never has, or
    that all its items have, keeps its plain predictions.

    Args are those of `noise_aware_cross_fit`; `progress` is called with (finished classes, all).
    `rounds` of what is returned have a `class` beside.
    """
    fits = for_multi_label(trainer)
    together, plain_of_all = not isinstance(fits, PerClass), None
    trainer = fits.trainer if isinstance(fits, PerClass) else trainer
    shared: dict[str, Any] = {"seed": how.get("seed", 0), "engine": engine}
    if together:
        folder = None if out is None else Path(out) / "plain"
        plain_of_all = cross_fit(table, fits, plan, out=folder, **shared).probabilities
    near = None
    made: dict[int, NoiseAware] = {}
    given = table.given.astype(np.float32)
    for k in most_even_first(given):
        folder = None if out is None else Path(out) / f"class-{k}"
        one = table.of_class(table.vocab[k])
        plain = None if plain_of_all is None else _of_two(one, plain_of_all[:, k], plan)
        if any(is_known(given[rows, k]) for r in range(plan.repeats) for rows, _ in plan.splits(r)):
            if plain is None:
                alone = replace(table, given=table.given[:, [k]], truth=None, vocab=one.vocab[1:])
                found = cross_fit(alone, trainer, plan, out=folder, **shared).probabilities
                plain = _of_two(one, found[:, 0], plan)
            noise = estimate_checked(one.given, plain.probabilities, seed=shared["seed"])
            made[k] = NoiseAware(plain, noise, plain, [])
        else:
            near = near or (None if together else nearest_once(trainer, one, plan))
            same: dict[str, Any] = {"near": near, "out": folder, "engine": engine}
            made[k] = from_plain(one, trainer, plan, plain=plain, **same, **how)
        if progress is not None:
            progress(len(made), table.n_classes)
    classes = [made[k] for k in range(table.n_classes)]
    models: Any = MultiLabelNoise(table.vocab, tuple(each.noise for each in classes))
    return NoiseAware(
        _joined(table, [each.oof for each in classes], plan),
        models,
        _joined(table, [each.plain for each in classes], plan),
        [
            {"class": name, **entry}
            for name, each in zip(table.vocab, classes, strict=True)
            for entry in each.rounds
        ],
    )


def _of_two(one: Any, has: np.ndarray, plan: FoldPlan) -> OutOfFold:
    """Predictions (N,) of having a class as those of two classes."""
    ((_, p),) = problems(one.given[:, None], has[:, None])
    return OutOfFold(one.item, p, plan.fold, one.vocab)


def _joined(table: MultiLabelTable, parts: list[OutOfFold], plan: FoldPlan) -> OutOfFold:
    has = np.stack([np.asarray(part.probabilities)[:, 1] for part in parts], axis=1)
    return OutOfFold(table.item, has, plan.fold, table.vocab, multi_label=True)
