"""Features: what a frozen backbone says about each image, one forward pass for all uses.

Features are kept in the cache as float16 (what bfloat16 arithmetic leaves of them fits), by the
content of each image and by backbone, weights and size: subsets and later runs compute nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from softfold.backbones import DEFAULT, Backbone, create_backbone, weights_identity
from softfold.cache import Rows, RowStore
from softfold.errors import InputError
from softfold.images import decode_batches, image_keys
from softfold.inference import for_inference
from softfold.labels import Images, LabelTable
from softfold.runtime import autocast, precision, setup

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
        backbone: name for `softfold.backbones.create_backbone`.
        size: side of the square that the network sees, in pixels.
        weights: file of weights; published ones where None.
        pretrained: False takes random weights (never cached).
        batch_size: images in a forward pass; chosen by the device where None.
        device: torch device; the best there is where None.
        progress: called with (done, to do).

    Raises:
        InputError: no images, images that do not decode, weights that cannot be had.
    """
    images = table.data if isinstance(table, LabelTable) else table
    if not isinstance(images, Images):
        raise InputError("features of images are asked for, but the table has none")
    if not pretrained and weights is None:
        net = create_backbone(backbone, pretrained=False, size=size)
        return np.concatenate([*forward_batches(images, net, size, batch_size, device)])
    settings = {
        "backbone": backbone,
        "weights": weights_identity(backbone, weights),
        "size": size,
        "version": 1,
    }
    store = RowStore("features", settings)
    keys = image_keys(images)
    rows, missing = store.find(keys)
    if rows is None or missing.any():
        _, first = np.unique(keys[missing], return_index=True)
        todo = np.flatnonzero(missing)[np.sort(first)]
        net = create_backbone(backbone, weights=weights, size=size)
        _compute(store, images.take(todo), keys[todo], net, size, batch_size, device, progress)
        rows, missing = store.find(keys)
        if rows is None or missing.any():
            raise InputError(
                "the feature cache is too small for this data: raise SOFTFOLD_CACHE_GB"
            )
    return read_features(rows)


def read_features(rows: Rows) -> np.ndarray:
    """Cached features as one float32 array (N, D), converted in blocks."""
    out = np.empty((len(rows), *rows.shape), np.float32)
    for start in range(0, len(rows), 4096):
        block = np.arange(start, min(start + 4096, len(rows)))
        out[block] = rows[block]
    return out


def _compute(
    store: RowStore,
    images: Images,
    keys: np.ndarray,
    backbone: Backbone,
    size: int,
    batch_size: int | None,
    device: str | None,
    progress: Advance | None,
) -> None:
    with store.writer(len(keys), (backbone.n_features,), np.float16) as writer:
        for batch in forward_batches(images, backbone, size, batch_size, device):
            # beyond float16's range nothing sensible is left of a feature
            np.clip(batch, -65504, 65504, out=batch)
            writer.write(keys[writer.n : writer.n + len(batch)], batch)
            if progress is not None:
                progress(writer.n, len(keys))


def forward_batches(
    images: Images,
    backbone: Backbone,
    size: int,
    batch_size: int | None = None,
    device: str | None = None,
) -> Iterator[np.ndarray]:
    """Features of the images in order, batch by batch: float32 (n, n_features)."""
    import torch

    runtime = setup(device)
    batch_size = batch_size or (16 if runtime.device == "cpu" else 256)
    module = for_inference(backbone.module.to(runtime.device), size)
    dtype = precision(module, size, name=backbone.name)
    mean = torch.tensor(backbone.mean, device=runtime.device).view(1, 3, 1, 1) * 255
    scale = 1 / (torch.tensor(backbone.std, device=runtime.device).view(1, 3, 1, 1) * 255)
    threads = runtime.decode_threads
    for pixels in decode_batches(images, size, batch_size=batch_size, threads=threads):
        with torch.inference_mode(), autocast(dtype):
            # (n, height, width, 3) seen as (n, 3, height, width) is channels_last already
            batch = torch.from_numpy(pixels).to(runtime.device).permute(0, 3, 1, 2)
            out = module((batch.float() - mean) * scale)
        yield out.float().cpu().numpy()
