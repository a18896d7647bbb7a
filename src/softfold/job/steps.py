"""A job in progress: its run folder, items and trainers, and the steps that fill the folder."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.crossfit.oof import OutOfFold
from softfold.crossfit.plain import cross_fit
from softfold.data.folds import FoldPlan, plan_folds
from softfold.data.table import Images, LabelTable
from softfold.data.texts import near_texts
from softfold.errors import count_of
from softfold.evaluation import accuracy, average_precision, log_loss
from softfold.files import copy_file, write_json, write_parquet, write_tensors
from softfold.issues import rank_issues
from softfold.job.comparing import Comparison, compare, fit_once
from softfold.noise.estimation import estimate_noise
from softfold.noise.model import NoiseModel
from softfold.progress import Progress
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.softening import SoftLabels, soften
from softfold.trainers import Trainer

NOISE_AWARE = ("auto", "posterior")
MOST_COMPARED = 20_000
"""Items up to which all pairs are compared for near copies without being asked."""


@dataclass
class Job:
    """A job in progress: its run folder, items and trainers. Steps are methods, in order."""

    run: Run
    settings: Settings
    table: LabelTable
    groups: np.ndarray | None
    trainer: Trainer
    oof_trainer: Trainer
    progress: Progress
    notes: list[str]

    def work(self, s: int) -> Path:
        """Where seed s keeps what it finished."""
        return self.run.path / "seeds" / str(self.settings.seed + s)

    def plan(self, s: int) -> FoldPlan:
        return plan_folds(
            self.table.train,
            self.settings.folds,
            repeats=self.settings.repeats,
            seed=self.settings.seed + s,
            groups=self.groups,
        )

    def write_config(self) -> None:
        """config.json: all that is needed to run the job again."""
        config = {
            "settings": self.settings.to_json(),
            "name": self.table.name,
            "kind": self.table.kind,
            "trainer": self.trainer.name,
            "trainer_settings": self.trainer.describe(),
            "oof_trainer": self.oof_trainer.name,
            "oof_trainer_settings": self.oof_trainer.describe(),
            "seeds": [self.settings.seed + s for s in range(self.settings.seeds)],
            "notes": self.notes,
            "versions": versions(),
            "machine": f"{platform.system()} {platform.machine()}, Python "
            f"{platform.python_version()}",
        }
        write_json(self.run.path / "config.json", config)

    # -- steps -------------------------------------------------------------------------------

    def crossfit(self, seeds: int) -> None:
        """Out-of-fold predictions and the noise model of each seed."""
        self._prepare(self.oof_trainer)
        self._note_near_copies()
        with self.progress.step("crossfit", "out-of-fold predictions") as advance:
            for s in range(seeds):
                oof_file = self.work(s) / "oof.safetensors"
                if oof_file.exists() and (self.work(s) / "noise.json").exists():
                    OutOfFold.load(oof_file, self.plan(s))
                    continue
                oof, noise = self._crossfit_once(s)
                if self.settings.decisions is not None:
                    from softfold.decisions.correcting import learn_noise

                    train, decided = self.table.train, self.settings.decisions
                    noise = learn_noise(noise, train, oof.probabilities, decided)
                advance(s + 1, seeds)
                write_json(self.work(s) / "noise.json", noise.to_json())
                oof.save(oof_file)
        copy_file(self.work(0) / "oof.safetensors", self.run.path / "oof.safetensors")
        write_json(self.run.path / "vocab.json", list(self.table.vocab))
        write_json(self.run.path / "noise.json", self.noise(0).to_json())
        self.write_items()

    def _note_near_copies(self) -> None:
        """Name near copies that different folds or the hold-out could share; they stay there."""
        table, by = self.table, "features"
        if len(table) > MOST_COMPARED or self.settings.group_near_copies:
            return
        if table.kind == "text":
            pairs, similarity = near_texts(table.data.iloc[:, 0])
            by = "their words"
        else:
            features = self.oof_trainer.features(table) if table.kind == "image" else None
            if features is None:
                return
            from softfold.vision.copies import near_copies

            pairs, similarity = near_copies(features)
        across = table.valid[pairs[:, 0]] != table.valid[pairs[:, 1]]
        if len(pairs):
            a, b = table.item[pairs[0]]
            line = (
                f"{count_of(len(pairs), 'pair of near copies', 'pairs of near copies')} by "
                f"{by}, {across.sum():,} of them between training and hold-out; the closest: "
                f"{a} and {b} ({similarity[0]:.3f}); --group-near-copies keeps them together"
            )
            self.progress.say(line)
            self.notes = [n for n in self.notes if f" by {by}" not in n] + [line]
            self.write_config()

    def keep_oof(self, s: int, oof: OutOfFold, noise: NoiseModel) -> None:
        """Put one seed's out-of-fold predictions and noise model on disk."""
        self.work(s).mkdir(parents=True, exist_ok=True)
        write_json(self.work(s) / "noise.json", noise.to_json())
        oof.save(self.work(s) / "oof.safetensors")

    def write_oof(self) -> None:
        """The first seed's predictions as the run's: oof, vocab, noise, items."""
        copy_file(self.work(0) / "oof.safetensors", self.run.path / "oof.safetensors")
        write_json(self.run.path / "vocab.json", list(self.table.vocab))
        write_json(self.run.path / "noise.json", self.noise(0).to_json())
        self.write_items()

    def _crossfit_once(self, s: int) -> tuple[OutOfFold, NoiseModel]:
        train, plan, seed = self.table.train, self.plan(s), self.settings.seed + s
        folder = self.work(s) / "folds"
        if self.settings.strategy in NOISE_AWARE:
            from softfold.crossfit.noise_aware import noise_aware_cross_fit

            made = noise_aware_cross_fit(
                train, self.oof_trainer, plan, seed=seed, out=folder, engine=self.settings.engine
            )
            return made.oof, made.noise
        oof = cross_fit(
            train, self.oof_trainer, plan, seed=seed, out=folder, engine=self.settings.engine
        )
        return oof, estimate_noise(train.given, oof.probabilities)

    def soften(self, seeds: int) -> list[SoftLabels]:
        """Soft labels of each seed from what the cross-fit left on disk."""
        settings, train = self.settings, self.table.train
        with self.progress.step("soften", f"soft labels ({settings.strategy})"):
            made = []
            for s in range(seeds):
                soft = soften(
                    train,
                    self.oof(s),
                    settings.strategy,
                    given_weight=settings.given_weight,
                    hard=settings.hard,
                    threshold=settings.threshold,
                    noise=self.noise(s),
                )
                made.append(self._confirmed(soft))
            made[0].save(self.run.path / "soft_labels.safetensors")
        return made

    def _confirmed(self, soft: SoftLabels) -> SoftLabels:
        """Labels that people confirmed are hard and final."""
        if self.settings.decisions is None:
            return soft
        from softfold.decisions.correcting import confirm_soft_labels

        return confirm_soft_labels(soft, self.settings.decisions)

    def train(self, soft: SoftLabels) -> None:
        """The soft model of the first seed, to keep."""
        with self.progress.step("train_soft", f"training on soft labels ({self.trainer.name})"):
            self._prepare(self.trainer)
            fit_once(
                self.table,
                soft,
                self.trainer,
                seed=self.settings.seed,
                out=self.run.path / "seeds" / "fits",
                model_file=self._model_file(),
            )

    def compare(self, softs: list[SoftLabels]) -> Comparison:
        """Given against soft labels on the hold-out, all seeds."""
        seeds, out = len(softs), self.run.path / "seeds" / "fits"
        self._prepare(self.trainer)
        for kind, name in (("baseline", "given"), ("soft", "soft")):
            with self.progress.step(
                f"train_{kind}", f"training on {name} labels ({self.trainer.name})"
            ) as advance:
                for s in range(seeds):
                    keep = self._model_file() if kind == "soft" and s == 0 else None
                    seed, soft = self.settings.seed + s, softs[s] if kind == "soft" else None
                    fit_once(self.table, soft, self.trainer, seed=seed, out=out, model_file=keep)
                    advance(s + 1, seeds)
        with self.progress.step("evaluate", "measuring on the hold-out"):
            made = compare(
                self.table, softs, self.trainer, seeds=seeds, seed=self.settings.seed, out=out
            )
            self.write_comparison(made)
        return made

    # -- what the steps left ------------------------------------------------------------------

    def oof(self, s: int) -> OutOfFold:
        return OutOfFold.load(self.work(s) / "oof.safetensors", self.plan(s))

    def noise(self, s: int) -> NoiseModel:
        return Run(self.work(s)).noise

    def _prepare(self, trainer: Trainer) -> None:
        """What all of a trainer's fits share; its seconds count as the cross-fit's."""
        if trainer.prepares is None:
            return
        with self.progress.step("crossfit", f"{trainer.prepares} ({trainer.name})") as advance:
            trainer.prepare(self.table, progress=advance)

    def _model_file(self) -> Path | None:
        return self.run.path / "model.safetensors" if self.trainer.saves_models else None

    def write_items(self) -> None:
        """items.parquet: the label table, and what the first seed's cross-fit says of each item."""
        frame, train = describe_items(self.table), self.table.train
        oof, noise = self.oof(0), self.noise(0)
        rows = np.flatnonzero(~self.table.valid)
        names = np.asarray(self.table.vocab, dtype=object)
        ranked = rank_issues(train.given, oof.probabilities, noise=noise).set_index("index")
        ranked = ranked.sort_index()
        if self.settings.decisions is not None:  # what people confirmed is not suspect
            from softfold.decisions.applying import read_decisions

            decided = read_decisions(self.settings.decisions)
            confirmed = decided.loc[decided["state"] == "confirmed", "item"]
            ranked.loc[np.isin(train.item, confirmed.to_numpy(dtype=object)), "suspicion"] = 0.0
        own = oof.probabilities[np.arange(len(train)), train.given]
        parts = {
            "fold": [list(map(int, f)) for f in oof.fold],
            "predicted": names[oof.probabilities.argmax(1)],
            "self_confidence": own.astype(np.float32),
            "suspicion": ranked["suspicion"].to_numpy(dtype=np.float32),
            "suggested": names[ranked["suggested"].to_numpy()],
        }
        for name, values in parts.items():
            column = pd.Series(
                np.nan if name in ("self_confidence", "suspicion") else None, index=frame.index
            ).astype("float32" if name in ("self_confidence", "suspicion") else object)
            filled = pd.Series(list(values), index=rows)
            column.loc[rows] = filled
            frame[name] = column
        frame["fold"] = [f if isinstance(f, list) else [] for f in frame["fold"]]
        write_parquet(self.run.path / "items.parquet", frame)
        data = self.table.data
        if isinstance(data, Images) and "file" not in frame and not self.settings.can_be_read:
            data = pd.DataFrame({"image": [data[i] for i in range(len(data))]})
        if isinstance(data, pd.DataFrame):
            write_parquet(self.run.path / "data.parquet", data)
        elif isinstance(data, np.ndarray):
            write_tensors(self.run.path / "data.safetensors", {"features": data})

    def oof_metrics(self) -> dict[str, Any]:
        """The parts of metrics.json that the cross-fit alone gives."""
        train, oof, noise = self.table.train, self.oof(0), self.noise(0)
        out: dict[str, Any] = {
            "data": {
                "n_train": len(train),
                "n_valid": int(self.table.valid.sum()),
                "n_classes": self.table.n_classes,
            },
            "oof": {
                "accuracy_given": float(accuracy(oof.probabilities, train.given)),
                "log_loss_given": float(log_loss(oof.probabilities, train.given)),
            },
            "noise": {"rate_estimate": float(noise.rate)},
        }
        if train.truth is not None and (train.truth >= 0).any():
            known = train.truth >= 0
            wrong = train.given[known] != train.truth[known]
            out["oof"]["accuracy_truth"] = float(
                accuracy(oof.probabilities[known], train.truth[known])
            )
            out["noise"]["rate_truth"] = float(wrong.mean())
            if 0 < wrong.sum() < len(wrong):
                suspicion = (
                    Run(self.run.path).items["suspicion"].to_numpy()[~self.table.valid][known]
                )
                out["issues"] = {"average_precision": float(average_precision(suspicion, wrong))}
        return out

    def write_comparison(self, made: Comparison) -> None:
        write_tensors(
            self.run.path / "holdout.safetensors", {"baseline": made.baseline, "soft": made.soft}
        )
        history = made.history
        if history is None:
            history = pd.DataFrame(
                {
                    "model": pd.Series(dtype=str),
                    "seed": pd.Series(dtype="int64"),
                    "epoch": pd.Series(dtype="int64"),
                    "train_loss": pd.Series(dtype=float),
                    "valid_loss": pd.Series(dtype=float),
                    "accuracy": pd.Series(dtype=float),
                }
            )
        write_parquet(self.run.path / "history.parquet", history)

    def write_metrics(self, made: Comparison | None = None, **more: Any) -> dict[str, Any]:
        """metrics.json; `made` is the comparison where there is one."""
        metrics = self.oof_metrics() | more
        if made is not None:
            metrics.update(made.metrics)
        known = self.run.metrics["seconds"] if self.run.has("metrics.json") else {}
        spent = {**known, **self.progress.seconds}
        spent["total"] = sum(v for k, v in spent.items() if k != "total")
        metrics["seconds"] = {k: round(v, 3) for k, v in spent.items()}
        write_json(self.run.path / "metrics.json", metrics)
        return metrics


def describe_items(table: LabelTable) -> pd.DataFrame:
    """The part of items.parquet that the label table gives."""
    names = np.asarray(table.vocab, dtype=object)
    frame = pd.DataFrame(
        {
            "item": table.item,
            "given": names[table.given],
            "split": np.where(table.valid, "valid", "train"),
        }
    )
    if table.truth is not None:
        frame["truth"] = np.where(table.truth >= 0, names[table.truth], None)
    if table.group is not None:
        frame["group"] = table.group
    if isinstance(table.data, Images) and len(table) and table.data.path(0) is not None:
        frame["file"] = [str(Path(table.data.path(i)).absolute()) for i in range(len(table))]
    return frame


def versions() -> dict[str, str]:
    """Versions of softfold and of what the figures depend on."""
    from softfold import __version__

    found = {"softfold": __version__}
    for package in ("numpy", "pandas", "torch", "fastai", "timm", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
