"""Items that show their own soft target, so that a batch can be checked by looking at it.

Each image is one colour, and its colour is its soft target over three classes. Whatever a loader
or MixUp or CutMix does, the mean colour of every image in a training batch must be its target.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock
from PIL import Image
from torch import nn

from softfold.soft_labels import SoftLabels

try:
    import accelerate  # noqa: F401
except ImportError:  # fastai's module of distributed loaders asks for it, the loaders do not
    stub = ModuleType("accelerate")
    stub.Accelerator = type("Accelerator", (), {"__init__": lambda self, **settings: None})
    sys.modules["accelerate"] = stub
    from fastai.distributed import DistributedDL

    del sys.modules["accelerate"]
else:
    from fastai.distributed import DistributedDL

VOCAB = ("cat", "dog", "emu")


def make_targets(n: int, seed: int = 0) -> np.ndarray:
    """float32 (n, 3), all rows different, whole numbers of 255ths."""
    rng = np.random.default_rng(seed)
    pairs = rng.choice(100 * 100, size=n, replace=False)
    first, second = 20 + pairs // 100, 20 + pairs % 100
    return (np.stack([first, second, 255 - first - second], 1) / 255).astype(np.float32)


def write_images(folder: Path, targets: np.ndarray) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, target in enumerate(targets):
        colour = np.round(target * 255).astype(np.uint8)
        paths.append(folder / f"item{i:03d}.png")
        Image.fromarray(np.tile(colour, (8, 8, 1))).save(paths[-1])
    return paths


def make_soft(keys: list, targets: np.ndarray, vocab: tuple[str, ...] = VOCAB) -> SoftLabels:
    return SoftLabels(
        item=np.array([str(k) for k in keys], dtype=object),
        targets=targets,
        vocab=vocab,
        strategy="blend",
        settings={},
    )


def given_label(path):
    """A given label that is not the target's most likely class: index modulo 3."""
    return VOCAB[int(Path(path).stem[4:]) % 3]


def block(**settings) -> DataBlock:
    settings.setdefault("splitter", lambda items: (list(range(len(items) - 8)), _last(items, 8)))
    return DataBlock(blocks=(ImageBlock, CategoryBlock(vocab=VOCAB)), get_y=given_label, **settings)


def _last(items, n: int) -> list[int]:
    return list(range(len(items) - n, len(items)))


def make_net() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))


def make_learner(dls, cbs, **settings) -> Learner:
    return Learner(dls, make_net(), cbs=cbs, **settings)


class Witness(Callback):
    """Keeps what the network and the loss see: mean colours and targets of every batch."""

    order = 100

    def __init__(self) -> None:
        super().__init__()
        self.train, self.valid = [], []

    def after_loss(self) -> None:
        seen = (self.learn.xb[0].mean((2, 3)), self.learn.yb[0])
        seen = tuple(torch.as_tensor(t).detach().clone().cpu().numpy() for t in seen)
        (self.train if self.learn.training else self.valid).append(seen)

    def wrong(self) -> int:
        """How many training items had another target than their own."""
        return sum(int((np.abs(x - y) > 1e-4).any(1).sum()) for x, y in self.train)

    def n_items(self) -> int:
        return sum(len(x) for x, _ in self.train)


__all__ = [
    "VOCAB",
    "DistributedDL",
    "Witness",
    "block",
    "given_label",
    "make_learner",
    "make_net",
    "make_soft",
    "make_targets",
    "write_images",
]
