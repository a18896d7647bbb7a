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
from collections.abc import Callable
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


def diagnose(device: str | None = None, backbone: str = "efficientnet_lite0") -> str:
    """Lines for people: each choice, its reason and its measured worth. Takes about a minute."""
    chosen = runtime.setup(device)
    found = runtime.machine()
    gpu = f", {found['gpu']}" if "gpu" in found else ""
    lines = [
        f"machine     {found['processor'].strip()}, {found['cores']} cores, "
        f"{found.get('memory_gb', '?')} GB{gpu}; torch {found['torch']}",
        f"chosen      {chosen.describe()}",
    ]
    ours = _measure_apart(device, backbone)
    lines += [
        f"arithmetic  GFLOP/s: {_rates(ours, 'gflops')}; memory {ours['copy_gb']:.1f} GB/s copied; "
        f"{ours['decoded']:,.0f} JPEGs of 213x160 px decoded a second and core",
        f"precision   {backbone} at {_SIZE} px, images a second: predicting "
        f"{_rates(ours, 'predict')}; training {_rates(ours, 'train')}",
    ]
    if not chosen.bfloat16:
        lines.append("            this device has no bfloat16 units, so float32 is used throughout")
    if chosen.device == "cpu":
        lines += _compare(ours, device, backbone, chosen)
    cache = cache_info()
    lines.append(
        f"cache       {cache['bytes'] / 1e9:.2f} of {cache['limit'] / 1e9:.0f} GB in "
        f"{cache['dir']} (--cache shows it, --clear-cache empties it)"
    )
    return "\n".join(lines)


def _compare(
    ours: dict[str, float], device: str | None, backbone: str, chosen: runtime.Runtime
) -> list[str]:
    """The same forward pass in processes without one of the choices."""
    kind = "bfloat16" if chosen.bfloat16 else "float32"
    now = ours[f"predict_{kind}"]
    lines = [_fusing(ours, device, backbone, kind)]
    if chosen.allocator.startswith("glibc"):
        other = _measure_apart(device, backbone, SOFTFOLD_MALLOC="0")[f"predict_{kind}"]
        lines.append(
            f"allocator   freed memory is kept: {now:,.0f} images a second, {other:,.0f} with "
            "glibc's defaults (SOFTFOLD_MALLOC=0)"
        )
    other = _measure_apart(device, backbone, OMP_WAIT_POLICY="ACTIVE")[f"predict_{kind}"]
    lines.append(
        f"threads     {chosen.threads} a torch operation, asleep while they wait: {now:,.0f} "
        f"images a second, {other:,.0f} spinning (OMP_WAIT_POLICY=ACTIVE); that costs most when "
        "other programs run"
    )
    return lines


def _fusing(ours: dict[str, float], device: str | None, backbone: str, kind: str) -> str:
    """Whether the network was fused, and what that buys."""
    import torch

    from softfold.vision.backbones import create_backbone
    from softfold.vision.inference import prepare

    dtype = getattr(torch, kind)
    ready = prepare(create_backbone(backbone, pretrained=False).module, _SIZE, dtype)
    if ready.how != "fused":
        return f"layers      {ready.how}, since {ready.why}"
    other = _measure_apart(device, backbone, SOFTFOLD_FUSED="0")[f"predict_{kind}"]
    return (
        f"layers      convolutions fused with what follows them: {ours[f'predict_{kind}']:,.0f} "
        f"images a second, {other:,.0f} one by one (SOFTFOLD_FUSED=0)"
    )


def _rates(found: dict[str, float], measure: str) -> str:
    """What was measured under that name, in each precision."""
    kinds = ("float32", "bfloat16")
    rates = [f"{found[f'{measure}_{k}']:,.0f} in {k}" for k in kinds if f"{measure}_{k}" in found]
    return ", ".join(rates)


def _measure_apart(device: str | None, backbone: str, **environment: str) -> dict[str, float]:
    kept = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-m", "softfold.doctor", backbone, *([device] if device else [])],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(backbone: str, device: str | None = None) -> dict[str, float]:
    """Rates of this process: images a second, GFLOP/s, GB/s, decoded images a second."""
    chosen = runtime.setup(device)
    torch = require("torch", extra="torch")
    found: dict[str, float] = {}
    for dtype in _dtypes(chosen.bfloat16):
        name = str(dtype).removeprefix("torch.")
        matrix = torch.randn(1024, 1024, device=chosen.device, dtype=dtype)
        product = lambda m=matrix: (m @ m).sum().item()  # noqa: E731 - item() waits for a GPU
        product()
        found[f"gflops_{name}"] = 2 * 1024**3 / best_of(product, 5) / 1e9
    source = np.ones(16 << 20, np.float32)
    target = np.empty_like(source)
    seconds = best_of(lambda: np.copyto(target, source), 5)
    found["copy_gb"] = 2 * source.nbytes / seconds / 1e9
    found["decoded"] = _decode_rate()
    found |= _network_rates(backbone, chosen)
    return found


def _dtypes(bfloat16: bool) -> tuple[torch.dtype, ...]:
    """What is worth measuring: without units for it, bfloat16 is emulated, tens of times slower."""
    import torch

    return (torch.float32, torch.bfloat16) if bfloat16 else (torch.float32,)


def _network_rates(backbone: str, chosen: runtime.Runtime) -> dict[str, float]:
    import torch

    from softfold.vision.backbones import create_backbone
    from softfold.vision.inference import prepare

    module = create_backbone(backbone, pretrained=False).module.to(chosen.device)
    module = module.to(memory_format=torch.channels_last)
    rates = {}
    for dtype in _dtypes(chosen.bfloat16):
        ready = prepare(module, _SIZE, dtype)
        for use, net in (("predict", ready.module), ("train", module)):
            seconds = seconds_per_batch(
                net,
                _SIZE,
                ready.dtype if use == "predict" else dtype,
                training=use == "train",
                batch_size=_BATCH,
                repeats=3 if use == "predict" else 1,
                device=chosen.device,
            )
            rates[f"{use}_{str(dtype).removeprefix('torch.')}"] = _BATCH / seconds
    return rates


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
    print(json.dumps(measure(*sys.argv[1:3])))
