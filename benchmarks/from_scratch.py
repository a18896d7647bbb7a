"""Nets trained from random weights on wrong labels: clean test accuracy by epoch.

    python benchmarks/from_scratch.py --fashion DIR --cifar DIR         # all rows, 3 seeds
    python benchmarks/from_scratch.py --fashion DIR fashion/pair-40     # one row
    python benchmarks/from_scratch.py --report-only                     # a table of what is done

The same net from the same weights on the same batches and crops, once on the given labels, once on
the post's soft labels (0.7 given, 0.3 the predicted class), once on softfold's default. Out-of-fold
predictions are of such nets too, trained from random weights in the folds, and are made once for
all. No pretrained weights enter anywhere. `Scratch` below is a trainer as users write their own.

Settings are small without a GPU and large with one (all data, a ResNet-18); `--train`, `--epochs`
and others change either. Nothing is chosen by the test set: `--develop` measures on training images
that a small run leaves out, and writes no table; settings were chosen so. The best epoch in the
table is chosen by hindsight and says what stopping at the right time could have saved.

Images are trained on as they are, which lets a net learn wrong labels by heart within few epochs;
in rows that end in `/crops` they are shifted and flipped at random, which hinders it for long.

Every (row, seed) is kept in --work when it is finished, and the table, results/from_scratch.json
and docs/img/from_scratch.png are made of what is there. On a busy CPU two processes of one thread
each (`--threads 1`, other rows) do more than one of two threads. DIR of `--fashion` holds the four
idx files (Debian's package dataset-fashion-mnist), that of `--cifar` train.parquet and test.parquet
with the columns image, label, aggre and random1.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from softfold import corrupt, plan_folds, rank_issues, soften
from softfold.arrays import one_hot
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.data.datasets import load_dataset
from softfold.data.table import LabelTable
from softfold.evaluation import average_precision, paired_difference
from softfold.fastai.loss import ForwardCrossEntropy, SoftCrossEntropy
from softfold.machine.runtime import machine, setup
from softfold.pixels.decoding import decoded
from softfold.trainers import BaseModel, BaseTrainer

HERE = Path(__file__).parent
ROWS = [
    "fashion/pair-40",
    "fashion/symmetric-40",
    "cifar10n/random1",
    "cifar10n/aggre",
    "fashion/pair-40/crops",
    "fashion/symmetric-40/crops",
    "cifar10n/random1/crops",
    "cifar10n/aggre/crops",
]
TITLES = {
    "fashion/pair-40": "Fashion-MNIST, 40% of each class called the next",
    "fashion/symmetric-40": "Fashion-MNIST, 40% any other class",
    "cifar10n/random1": "CIFAR-10N random1, people's labels",
    "cifar10n/aggre": "CIFAR-10N aggre, people's labels",
}
TITLES |= {f"{row}/crops": f"{title}; shifted, flipped" for row, title in TITLES.items()}
ARMS = ["given", "post", "softfold"]
COLOURS = {"given": "#c2410c", "post": "#7c3aed", "softfold": "#0f766e"}
SIZES = {"fashion": 28, "cifar10n": 32}


@dataclass(frozen=True)
class Settings:
    """What a run is made of.

    train: images drawn for a seed, 0 for all. rounds: at most, of training the folds through T.
    stages: channels of each stage in widths. patch: stride of the first layer. rate, decay: of SGD.
    shift: by how many pixels images are shifted in rows that end in /crops (and flipped).
    """

    train: int = 5000
    folds: int = 3
    rounds: int = 1
    fold_epochs: int = 5
    epochs: int = 12
    width: int = 32
    stages: tuple[int, ...] = (2, 4)
    blocks: int = 1
    patch: int = 2
    batch: int = 64
    rate: float = 0.05
    decay: float = 5e-4
    shift: int = 2


LARGE = Settings(
    train=0,
    folds=3,
    rounds=2,
    fold_epochs=15,
    epochs=60,
    width=64,
    stages=(1, 2, 4, 8),
    blocks=2,
    patch=1,
    batch=128,
    rate=0.1,
    shift=4,
)


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)])
        self.around = nn.Identity()
        if stride > 1 or n_in != n_out:
            around = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
            self.around = nn.Sequential(around, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.norms[0](self.first(x)))
        return torch.relu_(self.norms[1](self.second(y)) + self.around(x))


def network(use: Settings, n_classes: int) -> nn.Sequential:
    """A residual net: stage i has width * stages[i] channels and halves the map, but for 1."""
    kernel = 3 if use.patch == 1 else use.patch + 2
    n = use.width
    layers: list[nn.Module] = [
        nn.Conv2d(3, n, kernel, use.patch, 1, bias=False),
        nn.BatchNorm2d(n),
        nn.ReLU(inplace=True),
    ]
    for times in use.stages:
        for i in range(use.blocks):
            layers.append(Block(n, use.width * times, 1 if i or times == 1 else 2))
            n = use.width * times
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, n_classes)]
    return nn.Sequential(*layers)


class Scratch(BaseTrainer):
    """A softfold trainer: the net from random weights by SGD.

    crops: shift and flip images at random. fit and predict take LabelTables of images; `noise` is
    the T to train through.
    """

    name = "scratch"
    supports_noise = True

    def __init__(self, use: Settings, row: str, epochs: int) -> None:
        self.use, self.epochs = use, epochs
        self.size, self.crops = SIZES[row.split("/", maxsplit=1)[0]], row.endswith("/crops")

    def describe(self) -> dict:
        return {
            "size": self.size,
            "crops": self.crops,
            **asdict(replace(self.use, epochs=self.epochs)),
        }

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> Trained:
        """Train on targets (n, K); the same seed gives the same weights, batches and crops."""
        device = setup().device
        torch.manual_seed(seed)
        net = network(self.use, table.n_classes)
        model = Trained(net.to(device, memory_format=torch.channels_last), self.size)
        loss = (SoftCrossEntropy() if noise is None else ForwardCrossEntropy(noise)).to(device)
        batches = Batches(pixels(table, self.size), targets, self.use, seed, self.crops)
        watched = None if holdout is None else pixels(holdout, self.size)
        steps = self.epochs * len(batches)
        step = torch.optim.SGD(
            net.parameters(), self.use.rate, 0.9, weight_decay=self.use.decay, nesterov=True
        )
        rate = torch.optim.lr_scheduler.OneCycleLR(step, self.use.rate, steps, pct_start=0.2)
        for _ in range(self.epochs):
            net.train()
            for images, wanted in batches:
                step.zero_grad(set_to_none=True)
                loss(model.logits(images), wanted).backward()
                step.step()
                rate.step()
            if watched is not None:
                model.seen.append(model.probabilities(watched).argmax(1))
        if holdout is not None and holdout.truth is not None:
            right = [float((seen == holdout.truth).mean()) for seen in model.seen]
            model.history = pd.DataFrame({"epoch": range(1, len(right) + 1), "accuracy": right})
        return model


class Trained(BaseModel):
    """What `Scratch` trained. seen: classes predicted of the hold-out after each epoch."""

    def __init__(self, net: nn.Module, size: int) -> None:
        self.net, self.size = net, size
        self.seen: list[np.ndarray] = []
        self.history: pd.DataFrame | None = None

    def logits(self, images: Tensor) -> Tensor:
        """Of uint8 images (n, side, side, 3)."""
        x = images.permute(0, 3, 1, 2).float().div_(64).sub_(1)  # the view is channels_last
        kind = images.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=setup().bfloat16):
            return self.net(x).float()

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> np.ndarray:
        self.net.eval()
        parts = [self.logits(part).softmax(1).cpu() for part in images.split(1000)]
        return torch.cat(parts).numpy()

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K)."""
        return self.probabilities(pixels(table, self.size))


class Batches:
    """Shuffled batches, drawn on the device; with crops of images shifted and flipped at random."""

    def __init__(
        self, images: Tensor, targets: np.ndarray, use: Settings, seed: int, crops: bool
    ) -> None:
        self.side, self.use, device = images.shape[1], use, images.device
        self.crops, edge = crops, use.shift if crops else 0
        self.images = nn.functional.pad(images, (0, 0, edge, edge, edge, edge))
        self.targets = torch.as_tensor(np.asarray(targets, np.float32), device=device)
        self.drawn = torch.Generator(device).manual_seed(seed)

    def __len__(self) -> int:
        return len(self.images) // self.use.batch

    def __iter__(self):
        order = self._draw(torch.randperm, len(self.images))
        for rows in order[: len(self) * self.use.batch].split(self.use.batch):
            images = self._cropped(rows) if self.crops else self.images[rows]
            yield images, self.targets[rows]

    def _draw(self, how, *args):
        return how(*args, generator=self.drawn, device=self.images.device)

    def _cropped(self, rows: Tensor) -> Tensor:
        n, along = len(rows), torch.arange(self.side, device=rows.device)
        top, left = self._draw(torch.randint, 0, 2 * self.use.shift + 1, (2, n, 1))
        flip = self._draw(torch.randint, 0, 2, (n, 1)).bool()
        down = top + along
        across = left + torch.where(flip, along.flip(0), along)
        return self.images[rows[:, None, None], down[:, :, None], across[:, None, :]]


def pixels(table: LabelTable, size: int) -> Tensor:
    """Images uint8 (n, size, size, 3) on the device."""
    rows = decoded(table.data, size)[np.arange(len(table))]
    return torch.from_numpy(rows).to(setup().device)


@lru_cache(maxsize=1)
def whole(row: str, data: Path) -> LabelTable:
    """The dataset with people's labels where it has them, right ones else."""
    name, noise = row.split("/")[:2]
    if name == "fashion":
        return load_dataset("fashion-mnist", data=data)
    return load_dataset("cifar10n", noise=noise, data=data)


def drawn(row: str, args: argparse.Namespace, seed: int) -> tuple[LabelTable, LabelTable]:
    """A seed's training images with their given labels, and the images to measure on."""
    name, noise = row.split("/")[:2]
    table = whole(row, {"fashion": args.fashion, "cifar10n": args.cifar}[name])
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~table.valid))
    n = args.use.train or len(order)
    test = table.take(order[n : n + 10_000]) if args.develop else table.holdout
    train = table.take(np.sort(order[:n]))
    kind, _, percent = noise.partition("-")
    if kind in ("symmetric", "pair"):
        noisy = corrupt(
            train.truth, int(percent) / 100, kind, n_classes=table.n_classes, seed=1000 + seed
        )
        train = replace(train, given=noisy)
    return train, test


def measure(row: str, args: argparse.Namespace, seed: int) -> tuple[dict, dict[str, np.ndarray]]:
    """One row at one seed: figures, and the classes each arm predicts by epoch (E, M)."""
    started, use = time.perf_counter(), args.use
    train, test = drawn(row, args, seed)
    begun = time.perf_counter()
    made = noise_aware_cross_fit(
        train,
        Scratch(use, row, use.fold_epochs),
        plan_folds(train, use.folds, seed=seed),
        seed=seed,
        max_rounds=use.rounds,
        out=args.work / f"folds_{name_of(row, seed)}",
    )
    crossfit_seconds = time.perf_counter() - begun
    plain = made.plain.probabilities
    targets = {
        "given": one_hot(train.given, train.n_classes),
        "post": soften(train.given, plain, "blend", given_weight=0.7, hard=True),
        "softfold": soften(train.given, made.oof.probabilities, noise=made.noise),
    }
    wrong = train.given != train.truth
    seen, by_heart, right = {}, {}, {}
    for arm, wanted in targets.items():
        if arm == "softfold" and np.array_equal(wanted, targets["given"]):
            seen[arm], by_heart[arm], right[arm] = (
                d["given"] for d in (seen, by_heart, right)
            )  # called clean: the same training, item for item
            continue
        model = Scratch(use, row, use.epochs).fit(train, wanted, seed=seed, holdout=test)
        said = model.predict(train).argmax(1)
        seen[arm] = np.stack(model.seen).astype(np.uint8)
        by_heart[arm] = float((said == train.given)[wrong].mean())
        right[arm] = model.history["accuracy"].tolist()
    issues = rank_issues(train.given, made.oof.probabilities, noise=made.noise)
    suspicion = issues.set_index("index")["suspicion"].sort_index().to_numpy()
    figures = {
        "row": row,
        "seed": seed,
        "settings": asdict(use),
        "n_train": len(train),
        "n_test": len(test),
        "accuracy": right,
        "by_heart": by_heart,
        "targets_right": {
            a: float((t.argmax(1) == train.truth).mean()) for a, t in targets.items()
        },
        "out_of_fold_right": {
            "plain": float((plain.argmax(1) == train.truth).mean()),
            "kept": float((made.oof.probabilities.argmax(1) == train.truth).mean()),
        },
        "rate_truth": float(wrong.mean()),
        "rate_estimate": made.noise.rate,
        "clean": made.noise.clean,
        "temperature": made.noise.temperature,
        "rounds": made.rounds,
        "found": average_precision(suspicion, wrong),
        "transition": np.round(made.noise.transition, 4).tolist(),
        "crossfit_seconds": crossfit_seconds,
        "seconds": time.perf_counter() - started,
        "machine": machine() | {"threads": setup().threads},
    }
    return figures, {**seen, "truth": test.truth.astype(np.uint8)}


def name_of(row: str, seed: int | str) -> str:
    return f"{row.replace('/', '_')}_seed-{seed}"


def report(work: Path, out: Path, picture: Path) -> str:
    """Table, JSON and picture of all that is finished."""
    records = [r for row in ROWS if (r := record(work, row))]
    if not records:
        return "nothing is finished yet\n"
    text = head(records) + "\n".join(lines_of(records)) + "\n" + FOOT
    out.mkdir(parents=True, exist_ok=True)
    (out / "from_scratch.json").write_text(json.dumps({"rows": records}, indent=1) + "\n")
    (out / "from_scratch.md").write_text(text)
    draw([r for r in records if not r["row"].endswith("/crops")] or records, picture)
    return text


def record(work: Path, row: str) -> dict | None:
    """One row's seeds together, None where none is finished."""
    files = sorted(work.glob(f"{name_of(row, '*')}.json"))
    runs = [json.loads(file.read_text()) for file in files]
    if not runs:
        return None
    if any(run["settings"] != runs[0]["settings"] for run in runs):
        raise SystemExit(f"{work}: seeds of {row} have different settings; name another --work")
    stored = [dict(np.load(file.with_suffix(".npz"))) for file in files]
    curves = {arm: np.array([run["accuracy"][arm] for run in runs]) for arm in ARMS}
    last = curves["given"].shape[1] - 1
    epochs = {
        "last": dict.fromkeys(ARMS, last),
        "best": {arm: int(curve.mean(axis=0).argmax()) for arm, curve in curves.items()},
    }
    rest = ["by_heart", "targets_right", "out_of_fold_right", "rate_truth", "rate_estimate"]
    rest += ["clean", "temperature", "rounds", "found", "crossfit_seconds", "seconds"]
    return {
        "row": row,
        "seeds": [run["seed"] for run in runs],
        **{key: runs[0][key] for key in ("settings", "n_train", "n_test", "machine")},
        "accuracy": {arm: curve.tolist() for arm, curve in curves.items()},
        "epochs": {
            name: {
                "epoch": {arm: e + 1 for arm, e in at.items()},
                "mean": {arm: float(curves[arm][:, e].mean()) for arm, e in at.items()},
                "softfold_minus": {arm: minus(stored, arm, at) for arm in ("given", "post")},
                "post_minus_given": minus(stored, "given", at, "post"),
            }
            for name, at in epochs.items()
        },
        **{key: [run[key] for run in runs] for key in rest},
    }


def minus(stored: list[dict], other: str, at: dict[str, int], arm: str = "softfold") -> dict:
    """Accuracy of an arm less another's, each at its epoch, with its 95% interval."""
    a, b = (np.stack([seed[name][at[name]] for seed in stored]) for name in (other, arm))
    return paired_difference(a, b, stored[0]["truth"], n_boot=4000)


def head(records: list[dict]) -> str:
    use, about = records[0]["settings"], records[0]["machine"]
    net = network(Settings(**{**use, "stages": tuple(use["stages"])}), 10)
    weights = sum(p.numel() for p in net.parameters())
    seeds = "; ".join(f"{r['row']} {' '.join(map(str, r['seeds']))}" for r in records)
    where = ", ".join(f"{k} {v}" for k, v in about.items())
    return (
        "# Nets from random weights\n\nMade by `benchmarks/from_scratch.py`. Training images "
        f"are drawn anew for each seed, {records[0]['n_test']:,} clean test images measure. A "
        f"residual net of {weights:,} weights and {flops(net):.0f} million operations an image of "
        f"32 x 32, {use['epochs']} epochs. Out-of-fold predictions by the same net in "
        f"{use['folds']} folds, {use['fold_epochs']} epochs, at most {use['rounds']} "
        f"round{'s' if use['rounds'] > 1 else ''} through T; the same ones for all three. "
        f"Seeds: {seeds}. {where}.\n\n"
    )


def flops(net: nn.Module) -> float:
    """Million operations (two a multiplication) of one 32 x 32 image."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as count:
        net.eval()(torch.zeros(1, 3, 32, 32))
    return count.get_total_flops() / 1e6


FOOT = """
Percent right on clean test images, mean over seeds; differences in points with their 95% interval,
paired by seed and image (one seed: by image, which says nothing of another seed). Images are
trained on as they are, without crops or flips, but where it says so. The best epoch is each
method's own, chosen by hindsight on the test images. "Learned by heart": share of wrong training
labels that the last epoch's net gives as its answer.
"""


def lines_of(records: list[dict]) -> list[str]:
    names = [
        "labels",
        "images",
        "seeds",
        "wrong",
        "estimated",
        "epoch",
        "given",
        "post",
        "softfold",
    ]
    names += [
        "softfold less given",
        "softfold less post",
        "learned by heart: given, post, softfold",
    ]
    lines = [f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    for r in records:
        truth, estimate = (100 * np.mean(r[key]) for key in ("rate_truth", "rate_estimate"))
        heart = [100 * np.mean([h[arm] for h in r["by_heart"]]) for arm in ARMS]
        for name, at in r["epochs"].items():
            which = ", ".join(str(at["epoch"][arm]) for arm in ARMS)
            cells = [
                TITLES[r["row"]],
                f"{r['n_train']:,}",
                str(len(r["seeds"])),
                f"{truth:.1f}%",
                f"{estimate:.1f}%",
            ]
            cells += ["last" if name == "last" else f"best ({which})"]
            cells += [f"{100 * at['mean'][arm]:.2f}" for arm in ARMS]
            cells += [shown(at["softfold_minus"][arm]) for arm in ("given", "post")]
            cells += [", ".join(f"{h:.0f}%" for h in heart) if name == "last" else ""]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def shown(d: dict) -> str:
    return f"{100 * d['mean']:+.2f} ({100 * d['low']:+.2f} to {100 * d['high']:+.2f})"


def draw(records: list[dict], file: Path) -> None:
    """Accuracy by epoch, a panel a row, a line a seed, its mean thick."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = {"given": "given labels", "post": "the post: 0.7 given + 0.3 predicted"}
    names["softfold"] = "softfold's default"
    across = min(2, len(records))
    down = -(-len(records) // across)
    figure, axes = plt.subplots(down, across, figsize=(4.6 * across, 3.1 * down), squeeze=False)
    for axis, r in zip(axes.flat, records, strict=False):
        for arm in ARMS:
            curve = 100 * np.array(r["accuracy"][arm])
            x = np.arange(1, curve.shape[1] + 1)
            axis.plot(x, curve.T, color=COLOURS[arm], lw=0.7, alpha=0.35)
            axis.plot(x, curve.mean(axis=0), color=COLOURS[arm], lw=2.2, label=names[arm])
        low = min(np.min(np.array(r["accuracy"][arm])[:, 2:]) for arm in ARMS)
        axis.set_ylim(100 * low - 1)
        axis.set_title(TITLES[r["row"]], fontsize=10)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("% right, clean test images")
    for axis in list(axes.flat)[len(records) :]:
        axis.set_visible(False)
    lines, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)
    with Image.open(file) as picture:  # a palette makes the file a third as large
        picture.convert("RGB").quantize(64).save(file, optimize=True)


def main() -> None:
    args = parse()
    if not args.report_only:
        args.work.mkdir(parents=True, exist_ok=True)
        for seed in range(args.seed, args.seed + args.seeds):
            for row in args.rows or ROWS:
                if not (args.work / f"{name_of(row, seed)}.json").exists():
                    run(row, args, seed)
    if not args.develop:
        print(report(args.work, args.out, args.picture))


def run(row: str, args: argparse.Namespace, seed: int) -> None:
    """Measure, keep, and make the table anew."""
    figures, classes = measure(row, args, seed)
    file = args.work / f"{name_of(row, seed)}.json"
    np.savez_compressed(file.with_suffix(".npz"), **classes)
    file.write_text(json.dumps(figures, indent=1))
    for arm, curve in figures["accuracy"].items():
        print(f"{row} seed {seed} {arm:9}", *(f"{100 * a:.1f}" for a in curve))
    rest = ("by_heart", "targets_right", "out_of_fold_right", "rate_estimate", "clean")
    rest += ("temperature", "found", "crossfit_seconds", "seconds")
    print("   ", *(f"{key} {figures[key]}" for key in rest), flush=True)
    if not args.develop:
        report(args.work, args.out, args.picture)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's idx files")
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10N's two Parquet files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--device", help="the best there is by default")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--develop", action="store_true", help="on other training images; no table")
    parser.add_argument(
        "--work", type=Path, help="finished parts; a folder by size of the settings"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results")
    picture = HERE.parent / "docs" / "img" / "from_scratch.png"
    parser.add_argument("--picture", type=Path, default=picture)
    parser.add_argument("--report-only", action="store_true")
    for name, value in asdict(Settings()).items():
        if name != "stages":
            about = f"{value}, with a GPU {getattr(LARGE, name)}"
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), help=about)
    args = parser.parse_args()
    base = LARGE if setup(args.device, args.threads).device.startswith("cuda") else Settings()
    asked = {name: getattr(args, name, None) for name in asdict(base)}
    args.use = replace(base, **{name: v for name, v in asked.items() if v is not None})
    size = "large" if base is LARGE else "small"
    args.work = args.work or Path(f"/tmp/softfold-from-scratch-{size}")
    if args.develop:
        args.work = args.work / "develop"
    return args


if __name__ == "__main__":
    main()
