"""The blog post's protocol: two folds, hard blend, measured on the fold that took part.

Two models, each blind to one fold; soft labels of 0.7 given and 0.3 predicted class; a model on the
soft labels of the last fold's training part, against that fold's own model, both measured on the
last fold. The same models are measured on the clean hold-out too, since the fold is not untouched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from softfold.arrays import one_hot
from softfold.crossfit.plain import cross_fit
from softfold.data.folds import fold_seed
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.files import write_parquet
from softfold.job.comparing import Comparison, comparison_table, holdout_labels
from softfold.job.job import Job
from softfold.job.metrics import write_metrics
from softfold.job.steps import SeedCrossFit, keep_cross_fit, write_comparison, write_cross_fit
from softfold.job.trainers import Trainers
from softfold.noise.estimation import estimate_noise
from softfold.runs.settings import Settings
from softfold.soft_labels import SoftLabels
from softfold.softening import soften
from softfold.trainers.finetune import FineTune
from softfold.trainers.protocol import BaseTrainer, Model

SETTINGS: dict[str, Any] = {
    "trainer": "finetune",
    "oof_trainer": "finetune",
    "arch": "resnet18",
    "size": 224,
    "epochs": 10,
    "folds": 2,
    "strategy": "blend",
    "given_weight": 0.7,
    "hard": True,
    "seeds": 1,
}
BATCH_SIZE = 16
MIN_SCALE = 0.35
LEAK = (
    "what leaks: the last fold's given labels trained the model whose predictions are part of the "
    "soft labels, and the best epoch is chosen on that fold; its labels are noisy as well. Only "
    "the hold-out is untouched."
)


def choose_trainers(table: LabelTable, settings: Settings) -> Trainers:
    """One trainer for all models: fastai as the post uses it."""
    if table.kind != "image":
        raise InputError(f"{table.name}: the recipe post is for images")
    if settings.ensemble or settings.tta > 1:
        option = "--ensemble" if settings.ensemble else "--tta"
        raise InputError(f"{option} does not go with --recipe post; --recipe kaggle has both")
    trainer = PostTrainer(settings)
    return Trainers(trainer, trainer, "--recipe post")


def finish(job: Job) -> dict[str, Any]:
    """The protocol's steps; gives the metrics, those of the post under `post`."""
    seeds = [_one_seed(job, s) for s in range(job.settings.seeds)]
    labels, against = holdout_labels(job.table)
    made = Comparison(
        baseline=np.stack([s["baseline"]["holdout"] for s in seeds]),
        soft=np.stack([s["soft"]["holdout"] for s in seeds]),
        labels=labels,
        against=against,
        strategy="blend",
        history=pd.concat([s["history"] for s in seeds], ignore_index=True),
    )
    first = seeds[0]["cross_fit"]
    write_cross_fit(job, first)
    job.writer.soft_labels(seeds[0]["labels"])
    write_comparison(job, made)
    figures = {
        name: {k: [s[name][k] for s in seeds] for k in seeds[0][name] if k != "holdout"}
        for name in ("baseline", "soft")
    }
    return write_metrics(job, first, made, post={**figures, "leak": LEAK})


def summary(metrics: dict[str, Any]) -> str:
    """The figures as the post gives them, then those of the hold-out, as lines for a terminal."""
    post = metrics["post"]
    lines = [
        "on the last fold, against its given labels (the post: 86.8% and 88.05% at the best "
        "epoch, 86.5% and 88.05% at the last):",
        f"{'':<22}{'best epoch':>12}{'last epoch':>12}{'ROC AUC':>10}",
    ]
    for name, title in (("baseline", "given labels"), ("soft", "soft labels")):
        best, last = (100 * np.mean(post[name][k]) for k in ("best", "last"))
        area = np.mean(post[name]["roc_auc"])
        lines.append(f"{title:<22}{best:>11.2f}%{last:>11.2f}%{area:>10.4f}")
    n, against = metrics["data"]["n_valid"], metrics["accuracy_against"]
    lines += [
        LEAK,
        "the frame with each item's largest probability: frame.parquet",
        f"on {n:,} hold-out items, against their {against} labels:",
    ]
    return "\n".join([*lines, comparison_table(metrics)])


class PostTrainer(FineTune):
    """fastai as the post uses it: its head, its learning rate, its `fine_tune`."""

    def __init__(self, settings: Settings) -> None:
        arch, size = settings.arch or SETTINGS["arch"], settings.size or SETTINGS["size"]
        epochs = SETTINGS["epochs"] if settings.epochs is None else settings.epochs
        super().__init__(
            arch,
            settings.weights,
            size,
            epochs,
            BATCH_SIZE,
            MIN_SCALE,
            device=settings.device,
            dls=self._make_dls,
            learner=lambda dls: _learner(dls, arch, settings),
        )
        self.asked = settings

    def describe(self) -> dict[str, Any]:
        """What runs, as JSON holds it."""
        r = self.settings
        return {
            "recipe": "post",
            "arch": self.arch,
            "weights": self.weights,
            "size": r.size,
            "epochs": r.epochs,
            "batch_size": r.batch_size,
            "min_scale": r.min_scale,
            "flip": 0.5,
            "schedule": "fastai's fine_tune with its own learning rate",
        }

    def _make_dls(self, frame: pd.DataFrame) -> Any:
        from fastai.vision.all import (
            CategoryBlock,
            ColReader,
            ColSplitter,
            DataBlock,
            FlipItem,
            ImageBlock,
            Normalize,
            RandomResizedCrop,
        )

        mean, std = _scale(self.arch, self.asked)
        block = DataBlock(
            blocks=(ImageBlock, CategoryBlock(vocab=sorted(frame["label"].unique()))),
            get_x=ColReader("path"),
            get_y=ColReader("label"),
            splitter=ColSplitter("is_valid"),
            item_tfms=[RandomResizedCrop(self.settings.size, min_scale=MIN_SCALE), FlipItem(0.5)],
            batch_tfms=[Normalize.from_stats(mean, std)],
        )
        return block.dataloaders(frame, bs=BATCH_SIZE, device=self.device)


def _backbone(arch: str, settings: Settings) -> Any:
    from softfold.vision.backbones import create_backbone

    return create_backbone(arch, weights=settings.weights, size=settings.size)


def _scale(arch: str, settings: Settings) -> tuple[Any, Any]:
    if arch.startswith("resnet"):
        from fastai.vision.all import imagenet_stats

        return imagenet_stats
    backbone = _backbone(arch, settings)
    return backbone.mean, backbone.std


def _learner(dls: Any, arch: str, settings: Settings) -> Any:
    """A pretrained body and fastai's head, in two groups for `fine_tune`."""
    from fastai.layers import LinBnDrop
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.torch_core import params
    from fastai.vision.learner import apply_init
    from torch import nn

    from softfold.fastai import RocAuc, accuracy
    from softfold.trainers.finetune.nets import BodyStatistics

    backbone = _backbone(arch, settings)
    n = backbone.n_features
    head = nn.Sequential(
        *LinBnDrop(n, 512, p=0.25, act=nn.ReLU(inplace=True)), *LinBnDrop(512, dls.c, p=0.5)
    )
    apply_init(head, nn.init.kaiming_normal_)
    backbone.head = head
    # depthwise networks lose tens of points when small batches change their statistics
    callbacks = [] if arch.startswith("resnet") else [BodyStatistics()]
    return Learner(
        dls,
        backbone.module,
        loss_func=CrossEntropyLossFlat(),
        splitter=lambda net: [params(net.body), params(net.head)],
        metrics=[accuracy, RocAuc()],
        cbs=callbacks,
    )


def _one_seed(job: Job, s: int) -> dict[str, Any]:
    """Both folds' models, the soft labels, the soft model; their figures on fold and hold-out."""
    train, plan, trainer = job.train, job.plan(s), job.trainer
    seed, last = job.seed(s), plan.n_folds - 1
    rows, fold_rows = plan.splits(0)[last]
    given = one_hot(train.given, train.n_classes)
    fold = replace(train.take(fold_rows), truth=None)
    assert isinstance(trainer, FineTune)
    folds = _FoldTrainer(trainer, train.item[rows], fold)
    with job.progress.step("crossfit", f"{plan.n_folds} models, each blind to one fold") as tell:
        oof = cross_fit(train, folds, plan, seed=seed, out=job.folder(s) / "folds", progress=tell)
    cross_fitted = SeedCrossFit(oof, estimate_noise(train, oof))
    keep_cross_fit(job, s, cross_fitted)
    frame = post_frame(train, oof.probabilities)
    if s == 0:
        write_parquet(job.writer.path / "frame.parquet", frame, index=True)
    soft = soften(
        pd.get_dummies(frame[["y_true", "y_pred"]], columns=["y_true", "y_pred"]),
        strategy="blend",
        given_weight=job.settings.given_weight,
        hard=True,
    )
    soft = SoftLabels(train.item, soft.aligned(train.item, train.vocab), train.vocab, "blend",
                      soft.settings)  # fmt: skip
    models = {"baseline": folds.model}
    own_seed = fold_seed(seed, last)
    if folds.model is None:  # its predictions were on disk
        with job.progress.step("train_baseline", "the last fold's own model again"):
            models["baseline"] = trainer.fit(
                train.take(rows), given[rows], seed=own_seed, holdout=fold
            )
    with job.progress.step("train_soft", "the same on soft labels"):
        models["soft"] = trainer.fit(
            train.take(rows), soft.targets[rows], seed=own_seed, holdout=fold
        )
    out: dict[str, Any] = {"cross_fit": cross_fitted, "labels": soft}
    curves = []
    with job.progress.step("evaluate", "measuring on the hold-out"):
        for name, model in models.items():
            curve = model.history
            best = int(curve["accuracy"].to_numpy().argmax()) if len(curve) else 0
            out[name] = {
                "best": float(curve["accuracy"].iloc[best]),
                "best_epoch": best,
                "last": float(curve["accuracy"].iloc[-1]),
                "roc_auc": float(curve["roc_auc"].iloc[-1]),
                "holdout": np.asarray(model.predict(job.table.holdout), dtype=np.float32),
            }
            curves.append(curve.assign(model=name, seed=seed))
    out["history"] = pd.concat(curves, ignore_index=True)
    return out


class _FoldTrainer(BaseTrainer):
    """The trainer of the folds; follows the last one on its fold and keeps its model."""

    name = "finetune"

    def __init__(self, trainer: FineTune, items: np.ndarray, fold: LabelTable) -> None:
        self.trainer, self.items, self.fold = trainer, items, fold
        self.model: Any = None

    def describe(self) -> dict[str, Any]:
        return self.trainer.describe()

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> Model:
        last = np.array_equal(table.item, self.items)
        watched = self.fold if last else None
        model = self.trainer.fit(table, targets, seed=seed, holdout=watched)
        if last:
            self.model = model
        return model


def post_frame(train: LabelTable, probabilities: np.ndarray) -> pd.DataFrame:
    """What the post looks at: by path the given and the predicted class and its probability."""
    names = np.asarray(train.vocab, dtype=object)
    return pd.DataFrame(
        {
            "y_true": names[train.given],
            "y_pred": names[probabilities.argmax(1)],
            "p_max": probabilities.max(1),
        },
        index=pd.Index(train.item, name="imgs"),
    )
