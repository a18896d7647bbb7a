"""What `softfold doctor` prints: what was chosen for this machine, and what each choice buys.

Choices that hold for a whole process (allocator, waiting threads) are measured in processes of
their own, with and without them: `python -m softfold.doctor` prints one such measurement.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softfold.cache.folder import cache_info
from softfold.errors import require
from softfold.machine import runtime

if TYPE_CHECKING:
    import torch
    from torch import nn

_SIZE = 128
"""Side of the images that are measured with."""

_BATCH = 8
"""Images in a measured step."""


def diagnose(
    device: str | None = None, backbone: str = "efficientnet_lite0", seconds: float = 15.0
) -> Iterator[str]:
    """Lines for people, each as soon as it is known: every choice, its reason, its measured worth.

    seconds: after which nothing more is measured; what was left out is said.
    """
    ends = time.monotonic() + seconds
    cache = cache_info()
    yield (
        f"cache       {cache['bytes'] / 1e9:.2f} of {cache['limit'] / 1e9:.0f} GB in "
        f"{cache['dir']} (--cache shows it, --clear-cache empties it)"
    )
    chosen = runtime.setup(device)
    found = runtime.machine()
    gpu = f", {found['gpu']}" if "gpu" in found else ""
    yield (
        f"machine     {found['processor'].strip()}, {found['cores']} cores, "
        f"{found.get('memory_gb', '?')} GB{gpu}; torch {found['torch']}"
    )
    yield f"chosen      {chosen.describe()}"
    if not chosen.bfloat16:
        yield "            this device has no bfloat16 units, so float32 is used throughout"
    late = f"not measured: {seconds:.0f} s were not enough on this busy machine (--seconds)"
    ours = _measure_apart(device, backbone, ends)
    yield f"arithmetic  {_arithmetic(ours) or late}"
    if not ours:
        return
    rates = [
        f"{words} {_rates(ours, use) or late}"
        for use, words in (("predict", "predicting"), ("train", "training"))
    ]
    yield f"precision   {backbone} at {_SIZE} px, images a second: {'; '.join(rates)}"
    kind = "bfloat16" if chosen.bfloat16 else "float32"
    if chosen.device != "cpu" or f"predict_{kind}" not in ours:
        return
    now = ours[f"predict_{kind}"]

    def without(**environment: str) -> str | None:
        """Images a second in a process without one of the choices, as text; None: no time left."""
        other = _measure_apart(device, backbone, ends, only=kind, **environment)
        return f"{other[f'predict_{kind}']:,.0f}" if other else None

    other = without(OMP_WAIT_POLICY="ACTIVE")
    yield f"threads     {chosen.threads} a torch operation, asleep while they wait: " + (
        late
        if other is None
        else f"{now:,.0f} images a second, {other} spinning (OMP_WAIT_POLICY=ACTIVE); that costs "
        "most when other programs run"
    )
    if chosen.allocator.startswith("glibc"):
        other = without(SOFTFOLD_MALLOC="0")
        yield "allocator   freed memory is kept: " + (
            late
            if other is None
            else f"{now:,.0f} images a second, {other} with glibc's defaults (SOFTFOLD_MALLOC=0)"
        )
    yield _fusing(now, backbone, kind, without, late)


def _fusing(
    now: float, backbone: str, kind: str, without: Callable[..., str | None], late: str
) -> str:
    """Whether the network was fused, and what that buys."""
    import torch

    from softfold.vision.backbones import create_backbone
    from softfold.vision.inference import prepare

    dtype = getattr(torch, kind)
    ready = prepare(create_backbone(backbone, pretrained=False).module, _SIZE, dtype)
    if ready.how != "fused":
        return f"layers      {ready.how}, since {ready.why}"
    other = without(SOFTFOLD_FUSED="0")
    return "layers      convolutions fused with what follows them: " + (
        late
        if other is None
        else f"{now:,.0f} images a second, {other} one by one (SOFTFOLD_FUSED=0)"
    )


def _arithmetic(found: dict[str, float]) -> str:
    """What was measured of products, memory and decoding; nothing where none was."""
    parts = [f"GFLOP/s: {_rates(found, 'gflops')}"] if _rates(found, "gflops") else []
    if "copy_gb" in found:
        parts.append(f"memory {found['copy_gb']:.1f} GB/s copied")
    if "decoded" in found:
        parts.append(f"{found['decoded']:,.0f} JPEGs of 213x160 px decoded a second and core")
    return "; ".join(parts)


def _rates(found: dict[str, float], measure: str) -> str:
    """What was measured under that name, in each precision."""
    kinds = ("float32", "bfloat16")
    rates = [f"{found[f'{measure}_{k}']:,.0f} in {k}" for k in kinds if f"{measure}_{k}" in found]
    return ", ".join(rates)


def _measure_apart(
    device: str | None, backbone: str, ends: float, only: str = "", **environment: str
) -> dict[str, float]:
    """Rates of a process of its own, as many as are known when the time is over.

    only: precision of the one thing that is measured, predicting; all there is where empty.
    """
    left = ends - time.monotonic()
    if left < 1:
        return {}
    kept = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    call = [sys.executable, "-m", "softfold.doctor", backbone, device or "", only]
    try:
        said = subprocess.run(
            call, env=kept | environment, capture_output=True, check=True, timeout=left
        ).stdout
    except subprocess.TimeoutExpired as stopped:
        said = stopped.stdout or b""
    whole = said[: said.rfind(b"\n") + 1].decode()  # of a line that was cut nothing is known
    return {name: rate for line in whole.splitlines() for name, rate in json.loads(line).items()}


def measure(
    backbone: str, device: str | None = None, only: str = ""
) -> Iterator[tuple[str, float]]:
    """Rates of this process by name, each as soon as it is known: images a second, GFLOP/s, GB/s,
    decoded images a second.

    only: precision of predicting, the one thing that is measured; all there is where empty.
    """
    chosen = runtime.setup(device)
    torch = require("torch", extra="torch")
    if only:
        yield from _network_rates(backbone, chosen, (getattr(torch, only),), ("predict",))
        return
    for dtype in _dtypes(chosen.bfloat16):
        name = str(dtype).removeprefix("torch.")
        matrix = torch.randn(1024, 1024, device=chosen.device, dtype=dtype)
        product = lambda m=matrix: (m @ m).sum().item()  # noqa: E731 - item() waits for a GPU
        product()
        yield f"gflops_{name}", 2 * 1024**3 / best_of(product, 3) / 1e9
    source = np.ones(16 << 20, np.float32)
    target = np.empty_like(source)
    seconds = best_of(lambda: np.copyto(target, source), 3)
    yield "copy_gb", 2 * source.nbytes / seconds / 1e9
    yield "decoded", _decode_rate()
    yield from _network_rates(backbone, chosen, _dtypes(chosen.bfloat16), ("predict", "train"))


def _dtypes(bfloat16: bool) -> tuple[torch.dtype, ...]:
    """What is worth measuring: without units for it, bfloat16 is emulated, tens of times slower."""
    import torch

    return (torch.float32, torch.bfloat16) if bfloat16 else (torch.float32,)


def _network_rates(
    backbone: str,
    chosen: runtime.Runtime,
    dtypes: Sequence[torch.dtype],
    uses: Sequence[str],
) -> Iterator[tuple[str, float]]:
    """Images a second: `predict_float32` and so on, the best of some batches."""
    import torch

    from softfold.vision.backbones import create_backbone
    from softfold.vision.inference import prepare

    module = create_backbone(backbone, pretrained=False).module.to(chosen.device)
    module = module.to(memory_format=torch.channels_last)
    for dtype in dtypes:
        ready = prepare(module, _SIZE, dtype)
        for use in uses:
            net = ready.module if use == "predict" else module
            seconds = seconds_per_batch(
                net,
                _SIZE,
                ready.dtype if use == "predict" else dtype,
                training=use == "train",
                batch_size=_BATCH,
                repeats=3 if use == "predict" else 1,
                device=chosen.device,
            )
            yield f"{use}_{str(dtype).removeprefix('torch.')}", _BATCH / seconds


def _decode_rate() -> float:
    import io

    from PIL import Image

    from softfold.pixels.decoding import decode

    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    stream = io.BytesIO()
    coarse.resize((213, 160), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    encoded: Any = stream.getvalue()
    decode(encoded, 160)
    return 50 / best_of(lambda: [decode(encoded, 160) for _ in range(50)], 3)


def seconds_per_batch(
    module: nn.Module,
    size: int,
    dtype: torch.dtype,
    *,
    training: bool = False,
    batch_size: int = 16,
    repeats: int = 2,
    device: str = "cpu",
) -> float:
    """Seconds of a forward pass (and backward pass, if training) over a batch: the best of some."""
    import torch

    module.train(training)
    batch = torch.randn(batch_size, 3, size, size).to(device)
    batch = batch.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.set_grad_enabled(training), runtime.autocast(dtype, device):
            out = module(batch).float().square().mean()
        if training:
            out.backward()
        out.item()  # waits for a GPU

    step()
    return best_of(step, repeats)


def best_of(step: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest call."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    backbone, device, only = (*sys.argv[1:4], "", "")[:3]
    for name, rate in measure(backbone, device or None, only):
        print(json.dumps({name: rate}), flush=True)
