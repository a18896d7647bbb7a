"""Cross-fits that know the noise: models trained through the T of the explanation that holds.

Rows are predicted by models that did not see them in every round. What passes from one fold to
another is T, its temperature and the strength of the penalty: some numbers that all items share;
where the trainer cannot train through T, also its predictions of other items, as in stacking.
`docs/method.md` says what that leaves, measured against a nested cross-fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from softfold.arrays import row_blocks
from softfold.crossfit import neighbours
from softfold.crossfit.engines import Engine
from softfold.crossfit.oof import OutOfFold
from softfold.crossfit.plain import cross_fit, draw_plan
from softfold.data.folds import FoldPlan
from softfold.data.table import LabelTable, check_table
from softfold.noise.classwise import refined
from softfold.noise.clean import clean
from softfold.noise.estimation import described, estimate_noise, interval
from softfold.noise.explanation import Explanation, log_floored
from softfold.noise.matrices import normalised_counts
from softfold.noise.model import NoiseModel
from softfold.noise.no_class import no_class
from softfold.noise.sample import FLOOR, Sample
from softfold.noise.surest import SHRINK
from softfold.noise.weighing import evidence, with_weights
from softfold.trainers import Trainer, create_trainer

MAX_ROUNDS = 4
LEAST_GAIN = 3e-4
"""A round that adds less log likelihood an item (in nats) changes nothing that matters."""

EM_ITEMS, EM_CELLS = 50_000, 20_000_000
"""Items that T is fitted to in a round, and of many classes no more than have so many cells."""


Near = Callable[[], np.ndarray | None]
"""Gives the rows (N, m) of the items that are nearest to each, or None."""


@dataclass(frozen=True)
class NoiseAware:
    """What `noise_aware_cross_fit` made.

    oof:    predictions of the true class, p(k | x), before the temperatures of `noise`
    noise:  the noise model that belongs to them
    plain:  out-of-fold predictions of the given labels, from the first cross-fit
    rounds: one entry a cross-fit: start, log_likelihood (mean of log p(given | x)), rate, kept
    """

    oof: OutOfFold
    noise: NoiseModel
    plain: OutOfFold
    rounds: list[dict[str, Any]]

    def __repr__(self) -> str:
        return f"NoiseAware({self.oof!r}, {self.noise!r})"

    def _repr_html_(self) -> str:
        return self.noise.html(self.oof.vocab) + self.oof._repr_html_()


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
    engine: str | Engine = "local",
    progress: Callable[[int, int], None] | None = None,
) -> NoiseAware:
    """Out-of-fold predictions of the truth, and the noise model, from given labels alone.

    First a plain cross-fit, and the noise model of its predictions. Then what it believes decides:

    - Noise by class: folds are trained through T (forward correction, Patrini et al. 2017) and T
      is estimated again by EM, in rounds, as long as the out-of-fold likelihood of the given labels
      grows by more than its standard error.
    - Else every fold is trained twice through T[k, l], the share of the label l among items
      predicted as k: first by the plain predictions, then by what these gave. Where the labels are
      right after all, that costs the final model nothing (docs/method.md).

    Last, where the trainer has features, the labels of an item's nearest neighbours in other folds
    are heard beside the model (`softfold.crossfit.neighbours`), if that makes the given labels
    likelier. Where predictions tell nothing of the labels, they stay as they are.

    A trainer that cannot train through T (`supports_noise`) is run once; what follows then trains
    softmax regressions on the logarithms of its out-of-fold predictions, in the same folds. They
    need torch; without it a warning says that the plain predictions are kept.

    Of a `softfold.multilabel.MultiLabelTable` each class is such a question of two classes, and
    `noise` is a MultiLabelNoise (`softfold.crossfit.class_by_class`).

    Args are those of `cross_fit`. `out`: each cross-fit keeps its finished folds in a folder of
    its own there.
    """
    check_table(table)
    table = table.train if table.valid.any() else table
    trainer = create_trainer(trainer)
    plan = plan or draw_plan(table, n_folds, repeats=repeats, seed=seed)
    how: dict[str, Any] = {"seed": seed, "out": out, "engine": engine, "max_rounds": max_rounds}
    if table.multi_label:
        from softfold.crossfit.class_by_class import class_by_class
        from softfold.multilabel.table import MultiLabelTable

        assert isinstance(table, MultiLabelTable)
        return class_by_class(table, trainer, plan, progress=progress, **how)
    return from_plain(table, trainer, plan, progress=progress, **how)


def from_plain(
    table: LabelTable,
    trainer: Trainer,
    plan: FoldPlan,
    *,
    plain: OutOfFold | None = None,
    near: Near | None = None,
    seed: int = 0,
    max_rounds: int = MAX_ROUNDS,
    out: str | Path | None = None,
    engine: str | Engine = "local",
    progress: Callable[[int, int], None] | None = None,
) -> NoiseAware:
    """`noise_aware_cross_fit` of training items in the folds of a plan.

    plain: the plain cross-fit's predictions where they are there; what follows then trains softmax
        regressions on their logarithms, and no neighbours are heard.
    near: gives the neighbours; by itself `nearest_once` of these items and folds.
    """
    stacked = plain is not None or not trainer.supports_noise

    def fit(name: str, transition: np.ndarray | None = None) -> OutOfFold:
        folder = None if out is None else Path(out) / name
        return cross_fit(
            table,
            trainer,
            plan,
            seed=seed,
            noise=transition,
            out=folder,
            engine=engine,
            progress=progress,
        )

    if plain is None:
        plain, near = fit("plain"), near or nearest_once(trainer, table, plan)
    noise = estimate_noise(table.given, plain.probabilities, vocab=table.vocab, seed=seed)
    entry = {"start": "plain", "log_likelihood": noise.log_likelihood, "rate": noise.rate}
    first = _Round(plain, noise.best, _levels(table.given, plain, noise.best), entry)
    if noise.information <= 0:
        return NoiseAware(plain, noise, plain, [entry | {"kept": True}])
    if stacked:
        if find_spec("torch") is None:
            warnings.warn(
                "torch is not installed, so that nothing is trained through the noise model: soft "
                "labels are made of the plain out-of-fold predictions (pip install "
                "'softfold[torch]' for more)",
                stacklevel=2,
            )
            return NoiseAware(plain, noise, plain, [entry | {"kept": True}])
        table = replace(table, data=_centred_logs(plain.probabilities))
        trainer = create_trainer("probe")
    if noise.weight("by_class", "even") > noise.weight("surest"):
        start = _heaviest(noise, "by_class", "even").transition
        rounds = [first, *_rounds_by_class(fit, table, start, max_rounds)]
        best = max(rounds, key=lambda r: r.level.mean())
    else:
        start = _heaviest(noise, "surest").transition
        rounds = [first, *_rounds_surest(fit, table, start)]
        best = rounds[-1]
    rows = near() if near is not None and best is not first else None
    if rows is not None:
        heard = _with_neighbours(best, table, rows)
        rounds.append(heard)
        best = heard if _beats(heard.level, best.level) else best
    entries = [r.entry | {"kept": r is best} for r in rounds]
    if best is first:
        return NoiseAware(plain, noise, plain, entries)
    return NoiseAware(best.oof, _combined(noise, best, table, plain, seed), plain, entries)


@dataclass(frozen=True)
class _Round:
    """A cross-fit, the explanation that belongs to it, and log p(given | x) of each item (N,)."""

    oof: OutOfFold
    explanation: Explanation
    level: np.ndarray
    entry: dict[str, Any]


def _round(table: LabelTable, name: str, oof: OutOfFold, explanation: Explanation) -> _Round:
    level = _levels(table.given, oof, explanation)
    own = np.empty(len(oof), np.float32)
    for rows, q in _read(table.given, oof, explanation):
        own[rows] = q[np.arange(len(q)), table.given[rows]]
    rate = float(1 - own.mean(dtype=float))
    entry = {"start": name, "log_likelihood": float(level.mean()), "rate": rate}
    return _Round(oof, replace(explanation, rate=rate), level, entry)


def _rounds_surest(
    fit: Callable[..., OutOfFold], table: LabelTable, transition: np.ndarray
) -> list[_Round]:
    """Two rounds: through T of the likeliest classes, then of the likeliest classes that gave."""
    known = Explanation("surest", transition, 1.0)
    made = _round(table, "surest-1", fit("surest-1", transition), known)
    counts = np.zeros_like(transition)
    for rows, q in _read(table.given, made.oof, known):
        np.add.at(counts, (q.argmax(axis=1), table.given[rows]), 1.0)
    transition = normalised_counts(counts, SHRINK)
    known = Explanation("surest", transition, 1.0)
    return [made, _round(table, "surest-2", fit("surest-2", transition), known)]


def _rounds_by_class(
    fit: Callable[..., OutOfFold], table: LabelTable, transition: np.ndarray, most: int
) -> list[_Round]:
    """Rounds of training through T and estimating T, until one adds nothing that shows."""
    rounds: list[_Round] = []
    for number in range(1, most + 1):
        oof = fit(f"round-{number}", transition)
        made = _round(table, f"round-{number}", oof, _refined(table.given, oof, transition))
        rounds.append(made)
        transition = made.explanation.transition
        if number > 1 and not _beats(made.level, rounds[-2].level):
            break
    return rounds


def _refined(given: np.ndarray, oof: OutOfFold, transition: np.ndarray) -> Explanation:
    most = _fitted(*oof.probabilities.shape)
    rows = np.linspace(0, len(oof) - 1, most).astype(int)
    return refined(Sample.of(given, oof.probabilities, rows), transition, 1.0)


def _fitted(n: int, k: int) -> int:
    """How many of n items with k classes T is fitted to."""
    return min(n, EM_ITEMS, max(2000, EM_CELLS // k))


def _with_neighbours(best: _Round, table: LabelTable, near: np.ndarray) -> _Round:
    """The best round, and beside the model what the labels of an item's neighbours say."""
    p = neighbours.joined(table.given, best.oof.probabilities, best.explanation, near)
    oof = replace(best.oof, probabilities=p)
    explanation = replace(best.explanation, temperature=1.0)
    if explanation.name == "by_class":
        explanation = _refined(table.given, oof, explanation.transition)
    return _round(table, "neighbours", oof, explanation)


def nearest_once(trainer: Trainer, table: LabelTable, plan: FoldPlan) -> Near:
    """What gives the rows (N, m) of the nearest items of other folds, found when it is first asked.

    None where the trainer has no features, or items are too many. Items are near by the features
    that fits on them use, so that it is to be asked after the first fit.
    """

    @cache
    def near() -> np.ndarray | None:
        if not neighbours.can_be_found(len(table)):
            return None
        features = trainer.fitted_features(table)
        return None if features is None else neighbours.nearest(features, plan.fold[:, 0])

    return near


def _combined(
    noise: NoiseModel, best: _Round, table: LabelTable, plain: OutOfFold, seed: int
) -> NoiseModel:
    """The noise model of new predictions: their explanation, beside those that stay open.

    How much each is believed was weighed on the plain predictions. What training adds to that is
    how much likelier than under right labels the held-out given labels have become. That can lift
    the lower end of the interval. The upper end stays: a wrong label that was learned by heart is
    the likelier for it.
    """
    rows, most = np.arange(len(table)), _fitted(len(table), table.n_classes)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    sample = Sample.of(table.given, best.oof.probabilities, rows)
    stay = [clean(sample), no_class(sample)]
    before = _levels(table.given, plain, _heaviest(noise, "clean"))
    weights = [noise.weight("surest", "by_class", "even"), *(noise.weight(e.name) for e in stay)]
    logs = np.log(np.maximum(weights, 1e-12))
    logs[0] += evidence(best.level - before, table.n_classes)
    rates = [best.explanation.rate, *(_heaviest(noise, e.name).rate for e in stay)]
    made = with_weights([best.explanation, *stay], rates, logs)
    out = described(made, sample)
    alive = [e for e in noise.explanations if e.name not in ("clean", "no_class")]
    believed = sum(e.weight for e in made if e.name == best.explanation.name)
    alive = [replace(e, weight=e.weight * believed / max(weights[0], 1e-12)) for e in alive]
    first = Sample.of(table.given, plain.probabilities, rows)
    low, high = interval([*alive, *made], first)
    return replace(
        out,
        rate_interval=(low, max(high, noise.rate_interval[1])),
        information=noise.information,
        vocab=noise.vocab,
    )


def _heaviest(noise: NoiseModel, *names: str) -> Explanation:
    return max((e for e in noise.explanations if e.name in names), key=lambda e: e.weight)


def _levels(given: np.ndarray, oof: OutOfFold, explanation: Explanation) -> np.ndarray:
    """log p(given | x) of each item (N,) under an explanation."""
    seen, through = np.empty(len(oof), np.float32), explanation.transition.T.astype(np.float32)
    for rows in row_blocks(*oof.probabilities.shape):
        v = explanation.likeness(log_floored(oof.probabilities[rows]))
        v /= np.einsum("ij->i", v)[:, None]
        seen[rows] = np.einsum("ij,ij->i", v, through[given[rows]])
    return np.log(np.maximum(seen, 1e-30), dtype=float)


def _read(
    given: np.ndarray, oof: OutOfFold, explanation: Explanation
) -> Iterator[tuple[slice, np.ndarray]]:
    """What an explanation says the items are: blocks of rows, and their q(k) (n, K)."""
    for rows in row_blocks(*oof.probabilities.shape):
        yield rows, explanation.read(given[rows], log_floored(oof.probabilities[rows]))[0]


def _beats(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether the mean of (N,) `ours` is above that of `theirs` by more than a standard error."""
    gain = ours - theirs
    return bool(gain.mean() > max(LEAST_GAIN, gain.std() / np.sqrt(len(gain))))


def _centred_logs(probabilities: np.ndarray) -> np.ndarray:
    """Log probabilities, each row's mean taken off: features (N, K) float32."""
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float32)
    return logs - logs.mean(axis=1, keepdims=True)
