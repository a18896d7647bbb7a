"""The soft target travels with its item: a dataset that gives both, a loader that reads it.

Nothing of the Learner's own DataLoaders is changed: training reads a copy of its loader, whose
dataset hands out each item together with its soft target. Whatever the loader does with an item
(shuffle, repeat, skip, send to a worker or another rank) it does with both.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from fastai.data.load import DataLoader
from fastai.tabular.core import Tabular
from fastai.torch_core import TensorCategory, TensorMultiCategory

from softfold.errors import InputError


class TensorSoftTarget(TensorCategory):
    """Soft target of one item, (K,), or of a batch, (N, K), float32.

    A category to fastai, which chooses by type how it shows results and top losses.
    """


class TensorMultiSoftTarget(TensorMultiCategory):
    """Soft targets of classes that do not exclude each other, (K,) or (N, K), float32."""


class SoftDataset:
    """A map-style dataset whose items come with a soft target instead of their label.

    Args:
        dataset: gives tuples of inputs and one target; everything else is asked of it.
        targets: float32 (N, K) soft targets of all items that have one.
        rows: (n,) int64; item i of the dataset has the soft target `targets[rows[i]]`.
        n_inp: how many elements of an item are inputs.
        kind: what the soft target is to fastai.
    """

    def __init__(
        self,
        dataset: Any,
        targets: np.ndarray,
        rows: np.ndarray,
        n_inp: int,
        kind: type[torch.Tensor] = TensorSoftTarget,
    ) -> None:
        if len(dataset) != len(rows):
            raise InputError(
                f"the dataset changed: {len(dataset):,} items, {len(rows):,} when soft labels "
                "were matched"
            )
        self.dataset, self.targets, self.rows, self.n_inp = dataset, targets, rows, n_inp
        self.kind = kind

    def __getitem__(self, i: int) -> tuple:
        item = self.dataset[i]
        target = torch.from_numpy(np.asarray(self.targets[self.rows[i]], dtype=np.float32))
        return (*item[: self.n_inp], target.as_subclass(self.kind))

    def batch(self, rows: np.ndarray) -> tuple:
        """A whole batch with its soft targets, for datasets that give batches."""
        targets = torch.from_numpy(np.asarray(self.targets[self.rows[rows]], dtype=np.float32))
        return (*self.dataset.batch(rows)[: self.n_inp], targets.as_subclass(self.kind))

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[tuple]:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)


def soft_dataset(
    dataset: Any, targets: np.ndarray, rows: np.ndarray, n_inp: int, multi_label: bool = False
) -> Any:
    """The dataset with soft targets; a table gets them as columns of its own rows."""
    if not isinstance(dataset, Tabular):
        n_targets = len(getattr(dataset, "tls", range(n_inp + 1))) - n_inp
        if n_targets != 1:
            raise InputError(f"soft labels are for one target an item; there are {n_targets}")
        kind = TensorMultiSoftTarget if multi_label else TensorSoftTarget
        return SoftDataset(dataset, targets, rows, n_inp, kind)
    names = [f"soft_target_{k}" for k in range(targets.shape[1])]
    frame = dataset.items.copy()
    frame[names] = np.asarray(targets[rows], dtype=np.float32)
    soft = dataset.new(frame)
    soft.y_names = type(dataset.y_names)(names)
    return soft


def copy_loader(loader: DataLoader, dataset: Any) -> DataLoader:
    """A loader like this one, of any class and with all of its settings, over another dataset.

    `loader.new(...)` would lose what subclasses add, such as sampling weights.
    """
    twin = copy.copy(loader)
    inner = wrapped_loader(loader)
    if inner is not None:
        twin.dl = copy_loader(inner, dataset)
    twin.dataset = dataset
    face = loader.fake_l  # what PyTorch's iterator sees; made anew as fastai's DistributedDL does
    twin.fake_l = type(face)(
        twin,
        face.pin_memory,
        face.num_workers,
        face.timeout,
        persistent_workers=face.persistent_workers,
        pin_memory_device=face.pin_memory_device,
    )
    return twin


def share_randomness(loader: DataLoader, twin: DataLoader) -> None:
    """Let the loader's own random stream go on from where its copy is."""
    inner = wrapped_loader(loader)
    if inner is None:
        loader.rng = twin.rng
    else:
        share_randomness(inner, twin.dl)


def wrapped_loader(loader: DataLoader) -> DataLoader | None:
    """The loader inside a loader that only deals out its batches, as fastai's DistributedDL."""
    inner = loader.__dict__.get("dl")
    return inner if isinstance(inner, DataLoader) else None
