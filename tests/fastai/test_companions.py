"""SoftLabelCallback beside fastai's other callbacks: each digit keeps its own soft target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.callback.training import GradientAccumulation
from fastai.vision.all import (
    CategoryBlock,
    ClassificationInterpretation,
    DataBlock,
    Flip,
    ImageBlock,
    IndexSplitter,
    Learner,
    accuracy,
)
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from softfold.fastai import SoftCategoryBlock, SoftLabelCallback
from softfold.fastai import accuracy as either_accuracy
from softfold.soft_labels import SoftLabels

N, N_VALID = 80, 16
VOCAB = ("0", "1", "2")
SETTINGS = {"bs": 16, "drop_last": False}


class Digits:
    """Files of digits that all differ, their labels, and soft targets that all differ."""

    def __init__(self, folder: Path) -> None:
        digits = load_digits(n_class=3)
        pixels = (digits.images[:N] * 15).astype(np.uint8)
        self.paths = [folder / f"{i}.png" for i in range(N)]
        self.given = digits.target[:N]
        self.targets = np.random.default_rng(0).dirichlet([1, 1, 1], N).astype(np.float32)
        self.number = {image.tobytes(): i for i, image in enumerate(pixels)}
        assert len(self.number) == N, "a digit is there twice"
        for path, image in zip(self.paths, pixels):
            Image.fromarray(image).convert("RGB").save(path)
        self.soft = SoftLabels(
            np.array(self.paths[::-1], dtype=object), self.targets[::-1], VOCAB, "blend"
        )

    def label(self, path: Path) -> str:
        return VOCAB[self.given[int(path.stem)]]

    def which(self, images: torch.Tensor) -> list[int]:
        """The numbers of the digits of a batch."""
        pixels = (images[:, 0].float() * 255).round().byte().cpu().numpy()
        return [self.number[image.tobytes()] for image in pixels]

    def learner(self, folder: Path, cbs: list[Callback], block=None, **settings: Any) -> Learner:
        rows = DataBlock(
            blocks=(ImageBlock, block or CategoryBlock(vocab=VOCAB)),
            get_y=(lambda path: self.label(path)) if block is None else None,
            splitter=IndexSplitter(range(N - N_VALID, N)),
            **settings,
        )
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
        dls = rows.dataloaders(self.paths, path=folder, num_workers=0, **SETTINGS)
        metric = either_accuracy if block else accuracy  # training targets are soft in a block
        return Learner(dls, net, metrics=metric, cbs=cbs, path=folder)


class Spy(Callback):
    """What the loss was given for each digit: of training, and of validation."""

    order = 200

    def __init__(self, digits: Digits) -> None:
        super().__init__()
        self.digits, self.train, self.valid = digits, [], []

    def after_loss(self) -> None:
        seen = self.train if self.learn.training else self.valid
        targets = torch.as_tensor(self.learn.yb[0]).detach().cpu().numpy()
        seen += zip(self.digits.which(self.learn.xb[0]), targets, strict=True)

    def check(self, epochs: int) -> None:
        """Every training digit with its own soft target, every other one with its class."""
        assert sorted(i for i, _ in self.train) == sorted([*range(N - N_VALID)] * epochs)
        for i, target in self.train:
            np.testing.assert_allclose(target, self.digits.targets[i], atol=1e-6)
        assert len(self.valid) >= N_VALID * epochs
        for i, target in self.valid:
            assert target.dtype.kind == "i" and target == self.digits.given[i]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Digits:
    return Digits(tmp_path_factory.mktemp("digits"))


# What stands beside: each yields the callbacks to add, then looks at what two epochs left.


@contextmanager
def accumulation(folder: Path) -> Iterator[Any]:
    """A step every 48 digits: of 64, one, with 16 left that the next epoch begins with."""
    steps = []

    class CountSteps(Callback):
        def after_step(self) -> None:
            steps.append(self.learn.train_iter)

    yield [GradientAccumulation(48), CountSteps()]
    assert len(steps) == 2


@contextmanager
def saving(folder: Path) -> Iterator[Any]:
    yield [SaveModelCallback(monitor="accuracy", with_opt=True)]
    assert (folder / "models" / "model.pth").is_file()


@contextmanager
def stopping(folder: Path) -> Iterator[Any]:
    """Better by nine is nothing ever: it stops after the second epoch of three."""
    yield [EarlyStoppingCallback(monitor="accuracy", min_delta=9, patience=1)]


@contextmanager
def half_precision(folder: Path) -> Iterator[Any]:
    if not torch.cuda.is_available():
        pytest.skip("fastai's to_fp16 is half precision on CUDA only")
    yield [MixedPrecision()]


@contextmanager
def tensorboard(folder: Path) -> Iterator[Any]:
    pytest.importorskip("tensorboard")
    from fastai.callback.tensorboard import TensorBoardCallback
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    yield [TensorBoardCallback(log_dir=folder / "logs")]
    logged = EventAccumulator(str(folder / "logs")).Reload()
    for name in ("train_loss", "valid_loss", "accuracy"):
        assert np.isfinite([event.value for event in logged.Scalars(name)]).all()
    assert logged.Scalars("train_loss")[-1].step == 8 and len(logged.Scalars("accuracy")) == 2


CASES = (accumulation, saving, stopping, half_precision, tensorboard)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_each_digit_keeps_its_soft_target_beside(case, digits, tmp_path):
    spy = Spy(digits)
    with case(tmp_path) as cbs:
        learn = digits.learner(tmp_path, [SoftLabelCallback(digits.soft), spy])
        loss, loader = learn.loss_func, learn.dls.train
        with learn.no_bar(), learn.no_logging():
            learn.fit(3 if case is stopping else 2, cbs=cbs)
    spy.check(epochs=2)
    assert learn.loss_func is loss and learn.dls.train is loader
    losses = np.array(learn.recorder.values)
    assert losses.shape == (2, 3) and np.isfinite(losses).all()


@pytest.mark.parametrize("block", [False, True], ids=["callback", "block"])
def test_test_time_augmentation_predicts_beside_given_labels(block, digits, tmp_path):
    """Its views are of validation items with the transforms of training."""
    labels = {str(path): digits.label(path) for path in digits.paths}
    train = slice(N_VALID, None)  # the soft labels are in reverse
    soft = SoftLabels(digits.soft.item[train], digits.soft.targets[train], VOCAB, "blend")
    target = SoftCategoryBlock(soft, labels) if block else None
    cbs = [] if block else [SoftLabelCallback(soft)]
    learn = digits.learner(tmp_path, cbs, target, batch_tfms=Flip(p=1.0))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        views, given = learn.tta(n=2, beta=None)
        plain, _ = learn.get_preds()
    assert given.tolist() == digits.given[-N_VALID:].tolist()
    torch.testing.assert_close(views[1], plain)
    assert not torch.allclose(views[0], plain), "no view was flipped"
    torch.testing.assert_close(views[0].sum(1), torch.ones(N_VALID))


@pytest.mark.parametrize("block", [False, True], ids=["callback", "block"])
def test_what_is_shown_of_the_validation_items_is_about_their_given_labels(block, digits, tmp_path):
    labels = {str(path): digits.label(path) for path in digits.paths}
    target = SoftCategoryBlock(digits.soft, labels) if block else None
    learn = digits.learner(tmp_path, [] if block else [SoftLabelCallback(digits.soft)], target)
    given = digits.given[-N_VALID:]
    with learn.no_bar(), learn.no_logging():
        learn.fit(2, lr=0.1)
        learn.show_results(max_n=2)
        learn.show_results(ds_idx=0, max_n=2)
        found = ClassificationInterpretation.from_learner(learn)
        losses, rows = found.top_losses(N_VALID)
        matrix = found.confusion_matrix()
        found.plot_top_losses(2)
        found.plot_confusion_matrix()
        p = learn.get_preds()[0].numpy()
    expected = -np.log(p[np.arange(N_VALID), given])
    np.testing.assert_allclose(losses, expected[rows], rtol=1e-4)
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (given, p.argmax(1)), 1)
    assert matrix.tolist() == counts.tolist()
