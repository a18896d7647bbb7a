"""A network ready to predict: BatchNorm folded, convolutions fused, its numbers checked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softfold.machine.runtime import autocast, setup
from softfold.pixels.decoding import in_threads
from softfold.vision.batchnorm_folding import fold
from softfold.vision.convolution_fusing import fused, why_not

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

_MOST_WORKERS = 8
"""Batches that are passed at a time on a processor."""

_TOLERANCE = 1e-3
"""How far float32 outputs may be apart, of the largest."""

_NARROW_TOLERANCE = 0.05
"""How far a row of outputs in 16 bits may be from float32's, of its length. (Rounding every map of
EfficientNet-Lite0 to bfloat16 moves it by 0.02.)"""


@dataclass(frozen=True)
class Prepared:
    """A network for predicting.

    Attributes:
        module: the network.
        dtype: what autocast should compute in around it; float32 where it needs no autocast.
        how: `fused`, `folded` or `plain`.
        why: why it is not fused, empty where it is.
    """

    module: nn.Module
    dtype: torch.dtype
    how: str
    why: str = ""


def prepare(module: nn.Module, size: int, dtype: torch.dtype) -> Prepared:
    """A copy in eval mode, channels last, that gives the same numbers in less time.

    What cannot be traced, or would not give the same within 0.1% of the largest output, comes back
    as it is (in eval mode, channels last). So does in float32 what float16 is too narrow for. The
    copy is for predicting at this size only.

    Args:
        module: takes float (n, 3, size, size), gives one tensor.
        dtype: what it should compute in.
    """
    import torch

    plain = copy.deepcopy(module).eval().to(memory_format=torch.channels_last)
    device = next(plain.parameters()).device
    # of a generator of its own: a seed for all would seed the GPU as well
    batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    batch = batch.to(device).contiguous(memory_format=torch.channels_last)
    try:
        folded = fold(copy.deepcopy(plain)).to(memory_format=torch.channels_last)
        with torch.inference_mode(), _exact():
            expected, found = plain(batch), folded(batch)
        error = (expected - found).abs().max()
        if not error <= _TOLERANCE * expected.abs().max():
            why = "folding BatchNorm changes its output"
            return _wide_enough(plain, batch, dtype, "plain", why)
    except Exception as refusal:  # tracing refuses what Python decides by the values of tensors
        why = f"it cannot be traced ({type(refusal).__name__})"
        return _wide_enough(plain, batch, dtype, "plain", why)
    why = why_not(str(device), dtype)
    if not why:
        try:
            made = fused(copy.deepcopy(folded), size, dtype)
            why = "" if made is not None else "no convolution in it, or others' weights"
            if made is not None:
                with torch.inference_mode():
                    found = made(batch).to(expected.dtype)
                if _close(found, expected, dtype):
                    return Prepared(made, torch.float32, "fused")
                why = "fusing changes its output"
        except Exception as refusal:  # private operations: every version may refuse in its own way
            why = f"torch refuses ({type(refusal).__name__})"
    return _wide_enough(folded, batch, dtype, "folded", why)


def _wide_enough(
    module: nn.Module, batch: torch.Tensor, dtype: torch.dtype, how: str, why: str
) -> Prepared:
    """The network in this precision, or in float32 where its numbers do not fit into float16."""
    import torch

    if dtype == torch.float16:
        with torch.inference_mode():
            expected = module(batch)
            with autocast(dtype, batch.device.type):
                found = module(batch).to(expected.dtype)
        if not _close(found, expected, dtype):
            return Prepared(module, torch.float32, how, f"{why}; float16 changes its output")
    return Prepared(module, dtype, how, why)


def on_cores(work: Callable[[int], np.ndarray], starts: range) -> Iterator[np.ndarray]:
    """What `work` makes of batches, by where they start, in order: each core works on its own.

    Operations on one thread do not wait for another core. With more cores than `_MOST_WORKERS`
    each worker has several, since the maps of each take memory.
    """
    import torch

    threads = setup().threads
    workers = min(threads, _MOST_WORKERS)

    def begin() -> None:
        torch.set_num_threads(threads // workers)  # of this thread's operations

    try:
        yield from in_threads(work, starts, workers, begin)
    finally:
        torch.set_num_threads(threads)  # of threads that begin from now on


def arithmetic(device: str, dtype: torch.dtype) -> str:
    """What cached features know the arithmetic by: the precision, and whether it is fused.

    In float32 fused and folded networks give the same within the last bits, so they share rows. In
    bfloat16 a fused sum is rounded once and not twice, which shows in the third digit: rows apart.
    """
    import torch

    if dtype == torch.float32 or not device.startswith("cpu") or why_not(device, dtype):
        return str(dtype)
    return f"{dtype}, fused"


def _close(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    import torch

    if dtype == torch.float32:
        return bool((found - expected).abs().max() <= _TOLERANCE * expected.abs().max())
    apart = (found - expected).flatten(1).norm(dim=1)
    return bool((apart <= _NARROW_TOLERANCE * expected.flatten(1).norm(dim=1)).all())


@contextmanager
def _exact() -> Iterator[None]:
    """GPUs round to TensorFloat-32 in convolutions; not while two networks are compared."""
    from torch.backends import cudnn

    if not hasattr(cudnn, "conv"):  # before torch 2.9
        kept = {n: getattr(cudnn, n) for n in ("enabled", "benchmark", "deterministic")}
        with cudnn.flags(**kept, allow_tf32=False):
            yield
        return
    before = cudnn.conv.fp32_precision  # `flags` fails where somebody has set this one
    cudnn.conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        cudnn.conv.fp32_precision = before
