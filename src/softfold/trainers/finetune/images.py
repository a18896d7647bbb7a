"""Images for a Learner: cached uint8 squares, read a batch at a time, augmented on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fastai.data.core import TfmdDL
from fastai.torch_core import TensorCategory, TensorImage
from fasttransform import Transform
from torch import Tensor

from softfold.cache.rows import Rows


class ImageRows:
    """Decoded images with class indices, item by item or a batch at a time.

    Args:
        pixels: uint8 (N, S, S, 3), see `softfold.pixels.decoding.decoded`.
        labels: int64 (N,) indices into `vocab`.
        items: the N keys.
        vocab: the K class names.
    """

    n_inp = 1

    def __init__(
        self, pixels: Rows, labels: np.ndarray, items: Sequence[str], vocab: Sequence[str]
    ) -> None:
        self.pixels, self.labels, self.items, self.vocab = pixels, labels, list(items), list(vocab)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[TensorImage, TensorCategory]:
        image, label = self.batch(np.array([i]))
        return image[0], label[0]

    def batch(self, rows: np.ndarray) -> tuple[TensorImage, TensorCategory]:
        """uint8 (n, 3, S, S), channels last in memory, and int64 (n,)."""
        image = torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2)
        return TensorImage(image), TensorCategory(torch.from_numpy(self.labels[rows]))

    def new_empty(self) -> ImageRows:
        none = np.arange(0)
        return ImageRows(self.pixels.take(none), self.labels[none], [], self.vocab)


class BatchDL(TfmdDL):
    """fastai's loader for datasets that give whole batches: `dataset.batch(rows)`.

    Gathering a batch from memory costs less than sending it from a worker would. For a GPU the next
    one is gathered, in pinned memory, while it works on the last.
    """

    def __init__(self, dataset: Any, bs: int = 64, **kwargs: Any) -> None:
        super().__init__(dataset, bs=bs, **{**kwargs, "num_workers": 0})

    def do_item(self, s: int | None) -> int:
        return s or 0

    def create_batch(self, b: Sequence[int]) -> tuple:
        return self.dataset.batch(np.asarray(b))

    def do_batch(self, b: Sequence[int]) -> tuple:
        return self.create_batch(b)

    def create_batches(self, samps: Any) -> Iterator[tuple]:
        made = super().create_batches(samps)
        if self.device is None or self.device.type != "cuda":
            return made
        return one_ahead(tuple(part.pin_memory() for part in batch) for batch in made)


def one_ahead(made: Iterator[tuple]) -> Iterator[tuple]:
    """The same in the same order, each made in a thread while the one before it is used."""
    with ThreadPoolExecutor(1, "softfold-next-batch") as pool:
        coming = pool.submit(next, made, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, made, None)
            yield batch


class ToFloat(Transform):
    """uint8 (N, 3, S, S) to float, scaled by the backbone's mean and standard deviation."""

    order = 10
    parameters = ("mean", "std")  # a loader takes them to its device, once

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = (torch.tensor(part).view(1, 3, 1, 1) for part in (mean, std))

    def encodes(self, x: TensorImage) -> TensorImage:
        pixels = x.as_subclass(Tensor).float()
        return TensorImage((pixels - self.mean * 255) / (self.std * 255))

    def decodes(self, x: TensorImage) -> TensorImage:
        return TensorImage((x.as_subclass(Tensor) * self.std + self.mean).clamp(0, 1))


class RandomCrop(Transform):
    """Random crop of each image, resized to `size`, and a flip every second time.

    fastai's RandomResizedCrop, for a whole batch on its device: the crop covers `min_scale` to 1
    of the area, sides 3/4 to 4/3.

    Args:
        size: side of the result in pixels.
        min_scale: least part of the area; 1 takes the whole image.
        flip: mirror left and right with probability 1/2.
    """

    order = 20

    def __init__(self, size: int, min_scale: float = 0.35, flip: bool = True) -> None:
        super().__init__()
        self.size, self.min_scale, self.flip = size, min_scale, flip

    def encodes(self, x: TensorImage) -> TensorImage:
        return TensorImage(self.apply(x.as_subclass(Tensor), torch.rand(len(x), 5)))

    def apply(self, x: Tensor, random: Tensor) -> Tensor:
        """Crop float (n, 3, S, S) by random numbers in 0..1, (n, 5): area, sides, place, flip."""
        if self.min_scale >= 1 and not self.flip and x.shape[-1] == self.size:
            return x
        # drawn on the processor: the same crops on every device; a GPU is not waited for
        random = random.to(x.device, non_blocking=x.is_cuda)
        area = self.min_scale + (1 - min(self.min_scale, 1)) * random[:, 0]
        sides = (2 * random[:, 1] - 1) * np.log(4 / 3) * (self.min_scale < 1)
        width = (area.sqrt() * (sides / 2).exp()).clamp(max=1)
        height = (area.sqrt() * (-sides / 2).exp()).clamp(max=1)
        theta = torch.zeros(len(x), 2, 3, device=x.device)
        theta[:, 0, 2] = (2 * random[:, 2] - 1) * (1 - width)
        theta[:, 1, 2] = (2 * random[:, 3] - 1) * (1 - height)
        theta[:, 0, 0] = torch.where(random[:, 4] < self.flip / 2, -width, width)
        theta[:, 1, 1] = height
        shape = [len(x), 3, self.size, self.size]
        grid = F.affine_grid(theta, shape, align_corners=False)
        out = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
        return out.contiguous(memory_format=torch.channels_last)
