"""One of the two processes of `test_two_processes.py`: trains its share, and writes what it saw."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.optimizer import SGD
from fastai_items import Witness, block, make_learner, make_soft, make_targets

from softfold.fastai import SoftLabelCallback


class Losses(Callback):
    """Keeps the loss of every training batch."""

    def before_fit(self):
        self.losses = []

    def after_loss(self):
        if self.learn.training:
            self.losses.append(self.learn.loss.item())


def train(folder: Path, n: int, epochs: int) -> None:
    import fastai.distributed  # noqa: F401 - it gives Learner its distrib_ctx

    torch.set_num_threads(1)
    torch.Tensor.cuda = lambda tensor, *_: tensor  # fastai deals out indices for NCCL, on a GPU
    paths = sorted((folder / "images").glob("*.png"))
    targets = make_targets(n)
    dls = block(get_items=lambda _: paths).dataloaders(folder, bs=4, num_workers=0, device="cpu")
    seen, lost = Witness(), Losses()
    learn = make_learner(
        dls,
        [SoftLabelCallback(make_soft(paths, targets)), seen, lost],
        opt_func=partial(SGD, mom=0),
    )
    torch.manual_seed(0)
    learn.model[2].reset_parameters()
    with learn.no_bar(), learn.no_logging(), learn.distrib_ctx(in_notebook=False, cpu=True):
        learn.fit(epochs, lr=0.5, wd=0.0)
    colours, wanted = map(np.stack, zip(*seen.train))
    layer = getattr(learn.model, "module", learn.model)[2]
    np.savez(
        folder / f"rank-{os.environ['RANK']}.npz",
        colours=colours,
        targets=wanted,
        losses=lost.losses,
        weight=layer.weight.detach().numpy(),
        world=torch.distributed.get_world_size(),
        backend=torch.distributed.get_backend(),
    )


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
