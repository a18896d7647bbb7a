"""A GPU in one call: what it makes of each step, beside this machine's processor.

    python benchmarks/gpu.py --data ../data/imagewoof2-160     all rows, into results/gpu.md
    python benchmarks/gpu.py --rows forward,features           some of them
    python benchmarks/gpu.py --dry-run                         tiny, on the processor, no file

On a bare machine: `pip install '.[fastai,cli]'`, then the first line; without `--data` the rows
that need no data. Images of the other rows are made here. A row that fails says why, and the next
one runs.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
Row = tuple[str, str, str]
"""What, how much, and a note."""


def timed(work: Callable[[], object], device: str, repeats: int) -> float:
    """Seconds of a call, the median, after one that does not count; waits for the device."""
    import torch

    took = []
    for i in range(repeats + 1):
        started = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        if i:
            took.append(time.perf_counter() - started)
    return float(np.median(took))


def forward(use: argparse.Namespace) -> Iterator[Row]:
    """Images a second of the default backbone, by precision; and which network was made ready."""
    import torch

    from softfold.machine.runtime import autocast, precision
    from softfold.vision.backbones import create_backbone, with_stages
    from softfold.vision.inference import prepare

    body = with_stages(create_backbone()).to(use.device)
    batch = torch.randn(use.batch, 3, use.size, use.size, device=use.device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    gpu = use.device.startswith("cuda")
    kinds = [torch.float32, torch.bfloat16, torch.float16] if gpu else [precision(use.device)]
    for dtype in kinds:
        net = prepare(body, use.size, dtype)

        def step(net=net) -> None:
            with torch.inference_mode(), autocast(net.dtype, use.device):
                net.module(batch)

        rate = use.batch / timed(step, use.device, use.repeats)
        chosen = ", what softfold computes in" if dtype == precision(use.device) else ""
        yield f"forward pass, {dtype}", f"{rate:,.0f} images/s", f"{net.how} {net.why}{chosen}"


def features(use: argparse.Namespace) -> Iterator[Row]:
    """Images a second from JPEG bytes to cached features, and how near they are to float32's."""
    from softfold.pixels.images import Images
    from softfold.vision.features import image_features

    images = Images(encoded=jpegs(use.images))
    found = {}
    for device in dict.fromkeys((use.device, "cpu")):
        some = images if device == use.device else images.take(np.arange(min(64, use.images)))
        with tempfile.TemporaryDirectory() as cache:
            os.environ["SOFTFOLD_CACHE"] = cache
            image_features(some.take(np.arange(8)), size=use.size, device=device)  # warms up
            started = time.perf_counter()
            found[device] = image_features(some, size=use.size, device=device)
            seconds = time.perf_counter() - started
        yield f"features with decoding, {device}", f"{len(some) / seconds:,.0f} images/s", ""
    ours, exact = found[use.device][: len(found["cpu"])], found["cpu"]
    cosine = (ours * exact).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(exact, axis=1)
    yield "least cosine to the processor's features", f"{cosine.min():.5f}", ""


def jpegs(n: int) -> list[bytes]:
    from PIL import Image

    rng, out = np.random.default_rng(0), []
    for _ in range(n):
        coarse = Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((213, 160), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        out.append(stream.getvalue())
    return out


def training(use: argparse.Namespace) -> Iterator[Row]:
    """A step of resnet18, forward and backward."""
    import torch

    from softfold.doctor import seconds_per_batch
    from softfold.machine.runtime import precision
    from softfold.vision.backbones import create_backbone

    net = create_backbone("resnet18", pretrained=False).module.to(use.device)
    net = net.to(memory_format=torch.channels_last)
    for dtype in dict.fromkeys((torch.float32, precision(use.device, training=True))):
        seconds = seconds_per_batch(
            net, use.size, dtype, training=True, batch_size=use.batch // 4, device=use.device
        )
        rate = use.batch // 4 / seconds
        yield f"training step, resnet18, {dtype}", f"{rate:,.0f} images/s", ""


def solver(use: argparse.Namespace) -> Iterator[Row]:
    """One softmax regression: the probe's solver on the processor, torch's L-BFGS on the device."""
    import torch

    from softfold.trainers.probe.softmax_regression import Design, Targets, solve

    n, d, k, strength = use.items, use.columns, 10, 1.0
    rng = np.random.default_rng(0)
    labels = rng.integers(0, k, n)
    x = (rng.normal(size=(n, d)) + rng.normal(size=(k, d))[labels] * 0.3).astype(np.float32)
    started = time.perf_counter()
    design = Design.of(x)
    made = time.perf_counter() - started
    weights = torch.ones(n, 1)
    seconds = timed(lambda: solve(design, Targets(np.eye(k)[labels]), weights, strength), "cpu", 1)
    scale = f"{n:,} x {d:,}"
    yield f"solver, {scale}", f"{seconds:.2f} s", f"on the processor, axes {made:.2f} s before"
    z, y = design.z.to(use.device), torch.from_numpy(labels).to(use.device)

    def other() -> None:
        w = torch.zeros(d + 1, k, device=use.device, requires_grad=True)
        search = torch.optim.LBFGS([w], max_iter=50, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            search.zero_grad()
            out = torch.nn.functional.cross_entropy(z @ w, y)
            out = out + strength / 2 * w[:-1].square().sum()
            out.backward()
            return out

        search.step(loss)  # type: ignore[arg-type]

    seconds = timed(other, use.device, 1)
    yield f"torch's L-BFGS, {scale}", f"{seconds:.2f} s", f"on {use.device}, 50 steps"


def job(use: argparse.Namespace) -> Iterator[Row]:
    """`softfold run` on Imagewoof's folder, with its defaults for this device."""
    if use.data is None:
        yield "the whole job", "", "needs --data"
        return
    from speed_sides import imagewoof

    import softfold

    table = imagewoof(use.data, use.job_images, use.job_images // 2, "25")
    for trainer in ("probe", "finetune"):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SOFTFOLD_CACHE"] = f"{folder}/cache"
            asked = {"trainer": trainer, "device": use.device, "seeds": use.seeds, "size": use.size}
            started = time.perf_counter()
            run = softfold.run(table, f"{folder}/run", quiet=True, **asked)
            seconds = time.perf_counter() - started
            mean = run.metrics["difference"]["mean"]
        what = f"the whole job, {use.job_images:,} images, {trainer}, {use.seeds} seeds, cold"
        yield what, f"{seconds:.0f} s", f"soft less given labels {100 * mean:+.2f} points"


ROWS = {each.__name__: each for each in (forward, features, training, solver, job)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="unpacked imagewoof2-160 with its CSV")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny, on the processor, printed only"
    )
    sizes = {"size": (224, 64), "batch": (256, 8), "images": (4096, 24), "repeats": (20, 1)}
    sizes |= {"items": (100_000, 500), "columns": (1280, 60), "job_images": (9000, 200)}
    sizes |= {"seeds": (3, 1)}
    for name, (whole, dry) in sizes.items():
        about = f"{whole:,}, in a dry run {dry}"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=about)
    use = parser.parse_args()
    for name, both in sizes.items():
        if getattr(use, name) is None:
            setattr(use, name, both[use.dry_run])
    if use.dry_run:
        use.device = "cpu"
    from softfold.machine.runtime import machine, setup

    setup(use.device)  # a device that is not there is said in one line
    lines = ["| what | how much | |", "| --- | --- | --- |"]
    for name in use.rows.split(","):
        try:
            for made in ROWS[name](use):
                lines.append("| " + " | ".join(made) + " |")
                print(lines[-1], flush=True)
        except Exception as error:  # one row less is better than none of those behind it
            lines.append(f"| {name} | failed | {type(error).__name__}: {str(error)[:200]} |")
            print(lines[-1], flush=True)
    about = json.dumps(machine())
    page = (
        "# On a GPU\n\n" + "\n".join(lines) + f"\n\nMade by `python benchmarks/gpu.py`: {about}.\n"
    )
    if not use.dry_run:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "gpu.md").write_text(page)


if __name__ == "__main__":
    main()
