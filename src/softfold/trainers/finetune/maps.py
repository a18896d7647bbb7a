"""What a network's first layers make of each image, once for all epochs, folds and seeds.

On large maps the first layers cost most of a training step, and what they see hardly differs from
task to task. So they stay as pretrained, and what they make of a few random crops of every image
is kept in the cache; training reads one of the crops an epoch and goes through the last layers.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fastai.torch_core import TensorBase, TensorCategory
from torch import Tensor, nn

from softfold.cache.rows import Rows, RowStore
from softfold.errors import InputError
from softfold.machine.runtime import autocast, one_late, precision, to_device
from softfold.pixels.decoding import decoded, image_keys
from softfold.pixels.images import Images
from softfold.trainers.finetune.images import RandomCrop
from softfold.vision.features import full
from softfold.vision.inference import arithmetic, on_cores, prepare

_SMALLEST = 16
"""The cached maps are the first whose side is at most the image's divided by this."""


@dataclass
class Split:
    """A body in two: `first` stays as it is, `last` is trained; both are the body's own layers.

    shape: (C, h, w) of the maps between them.
    """

    first: nn.Sequential
    last: nn.Sequential
    shape: tuple[int, int, int]


def split_body(body: nn.Module, size: int) -> Split | None:
    """Cut a body where its maps are small; None where it is no plain chain of layers.

    Whether the chain computes what the body does is tried out, so nothing is taken on trust.
    """
    layers: list[nn.Module] = []
    for child in body.children():
        layers += list(child) if isinstance(child, nn.Sequential) else [child]
    device, was_training = next(body.parameters()).device, body.training
    body.eval()
    try:
        with torch.no_grad():
            # of a generator of its own, so that no other random number changes, on no device
            own = torch.Generator().manual_seed(0)
            batch = torch.randn(2, 3, size, size, generator=own).to(device)
            expected = body(batch)
            for chain in (layers, _with_flatten(layers)):
                found = _run_chain(chain, batch, size)
                if found is not None and torch.allclose(found[0], expected, atol=1e-4, rtol=1e-3):
                    _, cut, shape = found
                    return Split(nn.Sequential(*chain[:cut]), nn.Sequential(*chain[cut:]), shape)
    finally:
        body.train(was_training)
    return None


def _with_flatten(layers: list[nn.Module]) -> list[nn.Module]:
    """The layers with a flattening after the pooling, as torchvision's `forward` does it."""
    pools = [i for i, layer in enumerate(layers) if isinstance(layer, nn.AdaptiveAvgPool2d)]
    after = pools[-1] + 1 if pools else len(layers)
    return [*layers[:after], nn.Flatten(), *layers[after:]]


def _run_chain(
    chain: Sequence[nn.Module], batch: Tensor, size: int
) -> tuple[Tensor, int, tuple[int, int, int]] | None:
    """The output, and after how many layers the maps are small; None where the chain breaks."""
    cut, shape = 0, (0, 0, 0)
    for i, layer in enumerate(chain):
        try:
            batch = layer(batch)
        except Exception:  # not a chain: the layer wants something else
            return None
        if not isinstance(batch, Tensor):
            return None
        square = batch.ndim == 4 and batch.shape[-1] == batch.shape[-2]
        if not cut and square and 1 < batch.shape[-1] <= size / _SMALLEST:
            cut, shape = i + 1, (batch.shape[1], batch.shape[2], batch.shape[3])
    return (batch, cut, shape) if 0 < cut < len(chain) else None


class MapRows:
    """Cached maps of N images with class indices, a batch at a time.

    Args:
        views: rows of float16 (N, C, h, w), one entry a crop; a batch takes one crop an item.
        labels: int64 (N,). items: the keys. vocab: the K class names.
    """

    n_inp = 1

    def __init__(
        self, views: Sequence[Rows], labels: np.ndarray, items: Sequence[str], vocab: Sequence[str]
    ) -> None:
        self.views, self.labels = list(views), labels
        self.items, self.vocab = list(items), list(vocab)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[TensorBase, TensorCategory]:
        maps, label = self.batch(np.array([i]))
        return maps[0], label[0]

    def batch(self, rows: np.ndarray) -> tuple[TensorBase, TensorCategory]:
        """float16 (n, C, h, w) and int64 (n,)."""
        view = torch.randint(len(self.views), (len(rows),)).numpy()
        maps = np.empty((len(rows), *self.views[0].shape), np.float16)
        for v in np.unique(view):
            maps[view == v] = self.views[v][rows[view == v]]
        labels = TensorCategory(torch.from_numpy(self.labels[rows]))
        return TensorBase(torch.from_numpy(maps)), labels

    def new_empty(self) -> MapRows:
        none = np.arange(0)
        return MapRows([v.take(none) for v in self.views], self.labels[none], [], self.vocab)


@dataclass
class MapMaker:
    """Makes and keeps the maps of images; all settings are part of what they are known by.

    name, weights: of the backbone. first: its first layers. shape: (C, h, w) they give.
    scale: mean and std of the input. size: side of the images. large: side crops are taken from.
    """

    name: str
    weights: str
    first: nn.Module
    shape: tuple[int, int, int]
    scale: tuple[Sequence[float], Sequence[float]]
    size: int
    large: int
    crop: RandomCrop
    device: str

    def view(self, images: Images, view: int) -> Rows:
        """Maps of all images: view 0 of the centre, others of a random crop, each its own.

        Which crop follows from the image and the view's number alone, so that folds, subsets and
        later runs share it.
        """
        settings: dict[str, Any] = {
            "backbone": self.name,
            "weights": self.weights,
            "size": self.size,
            "shape": list(self.shape),
            "view": view,
            "precision": arithmetic(self.device, precision(self.device)),
            "version": 3,
        }
        if view:
            settings |= {
                "large": self.large,
                "min_scale": self.crop.min_scale,
                "flip": self.crop.flip,
            }
        store, keys = RowStore("maps", settings), image_keys(images)
        rows, missing = store.find(keys)
        if rows is None or missing.any():
            _, first = np.unique(keys[missing], return_index=True)
            todo = np.flatnonzero(missing)[np.sort(first)]
            with torch.random.fork_rng(devices=[]):  # a cold cache changes nothing that is random
                self._compute(store, images.take(todo), keys[todo], view)
            rows, missing = store.find(keys)
            if rows is None or missing.any():
                raise InputError(
                    "the map cache is too small for this data: raise SOFTFOLD_CACHE_GB"
                )
        return rows

    def _compute(self, store: RowStore, images: Images, keys: np.ndarray, view: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = prepare(self.first.to(self.device), self.size, precision(self.device))
        pixels = decoded(images, self.large if view else self.size)
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) * 255 for v in self.scale)
        step = 32 if self.device == "cpu" else 256

        def output(start: int) -> Tensor:
            rows = np.arange(start, min(start + step, len(keys)))
            with torch.inference_mode(), autocast(net.dtype, self.device):
                batch = to_device(full(pixels[rows], step), self.device)
                batch = (batch.permute(0, 3, 1, 2).float() - mean) / std
                if view:
                    random = np.stack([_uniforms(keys[row], view) for row in full(rows, step)])
                    batch = self.crop.apply(batch, torch.from_numpy(random))
                return net.module(batch).float().clamp(-65504, 65504)

        def made(start: int) -> np.ndarray:
            return output(start)[: len(keys) - start].numpy()

        starts = range(0, len(keys), step)
        on_device = ((output(start), min(step, len(keys) - start)) for start in starts)
        with store.writer(len(keys), self.shape, np.float16) as writer:
            done = 0
            for maps in (
                on_cores(made, starts) if self.device == "cpu" else one_late(on_device, self.device)
            ):
                writer.write(keys[done : done + len(maps)], maps)
                done += len(maps)


def _uniforms(key: bytes, view: int) -> np.ndarray:
    """Five random numbers in 0..1 that follow from an image's key and the view's number."""
    digest = hashlib.blake2b(bytes(key) + view.to_bytes(2, "little"), digest_size=20).digest()
    return (np.frombuffer(digest, np.uint32) / 2**32).astype(np.float32)
