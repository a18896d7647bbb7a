"""Features: what a frozen backbone says about each image, one forward pass for all uses.

Features are kept in the cache as float16 (what bfloat16 arithmetic leaves of them fits), by the
content of each image and by backbone, weights and size: subsets and later runs compute nothing.
The same pass keeps the channel means of the backbone's last stages, which say of images unlike
ImageNet's what its last layer no longer does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softfold.cache.rows import Rows, RowStore
from softfold.data.table import LabelTable
from softfold.errors import InputError, require
from softfold.large_arrays import LARGE, scratch
from softfold.machine.runtime import autocast, one_late, precision, set_up, setup, to_device
from softfold.pixels.decoding import decode_batch, decode_batches, image_keys
from softfold.pixels.images import Images
from softfold.vision.backbones import (
    DEFAULT,
    Backbone,
    create_backbone,
    has_stages,
    weights_identity,
    with_stages,
)
from softfold.vision.inference import Prepared, arithmetic, on_cores, prepare

if TYPE_CHECKING:
    import torch

Advance = Callable[[int, int], None]


def image_features(
    table: LabelTable | Images,
    backbone: str = DEFAULT,
    size: int = 224,
    *,
    weights: str | Path | None = None,
    pretrained: bool = True,
    batch_size: int | None = None,
    device: str | None = None,
    progress: Advance | None = None,
) -> np.ndarray:
    """Pooled features of a frozen backbone, float32 (N, D); row i belongs to item i.

    Each image's shorter side is resized to `size` and the centre taken. Images are streamed: what
    is held in memory beside the result does not grow with N.

    Args:
        table: a label table of images, or the images themselves.
        backbone: name for `softfold.vision.backbones.create_backbone`.
        size: side of the square that the network sees, in pixels.
        weights: file of weights; published ones where None.
        pretrained: False takes random weights (never cached).
        batch_size: images in a forward pass; chosen by the device where None.
        device: torch device, of these features alone; the best there is where None.
        progress: called with (done, to do).

    Raises:
        InputError: no images, images that do not decode, weights that cannot be had.
    """
    settings = _settings(backbone, weights, size, pretrained)
    require("torch", extra="torch")
    with set_up(device):
        return _of_kind("features", _images(table), settings, batch_size, device, progress)


def image_stages(
    table: LabelTable | Images,
    backbone: str = DEFAULT,
    size: int = 224,
    *,
    weights: str | Path | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    progress: Advance | None = None,
) -> np.ndarray:
    """Channel means of the maps that a frozen backbone's last three stages give, float32 (N, D).

    Of the same forward pass as `image_features`, whose arguments and errors these are, always of
    a pretrained network. D is 0 for torchvision's networks, which do not tell their stages.
    """
    images = _images(table)
    if not has_stages(backbone):
        return np.empty((len(images), 0), np.float32)
    settings = _settings(backbone, weights, size, True)
    with set_up(device):
        return _of_kind("stages", images, settings, batch_size, device, progress)


def _images(table: LabelTable | Images) -> Images:
    images = table.data if isinstance(table, LabelTable) else table
    if not isinstance(images, Images):
        raise InputError("features of images are asked for, but the table has none")
    return images


def _settings(
    backbone: str, weights: str | Path | None, size: int, pretrained: bool
) -> dict[str, Any]:
    return {"name": backbone, "weights": weights, "size": size, "pretrained": pretrained}


def _of_kind(
    kind: str,
    images: Images,
    settings: dict[str, Any],
    batch_size: int | None,
    device: str | None,
    progress: Advance | None,
) -> np.ndarray:
    """The features or the stages of the images, from the cache as far as it has them."""
    if not settings["pretrained"] and settings["weights"] is None:
        net = create_backbone(**settings)
        part = slice(net.n_features) if kind == "features" else slice(net.n_features, None)
        size = settings["size"]
        made = [batch[:, part] for batch in forward_batches(images, net, size, batch_size, device)]
        return np.concatenate(made)
    stores, keys = _stores(settings, device), image_keys(images)
    rows, todo = _found(stores[kind], keys)
    if rows is None or len(todo):
        ready = _ready(settings, device)
        batches = _batches(images.take(todo), ready, settings["size"], batch_size, device)
        _store(stores, keys[todo], batches, ready.n_features, progress)
        rows, todo = _found(stores[kind], keys)
    if rows is None or len(todo):
        raise InputError("the feature cache is too small for this data: raise SOFTFOLD_CACHE_GB")
    return read_features(rows)


def _stores(settings: dict[str, Any], device: str | None) -> dict[str, RowStore]:
    about = {
        "backbone": settings["name"],
        "weights": weights_identity(settings["name"], settings["weights"]),
        "size": settings["size"],
        "precision": arithmetic(setup(device).device, precision(setup(device).device)),
        "version": 3,
    }
    return {name: RowStore(name, about) for name in ("features", "stages")}


def _found(store: RowStore, keys: np.ndarray) -> tuple[Rows | None, np.ndarray]:
    """What the cache has of images, and the rows (m,) of those that it lacks, each content once."""
    rows, missing = store.find(keys)
    _, first = np.unique(keys[missing], return_index=True)
    return rows, np.flatnonzero(missing)[np.sort(first)]


@dataclass(frozen=True)
class _Ready:
    """A network on its device, prepared to predict, and what its images are normalised by."""

    net: Prepared
    n_features: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _ready(settings: dict[str, Any], device: str | None) -> _Ready:
    """A pretrained network."""
    import torch

    with torch.random.fork_rng(devices=[]):  # a cold cache changes nothing that is random
        backbone = create_backbone(**settings)
    return _made_ready(backbone, settings["size"], device)


def _made_ready(backbone: Backbone, size: int, device: str | None) -> _Ready:
    where = setup(device).device
    net = prepare(with_stages(backbone).to(where), size, precision(where))
    return _Ready(net, backbone.n_features, backbone.mean, backbone.std)


@lru_cache(maxsize=1)
def _kept_ready(device: str | None, **settings: Any) -> _Ready:
    """`_ready`, kept for the next part: a process of an engine computes many."""
    return _ready(settings, device)


@dataclass(frozen=True)
class Part:
    """Some images, and the keys (n,) that the cache knows them by since before they are read."""

    images: Images
    keys: np.ndarray


@dataclass(frozen=True)
class Shards:
    """The images that the cache has no features of, in parts that any process can compute.

    Args are those of `image_features`. An image's features are the same in whatever part.
    """

    images: Images
    backbone: str = DEFAULT
    size: int = 224
    weights: str | Path | None = None
    device: str | None = None

    def parts(self, size: int) -> list[Part]:
        """The images that the cache lacks, `size` of them a part."""
        keys = image_keys(self.images)
        todo = _found(_stores(self._settings, self.device)["features"], keys)[1]
        rows = [todo[at : at + size] for at in range(0, len(todo), size)]
        return [Part(self.images.take(some), keys[some]) for some in rows]

    def compute(self, part: Part) -> tuple[int, np.ndarray] | None:
        """How many features are pooled ones, and features of a part, float32 (n, D).

        None where its files are not on this machine.
        """
        paths = [part.images.path(i) for i in range(len(part.keys))]
        if any(path is not None and not path.exists() for path in paths):
            return None
        ready = _kept_ready(self.device, **self._settings)
        batches = _batches(part.images, ready, self.size, None, self.device)
        return ready.n_features, np.concatenate(list(batches))

    def keep(self, part: Part, made: tuple[int, np.ndarray] | None) -> None:
        """Put what `compute` gave into the cache.

        By the keys of before: an image that changed while its features were made is made again.
        """
        if made is None:
            return
        stores = _stores(self._settings, self.device)
        _store(stores, part.keys, iter([made[1]]), made[0], None)

    @property
    def _settings(self) -> dict[str, Any]:
        return _settings(self.backbone, self.weights, self.size, True)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: not the images, of which a task brings its own."""
        return vars(self) | {"images": None}


def read_features(rows: Rows) -> np.ndarray:
    """Cached features as one array (N, D), read in blocks.

    float32; where that is `LARGE`, float16 as in the cache, in a map of a file.
    """
    large = 4 * len(rows) * int(np.prod(rows.shape)) > LARGE
    out = scratch((len(rows), *rows.shape), rows.dtype if large else np.float32)
    for start in range(0, len(rows), 4096):
        block = np.arange(start, min(start + 4096, len(rows)))
        out[block] = rows[block]
    return out


def _store(
    stores: dict[str, RowStore],
    keys: np.ndarray,
    batches: Iterator[np.ndarray],
    n_features: int,
    progress: Advance | None,
) -> None:
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        for batch in batches:
            # beyond float16's range nothing sensible is left of a feature
            np.clip(batch, -65504, 65504, out=batch)
            parts = {"features": batch[:, :n_features], "stages": batch[:, n_features:]}
            for kind, part in parts.items():
                if part.shape[1]:
                    if kind not in writers:
                        writer = stores[kind].writer(len(keys), part.shape[1:], np.float16)
                        writers[kind] = stack.enter_context(writer)
                    done = writers[kind].n
                    writers[kind].write(keys[done : done + len(part)], part)
            if progress is not None:
                progress(writers["features"].n, len(keys))


def forward_batches(
    images: Images,
    backbone: Backbone,
    size: int,
    batch_size: int | None = None,
    device: str | None = None,
) -> Iterator[np.ndarray]:
    """Features of the images in order, batch by batch: float32 (n, D), the pooled ones first and
    behind them, in columns `backbone.n_features` and up, those of the stages.
    """
    return _batches(images, _made_ready(backbone, size, device), size, batch_size, device)


def _batches(
    images: Images, ready: _Ready, size: int, batch_size: int | None, device: str | None
) -> Iterator[np.ndarray]:
    import torch

    runtime, net = setup(device), ready.net
    on_cpu = runtime.device == "cpu"
    batch_size = batch_size or (16 if on_cpu else 256)
    # of a line of pixels, whose three channels alternate: long rows are what processors are fast at
    mean = torch.tensor(ready.mean, device=runtime.device).repeat(size) * 255
    scale = 1 / (torch.tensor(ready.std, device=runtime.device).repeat(size) * 255)

    def output(pixels: np.ndarray) -> torch.Tensor:
        with torch.inference_mode(), autocast(net.dtype, runtime.device):
            lines = to_device(full(pixels, batch_size), runtime.device).flatten(2).float()
            batch = lines.sub_(mean).mul_(scale).unflatten(2, (size, 3))
            # (n, height, width, 3) seen as (n, 3, height, width) is channels_last already
            return net.module(batch.permute(0, 3, 1, 2))

    def made(start: int) -> np.ndarray:
        rows = range(start, min(start + batch_size, len(images)))
        return output(decode_batch(images, rows, size))[: len(rows)].float().numpy()

    if on_cpu:
        yield from on_cores(made, range(0, len(images), batch_size))
        return
    threads = runtime.decode_threads
    decoded = decode_batches(images, size, batch_size=batch_size, threads=threads)
    yield from one_late(((output(pixels), len(pixels)) for pixels in decoded), runtime.device)


def full(batch: np.ndarray, size: int) -> np.ndarray:
    """The rows (n, ...) of a batch, the last one repeated up to `size` rows.

    A library chooses its arithmetic by the size of a batch. With batches of one size an image's
    features do not depend on how many images come with it, to the last bit.
    """
    return batch if len(batch) >= size else batch[np.minimum(np.arange(size), len(batch) - 1)]
