"""What `softfold doctor` prints: what was chosen for this machine, what each choice buys, and what
is slow here with what to do about it.

Choices that hold for a whole process (allocator, waiting threads) are measured in processes of
their own, with and without them: `python -m softfold.doctor` prints one such measurement.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softfold.cache.folder import cache_info
from softfold.errors import require
from softfold.machine import runtime
from softfold.nearby import has_index

if TYPE_CHECKING:
    import torch
    from torch import nn

_SIZE = 128
"""Side of the images that are measured with."""

_BATCH, _GPU_BATCH = 8, 128
"""Images in a measured step; a GPU would spend a small one on being told what to do."""

_SIDE, _GPU_SIDE = 1024, 8192
"""Rows of the matrices that are multiplied."""


def diagnose(
    device: str | None = None, backbone: str = "efficientnet_lite0", seconds: float = 15.0
) -> Iterator[str]:
    """Lines for people, each as soon as it is known: every choice, its reason, its measured worth.

    seconds: after which nothing more is measured; what was left out is said.
    """
    ends = time.monotonic() + seconds
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
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
    if _name(runtime.precision(chosen.device)) == "float32":
        yield "            this device has no bfloat16 units, so float32 is used throughout"
    late = f"not measured: {seconds:.0f} s were not enough on this busy machine (--seconds)"
    ours = _measure_apart(device, backbone, ends)
    yield f"arithmetic  {_arithmetic(ours) or late}"
    if ours:
        yield from _worth(chosen, ours, device, backbone, ends, late)
    yield from advice(chosen, cache, ours, load)


def _worth(
    chosen: runtime.Runtime,
    ours: dict[str, float],
    device: str | None,
    backbone: str,
    ends: float,
    late: str,
) -> Iterator[str]:
    """What the network does a second, and on a processor what each choice adds to that."""
    rates = [
        f"{words} {_rates(ours, use) or late}"
        for use, words in (("predict", "predicting"), ("train", "training"))
    ]
    yield f"precision   {backbone} at {_SIZE} px, images a second: {'; '.join(rates)}"
    kind = _name(runtime.precision(chosen.device))
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


def advice(
    chosen: runtime.Runtime, cache: dict[str, Any], measured: dict[str, float], load: float
) -> Iterator[str]:
    """What is slow here and what to do about it, a line each.

    cache: as `cache_info` gives it. measured: rates by name, as `measure` gives them. load: how
    many programs wanted a core before anything was measured.
    """
    for line in (*_of_machine(chosen, cache, load), *_of_rates(chosen, measured)):
        yield f"advice      {line}"


def _of_machine(chosen: runtime.Runtime, cache: dict[str, Any], load: float) -> Iterator[str]:
    cores = runtime.available_cores()
    if load > cores:
        yield (
            f"other programs keep these {cores} cores busy (load {load:.1f}): the figures here are "
            "too low, and a job would take as much longer; wait for them"
        )
    if chosen.threads < cores and chosen.device == "cpu":
        yield (
            f"{chosen.threads} of {cores} cores are used: OMP_NUM_THREADS says so; unset it where "
            "nothing else needs them"
        )
    if chosen.device == "cpu" and shutil.which("nvidia-smi") and not _gpus():
        yield (
            "there is a GPU's driver, and torch sees no GPU: nvidia-smi says whether it works; a "
            "torch with CUDA is chosen at pytorch.org/get-started"
        )
    if chosen.device.startswith("cuda") and _gpus() > 1:
        yield (
            f"one of {_gpus()} GPUs is used: --workers {_gpus()} trains folds and final models on "
            "all of them, side by side"
        )
    folder = next((p for p in (Path(cache["dir"]), *Path(cache["dir"]).parents) if p.exists()), ".")
    free, wanted = shutil.disk_usage(folder).free, cache["limit"] - cache["bytes"]
    if free < wanted:
        yield (
            f"{free / 1e9:.1f} GB are free where the cache may grow by {wanted / 1e9:.0f}: "
            "SOFTFOLD_CACHE names another folder, SOFTFOLD_CACHE_GB a smaller size"
        )
    if not has_index():
        yield (
            "near copies among more than 20,000 images are not looked for without an index: pip "
            "install 'softfold[index]'"
        )


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _of_rates(chosen: runtime.Runtime, measured: dict[str, float]) -> Iterator[str]:
    """Which of the two takes the time of a first run; later ones find all in the cache."""
    if "decoded" not in measured:
        return
    network = measured.get(f"predict_{_name(runtime.precision(chosen.device))}")
    if network is None:
        return
    decoding = measured["decoded"] * chosen.decode_threads
    if decoding < network:
        yield (
            f"a first run waits for its images to be decoded, about {decoding:,.0f} a second on "
            f"{chosen.decode_threads} cores, where the network takes {network:,.0f}: images "
            "shrunk beforehand to twice --size take less, and more cores help"
        )
    elif chosen.device == "cpu":
        yield (
            f"a first run waits for the network: at {_SIZE} px 10,000 images take about "
            f"{10_000 / network:,.0f} s, once; a smaller --size takes less, and so does a GPU"
        )


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
    kinds = ("float32", "bfloat16", "float16")
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
    side = _SIDE if chosen.device == "cpu" else _GPU_SIDE
    for dtype in _dtypes(chosen.device):
        matrix = torch.randn(side, side, device=chosen.device, dtype=dtype)
        product = lambda m=matrix: (m @ m).sum().item()  # noqa: E731 - item() waits for a GPU
        product()
        yield f"gflops_{_name(dtype)}", 2 * side**3 / best_of(product, 3) / 1e9
    source = np.ones(16 << 20, np.float32)
    target = np.empty_like(source)
    seconds = best_of(lambda: np.copyto(target, source), 3)
    yield "copy_gb", 2 * source.nbytes / seconds / 1e9
    yield "decoded", _decode_rate()
    yield from _network_rates(backbone, chosen, _dtypes(chosen.device), ("predict", "train"))


def _dtypes(device: str) -> tuple[torch.dtype, ...]:
    """What is worth measuring: without units for it, bfloat16 is emulated, tens of times slower."""
    import torch

    return tuple(dict.fromkeys((torch.float32, runtime.precision(device))))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


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
    images = _BATCH if chosen.device == "cpu" else _GPU_BATCH
    for dtype in dtypes:
        ready = prepare(module, _SIZE, dtype)
        for use in uses:
            if use == "train" and dtype == torch.float16:
                continue  # nothing is trained in it
            net = ready.module if use == "predict" else module
            seconds = seconds_per_batch(
                net,
                _SIZE,
                ready.dtype if use == "predict" else dtype,
                training=use == "train",
                batch_size=images,
                repeats=3 if use == "predict" else 1,
                device=chosen.device,
            )
            yield f"{use}_{_name(dtype)}", images / seconds


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
