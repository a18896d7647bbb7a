"""Cross-fit: for every fold, train without it and predict it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from softfold.align import align_targets
from softfold.arrays import row_blocks
from softfold.crossfit.engines import Engine, Needs, Task, get_engine
from softfold.crossfit.oof import OutOfFold, checked_fold
from softfold.crossfit.store import FoldStore, FoldTask, fold_fingerprint
from softfold.data.folds import FoldPlan, fold_seed, plan_folds
from softfold.data.table import LabelTable, check_table
from softfold.errors import InputError
from softfold.large_arrays import scratch
from softfold.trainers import Trainer, TrainerLike, create_trainer
from softfold.trainers.checkpoints import checkpoints_in
from softfold.trainers.per_class import for_multi_label, refuse_noise
from softfold.trainers.protocol import Fold, given_targets


def cross_fit(
    table: LabelTable,
    trainer: TrainerLike = "probe",
    plan: FoldPlan | None = None,
    *,
    n_folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    targets: Any = None,
    noise: np.ndarray | None = None,
    out: str | Path | None = None,
    engine: str | Engine = "local",
    progress: Callable[[int, int], None] | None = None,
) -> OutOfFold:
    """Out-of-fold predictions of all training items; repeats are averaged.

    Args:
        table: label table; items of its hold-out are left out.
        trainer: "probe", "finetune", "estimator", a trainer, a scikit-learn classifier, or a
            function (see `softfold.trainers.create_trainer`).
        plan: which fold each item belongs to; drawn with `n_folds`, `repeats` and `seed` if None,
            exact copies of an item in one fold.
        seed: of initial weights and batch order, and of the plan where it is drawn here.
        targets: what to train on, one-hot given labels by default: (N, K) in the order of the
            table (its training items, or all items), or SoftLabels, an OutOfFold or a data frame,
            matched by key and class name.
        noise: (K, K) transition matrix T[truth, given] to train through, for trainers that
            support it (forward correction, Patrini et al. 2017).
        out: folder; each finished fold is saved there before the next begins, and a second call
            with the same items, targets and settings goes on from there.
        engine: where the folds run: "local", "ray", or an engine.
        progress: called with (finished folds, all folds).

    Raises:
        InputError: a plan of other items, an item or a class without target, a fold that cannot
            be trained.

    A `softfold.multilabel.MultiLabelTable` is taken as well: predictions are then of classes that
    do not exclude each other, and so are `targets`. A function or a net of softfold.torch learns
    all classes at once, any other trainer one after the other (`softfold.trainers.per_class`).
    """
    check_table(table)
    if targets is not None:
        targets = align_targets(table, targets)
    table = table.train if table.valid.any() else table
    trainer = create_trainer(trainer)
    if table.multi_label:
        trainer = for_multi_label(trainer)
    if plan is None:
        plan = draw_plan(table, n_folds, repeats=repeats, seed=seed)
    plan.check(table)
    if targets is None:
        targets = given_targets(trainer, table)
    if noise is not None:
        refuse_noise(table)
    if noise is not None and not trainer.supports_noise:
        raise InputError(f"the trainer {trainer.name!r} cannot train through a noise model")
    store = None
    if out is not None:
        store = FoldStore(Path(out), fold_fingerprint(table, trainer, plan, targets, noise, seed))
        plan.save(store.folder / "plan.parquet")
    return _run(table, trainer, plan, targets, noise, seed, store, engine, progress)


def draw_plan(table: LabelTable, n_folds: int, *, repeats: int = 1, seed: int = 0) -> FoldPlan:
    """A fold plan of a table's training items, exact copies in one fold."""
    return plan_folds(table, n_folds, repeats=repeats, seed=seed)


def _run(table, trainer, plan, targets, noise, seed, store, engine, progress) -> OutOfFold:
    """The folds that are not on disk yet, then the mean over repeats."""
    sums = scratch((plan.repeats, len(table), table.n_classes))
    made = np.zeros((len(table), plan.repeats), dtype=bool)
    n_tasks, finished = plan.n_folds * plan.repeats, 0

    def take(task: FoldTask, probabilities: np.ndarray) -> None:
        nonlocal finished
        for rows in row_blocks(*probabilities.shape):
            sums[task.repeat, task.predict[rows]] = probabilities[rows] / plan.repeats
        made[task.predict, task.repeat] = True
        finished += 1
        if progress is not None:
            progress(finished, n_tasks)

    def save(task: FoldTask, probabilities: np.ndarray) -> None:
        shape = (len(task.predict), table.n_classes)
        probabilities = checked_fold(probabilities, shape, trainer.name, task.fold)
        if store is not None:
            store.save(task, probabilities)
        take(task, probabilities)

    left: list[FoldTask] = []
    for repeat in range(plan.repeats):
        tasks = [
            FoldTask(repeat, fold, train, predict, seed=fold_seed(seed, fold, repeat))
            for fold, (train, predict) in enumerate(plan.splits(repeat))
        ]
        known = [store.load(task) if store is not None else None for task in tasks]
        if trainer.solves_folds_together and any(k is None for k in known):
            known = [None] * len(tasks)  # folds solved together share a choice of strength
        for task, probabilities in zip(tasks, known, strict=True):
            if probabilities is None:
                left.append(task)
            else:
                take(task, probabilities)
    if left:
        trainer.prepare(table)
        groups = {_named(group): group for group in _groups(trainer, left)}
        todo = [
            Task(
                name,
                _fit_folds,
                {"folds": [(t.train, t.predict) for t in group], "seed": group[0].seed},
            )
            for name, group in groups.items()
        ]

        def done(task: Task, made: Iterable[np.ndarray]) -> None:
            for each, probabilities in zip(groups[task.name], made, strict=True):
                save(each, probabilities)

        shared = ((trainer, table), (targets, noise))
        with checkpoints_in(None if store is None else store.folder):
            get_engine(engine).run(todo, shared, done, Needs.of(trainer))
    assert made.all(), "every row must be predicted once a repeat"
    # in the order of repeats, whichever of them were on disk: the same bytes after a stop
    total = sums[0]
    if plan.repeats > 1:
        for rows in row_blocks(*total.shape):
            total[rows] = sums[:, rows].sum(axis=0)
    return OutOfFold(table.item, total, plan.fold, table.vocab, multi_label=table.multi_label)


def _groups(trainer: Trainer, tasks: list[FoldTask]) -> list[list[FoldTask]]:
    """What is trained at once: the folds of a repeat, or one fold."""
    if not trainer.solves_folds_together:
        return [[task] for task in tasks]
    repeats = sorted({task.repeat for task in tasks})
    return [[task for task in tasks if task.repeat == repeat] for repeat in repeats]


def _named(group: list[FoldTask]) -> str:
    folds = f"fold {group[0].fold}" if len(group) == 1 else f"{len(group)} folds"
    return f"repeat {group[0].repeat}, {folds}"


def _fit_folds(shared: Any, folds: list[Fold], seed: int) -> Iterable[np.ndarray]:
    """Predictions (n, K) of each fold's second rows, in whatever process an engine calls it."""
    (trainer, table), (targets, noise) = shared
    return trainer.fit_folds(table, folds, targets, seed=seed, noise=noise)
