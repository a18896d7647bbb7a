"""Fine-tuning with fastai: a good default for images, or any Learner that the user builds.

The default starts from what the probe finds: the body's BatchNorm statistics stay as pretrained,
the head is the probe's softmax regression on the same features and targets. So the first epoch
costs one forward pass, and training goes on from there: the body's last layers at a small rate, on
what its first layers make of random crops, which is computed once for all epochs, folds and seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.table import LabelTable
from softfold.errors import InputError, require
from softfold.pixels.images import Images
from softfold.soft_labels import SoftLabels
from softfold.trainers.finetune.model import (
    SMALL_CNN,
    SMALL_CNN_SCALE,
    ImageModel,
    LearnerModel,
    build_network,
    curve_of,
    frame_of,
    known_labels,
    seeded,
    threads_for,
    validated,
)
from softfold.trainers.protocol import BaseTrainer, Progress


@dataclass(frozen=True)
class TrainingSettings:
    """What a family of networks needs; chosen on a part of Imagewoof's training
    images with its 1% labels, never on its validation images.

    size: side of the images. margin: how much larger they are before random crops are taken.
    epochs: after the head alone. batch_size: images a step.
    body_lr, head_lr: largest rates of the one-cycle schedule (Adam). weight_decay: decoupled.
    min_scale, flip: of random crops. views: how many crops of an image are kept as maps of the
    first layers, one an epoch at most; 0 trains all layers, on new crops every epoch.
    """

    size: int = 224
    margin: float = 1.25
    epochs: int = 3
    batch_size: int = 32
    body_lr: float = 3e-5
    head_lr: float = 1e-4
    weight_decay: float = 0.01
    min_scale: float = 0.35
    flip: bool = True
    views: int = 4


_CONVOLUTIONAL = TrainingSettings()
_FROM_SCRATCH = TrainingSettings(
    size=16,
    margin=1.0,
    epochs=9,
    batch_size=64,
    body_lr=1e-2,
    head_lr=1e-2,
    min_scale=0.8,
    flip=False,
    views=0,
)


class FineTune(BaseTrainer):
    """Fine-tune a pretrained network, or train the user's own Learner.

    Args:
        arch: a backbone's name (see `softfold.vision.backbones`), or `small_cnn`, trained from
            scratch.
        weights: file of the backbone's weights.
        size, epochs, batch_size, min_scale, flip, views: see `TrainingSettings`; those of the
            network's family where None.
        device: torch device; the best there is where None.
        dls: a DataBlock, or a function of a frame that gives DataLoaders. The frame has the
            columns `item`, `label`, `is_valid`, for images `path`, for tables their own columns.
        learner: a function of DataLoaders that gives a Learner; needs `dls`.
        fit: what trains it; `learn.fine_tune(epochs)` where None.
        progress: called with (batches done, all batches) while training.

    With `dls` and `learner` the Learner is left as it is: the callback that delivers soft targets
    is all that is added.
    """

    name = "finetune"
    supports_noise = True
    saves_models = True
    uses_torch = True
    multi_label = "no"

    def __init__(
        self,
        arch: str = "efficientnet_lite0",
        weights: str | Path | None = None,
        size: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        min_scale: float | None = None,
        flip: bool | None = None,
        views: int | None = None,
        device: str | None = None,
        dls: Any = None,
        learner: Callable[[Any], Any] | None = None,
        fit: Callable[[Any], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        if (dls is None) != (learner is None):
            raise InputError("finetune: give both dls= and learner=, or neither")
        asked = {
            "size": size,
            "epochs": epochs,
            "batch_size": batch_size,
            "min_scale": min_scale,
            "flip": flip,
            "views": views,
        }
        family = _FROM_SCRATCH if arch == SMALL_CNN else _CONVOLUTIONAL
        self.settings = TrainingSettings(
            **{**asdict(family), **{k: v for k, v in asked.items() if v is not None}}
        )
        if self.settings.epochs < 0 or self.settings.size < 8:
            raise InputError(f"finetune: epochs {epochs} and size {size}: want >= 0 and >= 8")
        self.arch, self.device, self.progress = arch, device, progress
        self.weights = None if weights is None else str(weights)
        self.dls, self.learner, self.fit_with = dls, learner, fit

    def describe(self) -> dict[str, Any]:
        """Settings, as JSON holds them."""
        if self.learner is not None:
            own = (self.dls, self.learner, self.fit_with)
            return {"learner": [getattr(f, "__name__", str(type(f).__name__)) for f in own]}
        return {"arch": self.arch, "weights": self.weights, **asdict(self.settings)}

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> Any:
        """Train on targets float32 (n, K), row i of `table.item[i]`.

        Args:
            seed: of the head's weights, the order of batches and the crops.
            holdout: items of which the history tells loss and accuracy; chooses nothing.
            noise: transition matrix T (K, K) to train through (forward correction).

        Returns a model with `predict`, `history` and `save`.
        """
        require("fastai", extra="fastai")
        import fastai.callback.progress
        import fastai.callback.schedule  # noqa: F401 - both give Learner its methods

        from softfold.machine.runtime import setup

        runtime = setup(self.device)
        targets = np.asarray(targets, dtype=np.float32)
        soft = SoftLabels(table.item, targets, table.vocab, "targets", {})
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            stack.enter_context(seeded(seed))
            stack.enter_context(threads_for(self.arch))
            if self.learner is not None:
                return self._fit_own(table, soft, holdout, noise)
            if not isinstance(table.data, Images):
                raise InputError(
                    f"{table.name}: finetune trains images by itself; for {table.kind} items give "
                    "dls= and learner=, or use --trainer estimator"
                )
            return self._fit_images(table, soft, seed, holdout, noise, runtime.device, folder)

    def _fit_images(
        self,
        table: LabelTable,
        soft: SoftLabels,
        seed: int,
        holdout: LabelTable | None,
        noise: np.ndarray | None,
        device: str,
        folder: str,
    ) -> ImageModel:
        from softfold.fastai.callback import SoftLabelCallback
        from softfold.trainers.finetune.epochs import kept_epochs

        net, scale, weights = self._network(table, soft.targets, seed, noise)
        net.to(device)
        trained, loaders = self._trained_part(net, scale, weights, table, holdout, device)
        learn = self._image_learner(trained, loaders, noise, device, folder)
        s = self.settings
        epochs = 1 + s.epochs if self.arch == SMALL_CNN else s.epochs
        other = None if holdout is None else holdout.fingerprint
        kept = kept_epochs(
            table.fingerprint, soft.targets, noise, seed, self.name, self.describe(), other, device
        )
        callbacks = [SoftLabelCallback(soft), *self._callbacks()]
        start = {"cbs": [kept], "start_epoch": kept.start} if kept else {}
        with learn.no_bar(), learn.no_logging(), learn.added_cbs(callbacks):
            if self.arch == SMALL_CNN:
                learn.fit_one_cycle(epochs, s.head_lr, **start)
                curve = curve_of(learn)
            else:
                curve = validated(learn)
                if s.epochs:
                    rates = [s.body_lr, s.head_lr]
                    learn.fit_one_cycle(epochs, rates, pct_start=0.3, div=5.0, **start)
                    curve = pd.concat([curve, curve_of(learn, start=1)], ignore_index=True)
        if kept:
            kept.forget()
        return ImageModel(
            net.to("cpu").eval(), self.arch, table.vocab, s.size, scale, curve, device
        )

    def _network(
        self, table: LabelTable, targets: np.ndarray, seed: int, noise: np.ndarray | None
    ) -> tuple[Any, tuple, str]:
        """The network with its head solved, mean and std of its input, what its weights are."""
        from torch import nn

        from softfold.trainers.finetune.nets import BodyAndHead
        from softfold.vision.backbones import create_backbone, weights_identity

        if self.arch == SMALL_CNN:
            return build_network(SMALL_CNN, table.n_classes, 0), SMALL_CNN_SCALE, "random"
        backbone = create_backbone(self.arch, weights=self.weights, size=self.settings.size)
        head = nn.Linear(backbone.n_features, table.n_classes)
        self._solve_head(head, table, targets, seed, noise)
        identity = weights_identity(self.arch, self.weights)
        return BodyAndHead(backbone.body, head), (backbone.mean, backbone.std), identity

    def _solve_head(self, head, table, targets, seed, noise) -> None:
        """The head as the probe finds it on the frozen body's features."""
        import torch

        from softfold.trainers.probe import Probe

        probe = Probe(self.arch, self.weights, self.settings.size, device=self.device, stages=False)
        model = probe.fit(table, targets, seed=seed, noise=noise)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(model.weight).T)
            head.bias.copy_(torch.from_numpy(model.bias))

    def _trained_part(self, net, scale, weights, table, holdout, device) -> tuple[Any, list]:
        """The layers to train (those of `net`), and what they are trained and validated on."""
        import torch

        from softfold.machine.runtime import precision
        from softfold.pixels.decoding import decoded
        from softfold.trainers.finetune.images import BatchDL, ImageRows, RandomCrop, ToFloat
        from softfold.trainers.finetune.maps import MapMaker, MapRows, split_body
        from softfold.trainers.finetune.nets import BodyAndHead

        s = self.settings
        large = max(s.size, round(s.size * s.margin))
        crop = RandomCrop(s.size, s.min_scale, s.flip)
        split = split_body(net.body, s.size) if s.views else None
        known = None if holdout is None or not len(holdout) else known_labels(holdout)
        of_train = (table.given, table.item, table.vocab)
        if split is not None:
            maker = MapMaker(
                self.arch, weights, split.first, split.shape, scale, s.size, large, crop, device
            )
            train: MapRows | ImageRows = MapRows(
                [maker.view(table.data, v) for v in range(max(1, min(s.views, s.epochs)))],
                *of_train,
            )
            valid, trained = train.new_empty(), BodyAndHead(split.last, net.head)
            if known is not None:
                valid = MapRows([maker.view(holdout.data, 0)], known, holdout.item, table.vocab)
            tfms: tuple[list, list] = ([], [])
            if device != "cpu":
                trained.dtype = precision(device, training=True)
        else:
            train = ImageRows(decoded(table.data, large), *of_train)
            valid, trained = train.new_empty(), net
            if known is not None:
                pixels = decoded(holdout.data, s.size)
                valid = ImageRows(pixels, known, holdout.item, table.vocab)
            tfms = ([ToFloat(*scale), crop], [ToFloat(*scale)])
            if self.arch != SMALL_CNN:
                net.dtype = precision(device, training=True)
        trained.to(device).to(memory_format=torch.channels_last)
        batch = min(s.batch_size, len(train))
        loader = BatchDL(train, bs=batch, shuffle=True, drop_last=True, after_batch=tfms[0])
        return trained, [loader, BatchDL(valid, bs=2 * s.batch_size, after_batch=tfms[1])]

    def _image_learner(self, net, loaders, noise, device, folder) -> Any:
        import torch
        from fastai.data.core import DataLoaders
        from fastai.learner import Learner
        from fastai.optimizer import Adam

        from softfold.fastai.loss import ForwardCrossEntropy, SoftCrossEntropy
        from softfold.fastai.metrics import RocAuc, accuracy
        from softfold.trainers.finetune.nets import parameter_groups

        return Learner(
            DataLoaders(*loaders, path=folder, device=torch.device(device)),
            net,
            loss_func=SoftCrossEntropy() if noise is None else ForwardCrossEntropy(noise),
            opt_func=Adam,
            splitter=parameter_groups,
            wd=self.settings.weight_decay,
            metrics=[accuracy, RocAuc()],
            train_bn=self.arch == SMALL_CNN,
        )

    def _callbacks(self) -> list[Any]:
        from softfold.trainers.finetune.nets import BodyStatistics, ReportProgress

        callbacks: list[Any] = [] if self.arch == SMALL_CNN else [BodyStatistics()]
        return callbacks + ([ReportProgress(self.progress)] if self.progress else [])

    def _fit_own(
        self,
        table: LabelTable,
        soft: SoftLabels,
        holdout: LabelTable | None,
        noise: np.ndarray | None,
    ) -> LearnerModel:
        """Train the user's Learner; only the delivery of soft targets is added."""
        import torch

        from softfold.fastai.callback import SoftLabelCallback
        from softfold.fastai.loss import ForwardCrossEntropy
        from softfold.trainers.finetune.nets import ReportProgress

        frame = frame_of(table, valid=False)
        if holdout is not None and len(holdout):
            frame = pd.concat([frame, frame_of(holdout, valid=True)], ignore_index=True)
        assert self.dls is not None and self.learner is not None
        dls = self.dls.dataloaders(frame) if hasattr(self.dls, "dataloaders") else self.dls(frame)
        if self.device is not None:
            dls = dls.to(torch.device(self.device))
        learn = self.learner(dls)
        if self.device is not None:
            learn.model.to(self.device)
        if noise is not None:
            learn.loss_func = ForwardCrossEntropy(noise)
        if isinstance(dls.train_ds.items, pd.DataFrame):
            callbacks = [SoftLabelCallback(soft, key="item")]
        else:  # the DataBlock made paths of the frame's rows
            paths = frame["path" if "path" in frame else "item"].to_numpy()[: len(table)]
            callbacks = [SoftLabelCallback(replace(soft, item=paths))]
        if self.progress:
            callbacks.append(ReportProgress(self.progress))
        with learn.no_bar(), learn.no_logging(), learn.added_cbs(callbacks):
            if self.fit_with is None:
                learn.fine_tune(self.settings.epochs)
            else:
                self.fit_with(learn)
        return LearnerModel(learn, table.vocab, curve_of(learn))
