"""The steps of a job, in order: each takes the job and what the last step gave.

A step keeps what it finished in the run folder; called again, it reads that instead of computing.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from softfold.align import RowsDoubted, find
from softfold.arrays import one_hot
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.crossfit.oof import OutOfFold
from softfold.crossfit.plain import cross_fit
from softfold.decisions.audit import checked
from softfold.decisions.correcting import audited_since, confirm_soft_labels, learn_noise
from softfold.decisions.log import LOG
from softfold.errors import InputError, count_of
from softfold.files import Damaged, read_json, told_if_damaged, write_json
from softfold.job.comparing import Comparison, compare_fits
from softfold.job.ensembling import (
    average,
    ensemble_metrics,
    folds_are_kept_from_cross_fit,
    out_of_fold,
    prepare_views,
    seen_by,
    train_folds,
)
from softfold.job.fitting import Fit, fit_seeds
from softfold.job.job import Job
from softfold.job.kinds import kind_of
from softfold.job.metrics import write_metrics
from softfold.job.near_copies import note_near_copies
from softfold.job.sharding import shard_features
from softfold.noise.estimation import audited
from softfold.progress import Advance, part_of
from softfold.runs.folder import Run
from softfold.runs.manifest import written
from softfold.runs.voted import read_run_votes
from softfold.soft_labels import SoftLabels
from softfold.stopping import stop_here
from softfold.trainers import Trainer
from softfold.votes.combining import combine_votes
from softfold.votes.reading import Votes

NOISE_AWARE = ("auto", "posterior")
"""Strategies whose out-of-fold predictions are made through a noise model."""

_MADE_FROM = "made_from.json"
_ITEMS = "items or data"


@dataclass(frozen=True)
class SeedCrossFit:
    """What one seed's cross-fit gives."""

    oof: OutOfFold
    noise: Any
    """A NoiseModel, or a MultiLabelNoise where items have several labels."""


def every_step(job: Job) -> dict[str, Any]:
    """All steps of a job that are not done yet, up to metrics.json, which it gives."""
    prepare_views(job)
    cross_fits = cross_fit_seeds(job, job.settings.seeds)
    softs = soften_seeds(job, cross_fits)
    baseline = train_baseline(job, job.settings.seeds)
    soft = train_soft(job, softs)
    comparison = measure(job, baseline, soft, softs[0].strategy)
    more = {}
    if job.settings.ensemble or job.settings.tta > 1:
        predictions = average(job, softs, baseline, soft)
        job.writer.ensemble(predictions)
        more["ensemble"] = ensemble_metrics(job, predictions, comparison)
    return write_metrics(job, cross_fits[0], comparison, **more)


# -- cross-fit ------------------------------------------------------------------------------------


def cross_fit_seeds(job: Job, seeds: int) -> list[SeedCrossFit]:
    """Out-of-fold predictions and the noise model of each seed; the first one's as the run's."""
    prepare(job, job.oof_trainer)
    note_near_copies(job)
    made = []
    with job.progress.step("crossfit", "out-of-fold predictions") as advance:
        for s in range(seeds):
            known = kept_cross_fit(job, s)
            if known is None:
                known = _cross_fit_seed(job, s, part_of(advance, s, seeds))
            made.append(with_audit(job, known))
            advance(s + 1, seeds)
    write_cross_fit(job, made[0])
    return made


def kept_cross_fit(job: Job, s: int) -> SeedCrossFit | None:
    """What the cross-fit of the s-th seed left, None where it is not finished.

    Raises:
        InputError: it was made from other items, labels, data, decisions or settings.
    """
    kept = Run(job.folder(s))
    if not kept.has(_MADE_FROM):
        return None
    try:
        before = read_json(kept.file(_MADE_FROM))
        oof, file = OutOfFold.load(kept.file("oof.safetensors")), kept.file("noise.json")
        with told_if_damaged(file):
            made = SeedCrossFit(oof, kind_of(job.table).noise.from_json(read_json(file)))
    except Damaged as error:
        warnings.warn(f"{error}; it is made again", stacklevel=2)
        return None
    now = _made_from(job, s)
    if job.reopened:  # its items are read from the run itself
        del now[_ITEMS]
    changed = [part for part in now if before.get(part) != now[part]]
    if changed:
        raise InputError(
            f"{job.writer.path}: the {changed[0]} of its cross-fit were others than now; "
            "give another folder"
        )
    made.oof.check(job.plan(s))
    return made


def with_audit(job: Job, made: SeedCrossFit) -> SeedCrossFit:
    """The cross-fit with a noise model that has heard what the run's own audit found."""
    if not (job.writer.path / LOG).is_file():
        return made
    if job.decisions is not None:
        about = (made.noise, job.train, made.oof.probabilities, job.writer.path)
        return SeedCrossFit(made.oof, audited_since(*about))
    found = checked(job.writer.path, job.train.item, job.train.vocab)
    noise = audited(made.noise, job.train.given, made.oof.probabilities, found)
    return SeedCrossFit(made.oof, noise)


def keep_cross_fit(job: Job, s: int, made: SeedCrossFit) -> None:
    """Put one seed's out-of-fold predictions and noise model on disk."""
    folder = job.folder(s)
    folder.mkdir(parents=True, exist_ok=True)
    with written(folder, "oof.safetensors", "noise.json"):
        made.oof.save(folder / "oof.safetensors")
        write_json(folder / "noise.json", made.noise.to_json())
    with written(folder, _MADE_FROM):  # last: it says that the seed is finished
        write_json(folder / _MADE_FROM, _made_from(job, s))
    stop_here()


def write_cross_fit(job: Job, made: SeedCrossFit) -> None:
    """The first seed's predictions as the run's: oof, vocab, noise, items and their data."""
    job.writer.cross_fit(made.oof, made.noise)
    job.writer.names(job.table.names)
    kind_of(job.table).write_items(job, made)
    job.writer.data(job.table, can_be_read=job.settings.can_be_read)
    if job.features is not None:
        job.writer.features(job.features)


def _cross_fit_seed(job: Job, s: int, progress: Advance) -> SeedCrossFit:
    folds: dict[str, Any] = {
        "seed": job.seed(s),
        "out": job.folder(s) / "folds",
        "engine": job.engine,
    }
    kind = kind_of(job.table)
    if job.settings.strategy in NOISE_AWARE:
        both = noise_aware_cross_fit(job.train, job.oof_trainer, job.plan(s), **folds)
        oof, noise = both.oof, both.noise
    elif folds_are_kept_from_cross_fit(job):
        oof = out_of_fold(job, s, train_folds(job, s, None, progress))
        noise = kind.estimate_noise(job.train, oof)
    else:
        oof = cross_fit(job.train, job.oof_trainer, job.plan(s), progress=progress, **folds)
        noise = kind.estimate_noise(job.train, oof)
    if job.decisions is not None:
        noise = learn_noise(noise, job.train, oof.probabilities, job.decisions)
    made = SeedCrossFit(oof, kind.noise.from_json(noise.to_json()))  # as who resumes reads it
    keep_cross_fit(job, s, made)
    return made


def _made_from(job: Job, s: int) -> dict[str, str]:
    """A hash of each part that a cross-fit follows from."""
    train, decided = job.train, job.decisions
    trainer = {"name": job.oof_trainer.name, **job.oof_trainer.describe()}
    columns = [] if decided is None else decided[["item", "state", "label"]].to_numpy().tolist()
    return {
        _ITEMS: train.fingerprint,
        "given labels": _hash(list(train.written("given"))),
        "decisions": _hash(columns),
        "folds": job.plan(s).fingerprint,
        "settings of the trainer": _hash(trainer),
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


# -- soft labels ----------------------------------------------------------------------------------


def soften_seeds(job: Job, made: list[SeedCrossFit]) -> list[SoftLabels]:
    """Soft labels of each seed; the first one's as the run's. Confirmed labels are final."""
    settings = job.settings
    votes = read_run_votes(settings) if settings.annotator is not None else None
    title = f"soft labels ({settings.strategy})"
    with job.progress.step("soften", title), warnings.catch_warnings():
        # rows are the job's own, and what is said of the rate of wrong labels tells it once
        warnings.simplefilter("ignore", RowsDoubted)
        softs: list[SoftLabels] = []
        for each in made:
            if votes is not None:
                softs.append(_voted(job, votes, each, first=not softs))
                continue
            soft = kind_of(job.table).soften(
                job.train,
                each.oof,
                settings.strategy,
                given_weight=settings.given_weight,
                hard=settings.hard,
                threshold=settings.threshold,
                noise=each.noise,
            )
            known = job.decisions
            softs.append(soft if known is None else confirm_soft_labels(soft, known))
        job.writer.soft_labels(softs[0])
    return softs


def _voted(job: Job, votes: Votes, made: SeedCrossFit, *, first: bool) -> SoftLabels:
    """Soft labels of several annotators' votes and the predictions.

    An item with a checked label has that label, whatever the votes say. By the first seed's, what
    the annotators are worth is told and kept.
    """
    both = combine_votes(votes.of(job.train.item), made.oof)
    targets = one_hot(job.train.given, job.train.n_classes)
    every = SoftLabels(both.item, both.targets, both.vocab, "votes")
    targets[find(job.train.item, both.item)] = every.aligned(both.item, job.train.vocab)
    soft = SoftLabels(job.train.item, targets, job.train.vocab, "votes")
    if first:
        quality = both.quality()
        job.writer.annotators(quality)
        low, high = quality["accuracy"].min(), quality["accuracy"].max()
        job.progress.say(
            f"{count_of(len(quality), 'annotator')}, right on {low:.0%} to {high:.0%} of their "
            "votes as far as votes and predictions tell "
            f"({job.writer.path / 'annotators.parquet'})"
        )
    return soft if job.decisions is None else confirm_soft_labels(soft, job.decisions)


# -- training and measuring -----------------------------------------------------------------------


def train_baseline(job: Job, seeds: int) -> list[Fit]:
    """One model a seed on the given labels."""
    return _train(job, "train_baseline", "given", [None] * seeds)


def train_soft(job: Job, softs: list[SoftLabels]) -> list[Fit]:
    """One model a seed on its soft labels; the first one is kept in the run."""
    return _train(job, "train_soft", "soft", softs)


def _train(job: Job, step: str, labels: str, softs: list[Any]) -> list[Fit]:
    prepare(job, job.trainer)
    title = f"training on {labels} labels ({job.trainer.name})"
    model_file = job.model_file if labels == "soft" else None
    kept = nullcontext() if model_file is None else job.writer.writing(model_file.name)
    with job.progress.step(step, title) as advance, kept:
        return fit_seeds(
            job.table,
            softs,
            job.trainer,
            seed=job.settings.seed,
            out=job.fits,
            model_file=model_file,
            engine=job.engine,
            seen=seen_by(job),
            progress=advance,
        )


def train_members(job: Job, soft: SoftLabels) -> None:
    """The fold models that the run keeps, of the first seed; nothing where it keeps none."""
    if not job.settings.ensemble:
        return
    with job.progress.step("ensemble", f"fold models ({job.trainer.name})") as advance:
        for i, labels in enumerate((None, soft)):
            train_folds(job, 0, labels, part_of(advance, i, 2))


def measure(job: Job, baseline: list[Fit], soft: list[Fit], strategy: str) -> Comparison:
    """Given against soft labels on the hold-out, all seeds."""
    with job.progress.step("evaluate", "measuring on the hold-out"):
        made = compare_fits(job.table, baseline, soft, strategy=strategy, seed=job.settings.seed)
        write_comparison(job, made)
    return made


def write_comparison(job: Job, made: Comparison) -> None:
    """The comparison as the run's: hold-out predictions and learning curves."""
    job.writer.holdout(made.baseline, made.soft)
    job.writer.history(made.history)


def prepare(job: Job, trainer: Trainer) -> None:
    """What all of a trainer's fits share, made once; its seconds count as the cross-fit's."""
    if trainer.prepares is None or any(each is trainer for each in job.prepared):
        return
    with job.progress.step("crossfit", f"{trainer.prepares} ({trainer.name})") as advance:
        shard_features(trainer, job.table, job.engine, advance)
        chosen = trainer.prepare(job.table, progress=advance)
    job.prepared.append(trainer)
    if chosen is not None:
        job.note(chosen)
