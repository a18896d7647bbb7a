"""Final models on people's labels: what soft labels gain over given labels and over the post.

    python benchmarks/people.py --data DIR                # all rows, 3 seeds
    python benchmarks/people.py --data DIR probe/random1  # one row

- probe/LABELS: CIFAR-10N, a probe on frozen features; a seed draws 10,000 of the first 25,000
  images, and the folds. `worst`: a wrong label wherever one of three people was wrong; `truth`: the
  right labels. Measured on training images 25,000 to 34,999 and their right labels: the number of
  rounds was chosen with accuracies on the 10,000 test images in view, so those say nothing here.
- texts/news: NoisyAG-News, softfold's own default for texts; a seed draws the folds.
- net/LABELS-NETWORK: a small net from random weights on the first 9,500 images, its soft labels
  made of out-of-fold predictions that others published; a seed draws weights and batches.
- by item/DATA-PERCENT: digits and Fashion-MNIST with made noise that follows the item, a probe; a
  seed draws the noise and the folds.

Arms: given labels, the post's soft labels (0.7 given, 0.3 the predicted class), softfold's default,
the same after 100 items drawn at random were checked, and the right labels. Measured on items with
right labels that took no part; the difference has a 95% interval over seeds and items. Nothing is
chosen by the test items. Every finished row and seed is kept in --work; the table is made of what
there is.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
from accuracy import label_table, load, machine

from softfold import noise_aware_cross_fit, plan_folds, soften
from softfold.arrays import one_hot
from softfold.data.table import LabelTable
from softfold.evaluation import paired_difference
from softfold.noise.estimation import audited, estimate_checked
from softfold.pixels.images import Images
from softfold.trainers import create_trainer
from softfold.trainers.probe import Probe

HERE = Path(__file__).parent
ROWS = [
    "probe/aggre",
    "probe/random1",
    "probe/worst",
    "probe/truth",
    "texts/news",
    "net/aggre-resnet18",
    "net/random1-resnet18",
    "net/worst-twins",
    "by item/digits-20",
    "by item/digits-40",
    "by item/fashion-20",
    "by item/fashion-40",
]
ARMS = ["given", "post", "softfold", "softfold, 100 checked", "clean labels"]
CHECKED, IMAGES, HELD_OUT, DRAWN, WITH_PREDICTIONS = 100, 25_000, 10_000, 10_000, 9_500
FIRST_SEED = 10
"""Of the probes: seeds 0 and 1 were looked at while choices were made."""
EPOCHS, BATCH = 4, 64


def targets_of(given, truth, p, plain, noise, seed: int) -> dict[str, np.ndarray]:
    """Targets float32 (n, K) of each arm. p: predictions of the noise model; plain: of labels."""
    k = p.shape[1]
    rows = np.random.default_rng(100 + seed).choice(len(given), CHECKED, replace=False)
    told = audited(noise, given, p, (rows, truth[rows]))
    known = soften(given, p, noise=told)
    known[rows] = one_hot(truth[rows], k)
    return {
        "given": one_hot(given, k),
        "post": soften(given, plain, "blend", hard=True),
        "softfold": soften(given, p, noise=noise),
        "softfold, 100 checked": known,
        "clean labels": one_hot(truth, k),
    }


def cifar(data: Path) -> tuple[list[bytes], dict[str, np.ndarray], list[bytes], np.ndarray, list]:
    """Encoded images and labels of the first 25,000 training images and of the test images."""
    folder = data / "cifar10n"
    train = pd.read_parquet(folder / "train.parquet").iloc[:IMAGES]
    test = pd.read_parquet(folder / "test.parquet")
    votes = pd.read_parquet(folder / "annotators.parquet")
    names = sorted(set(test["label"].astype(str)))
    code = {name: i for i, name in enumerate(names)}

    def codes(column) -> np.ndarray:
        return column.astype(str).map(code).to_numpy().astype(np.int64)

    labels = {name: codes(train[name]) for name in ("aggre", "random1")}
    labels["truth"] = codes(train["label"])
    three = np.stack([codes(votes[name]) for name in votes], axis=1)
    rng = np.random.default_rng(0)
    worst = labels["truth"].copy()
    for i in np.flatnonzero((three != worst[:, None]).any(axis=1)):
        worst[i] = rng.choice(three[i][three[i] != worst[i]])
    labels["worst"] = worst
    pictures = [
        [i["bytes"] if isinstance(i, dict) else i for i in t["image"]] for t in (train, test)
    ]
    return pictures[0], labels, pictures[1], codes(test["label"]), names


def held_out(data: Path, names: list) -> tuple[list[bytes], np.ndarray]:
    """Training images that no choice has seen, with their right labels."""
    every = pd.read_parquet(data / "cifar10n" / "train.parquet", columns=["image", "label"])
    part = every.iloc[IMAGES : IMAGES + HELD_OUT]
    code = {name: i for i, name in enumerate(names)}
    encoded = [image["bytes"] if isinstance(image, dict) else image for image in part["image"]]
    return encoded, part["label"].astype(str).map(code).to_numpy().astype(np.int64)


def probe_row(labels: str, data: Path, seed: int) -> tuple[dict, dict[str, np.ndarray], np.ndarray]:
    from softfold.vision.features import image_features, image_stages

    encoded, given, _, _, names = cifar(data)
    new, new_truth = held_out(data, names)
    n, seed = len(encoded) + len(new), FIRST_SEED + seed
    table = LabelTable(
        item=np.array([str(i) for i in range(n)], dtype=object),
        given=np.zeros(n, np.int64),
        vocab=tuple(names),
        valid=np.zeros(n, bool),
        data=Images(encoded=encoded + new),
    )
    parts = [image_features(table, size=128), image_stages(table, size=128)]
    x = np.concatenate(parts, axis=1)
    rows = np.sort(np.random.default_rng(seed).choice(IMAGES, DRAWN, replace=False))
    y, truth = given[labels][rows], given["truth"][rows]
    train = label_table(y, 10, x[rows])
    hold = label_table(new_truth, 10, x[IMAGES:])
    made = noise_aware_cross_fit(train, Probe(), plan_folds(train, 5, seed=seed), seed=seed)
    targets = targets_of(
        y, truth, made.oof.probabilities, made.plain.probabilities, made.noise, seed
    )
    probe = Probe()
    out = {a: probe.fit(train, t, seed=seed).predict(hold) for a, t in targets.items()}
    return facts(y, truth, targets, made.noise), out, new_truth


def item_row(what: str, data: Path, seed: int) -> tuple[dict, dict[str, np.ndarray], np.ndarray]:
    """Made noise that follows the item: wrong labels where it is near another class."""
    name, percent = what.split("-")
    seed += FIRST_SEED
    x, y, truth, new, new_truth = load(f"{name}/instance-{percent}", data, seed)
    train, hold = label_table(y, 10, x), label_table(new_truth, 10, new)
    made = noise_aware_cross_fit(train, Probe(), plan_folds(train, 5, seed=seed), seed=seed)
    targets = targets_of(
        y, truth, made.oof.probabilities, made.plain.probabilities, made.noise, seed
    )
    probe = Probe()
    out = {a: probe.fit(train, t, seed=seed).predict(hold) for a, t in targets.items()}
    return facts(y, truth, targets, made.noise), out, new_truth


def text_row(_: str, data: Path, seed: int) -> tuple[dict, dict[str, np.ndarray], np.ndarray]:
    folder = data / "noisy-news"
    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    y, truth = (train[name].to_numpy().astype(np.int64) for name in ("label", "truth"))
    new_truth = test["truth"].to_numpy().astype(np.int64)
    table = label_table(y, 4, train[["text"]].astype(object))
    hold = label_table(new_truth, 4, test[["text"]].astype(object))
    hold = LabelTable(
        item=np.array([f"new-{i}" for i in range(len(hold))], dtype=object),
        given=new_truth,
        vocab=table.vocab,
        valid=np.zeros(len(hold), bool),
        data=hold.data,
    )
    made = noise_aware_cross_fit(table, "estimator", n_folds=5, seed=seed)
    targets = targets_of(
        y, truth, made.oof.probabilities, made.plain.probabilities, made.noise, seed
    )
    trainer = create_trainer("estimator")
    out = {a: trainer.fit(table, t, seed=seed).predict(hold) for a, t in targets.items()}
    return facts(y, truth, targets, made.noise), out, new_truth


def net_row(what: str, data: Path, seed: int) -> tuple[dict, dict[str, np.ndarray], np.ndarray]:
    labels, network = what.split("-")
    encoded, given, new, new_truth, _ = cifar(data)
    stored = np.load(data / "real-predictions" / f"cifar10n-aggre.{network}.npz")
    p = stored["probabilities"][:WITH_PREDICTIONS].astype(np.float32)
    p /= p.sum(axis=1, keepdims=True)
    y, truth = given[labels][:WITH_PREDICTIONS], given["truth"][:WITH_PREDICTIONS]
    noise = estimate_checked(y, p)
    targets = targets_of(y, truth, p, p, noise, seed)
    x, new_x = pixels(encoded[:WITH_PREDICTIONS]), pixels(new)
    out = {arm: trained(x, t, new_x, seed) for arm, t in targets.items()}
    return facts(y, truth, targets, noise), out, new_truth


def pixels(encoded: list[bytes]):
    import io

    import torch
    from PIL import Image

    arrays = [np.asarray(Image.open(io.BytesIO(e)).convert("RGB")) for e in encoded]
    x = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
    return ((x - 0.47) / 0.25).contiguous(memory_format=torch.channels_last)


def trained(x, targets: np.ndarray, new, seed: int) -> np.ndarray:
    """Probabilities of new images by a small net trained from random weights: float32 (M, K)."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    layers, width = [], 3
    for wider, stride in ((24, 1), (48, 2), (96, 2), (96, 1)):
        layers += [nn.Conv2d(width, wider, 3, stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(wider), nn.ReLU()]
        width = wider
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    net = net.to(memory_format=torch.channels_last)
    y = torch.from_numpy(np.ascontiguousarray(targets, np.float32))
    steps = EPOCHS * (len(x) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x))[: steps // EPOCHS * BATCH].view(-1, BATCH):
            batch = x[rows].flip(3) if torch.rand(()) < 0.5 else x[rows]
            optimiser.zero_grad()
            cross_entropy(net(batch), y[rows]).backward()
            optimiser.step()
            schedule.step()
    net.eval()
    with torch.inference_mode():
        return torch.cat([net(b).softmax(1) for b in new.split(500)]).numpy()


def facts(given, truth, targets, noise) -> dict:
    low, high = noise.rate_interval
    return {
        "wrong": float((given != truth).mean()),
        "rate": noise.rate,
        "low": low,
        "high": high,
        "right": {arm: float((t.argmax(1) == truth).mean()) for arm, t in targets.items()},
    }


KINDS = {"probe": probe_row, "texts": text_row, "net": net_row, "by item": item_row}


def table_lines(work: Path) -> list[str]:
    """The table of what is finished, one line a row."""
    lines = [
        "| labels, model | seeds | wrong | estimated (first seed) | " + " | ".join(ARMS) + " | "
        "softfold less given, 95% | less the post, 95% | 100 checked less given, 95% | "
        "soft labels right |",
        "|" + " --- |" * (len(ARMS) + 8),
    ]
    for row in ROWS:
        files = sorted(work.glob(row.replace("/", "_") + "_seed-*.json"))
        if not files:
            continue
        runs = [json.loads(f.read_text()) for f in files]
        stored = [np.load(f.with_suffix(".npz")) for f in files]
        truth = stored[0]["truth"]
        hits = {a: np.stack([s[a] for s in stored]) for a in ARMS}
        cells = [f"{100 * np.mean([(h == truth).mean() for h in hits[a]]):.2f}" for a in ARMS]
        gains = [("softfold", "given"), ("softfold", "post"), (ARMS[3], "given")]
        for ours, theirs in gains:
            d = paired_difference(hits[theirs], hits[ours], truth, n_boot=2000)
            cells.append(
                f"{100 * d['mean']:+.2f} ({100 * d['low']:+.2f} to {100 * d['high']:+.2f})"
            )
        cells.append(f"{100 * np.mean([r['right']['softfold'] for r in runs]):.1f}")
        first = runs[0]
        lines.append(
            f"| {row} | {len(runs)} | {100 * np.mean([r['wrong'] for r in runs]):.1f}% | "
            f"{100 * first['rate']:.1f}% ({100 * first['low']:.1f} to {100 * first['high']:.1f}) | "
            + " | ".join(cells)
            + " |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("/tmp/softfold-people"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    for row in args.rows or ROWS:
        kind, what = row.split("/")
        for seed in range(args.seeds):
            file = args.work / f"{row.replace('/', '_')}_seed-{seed}.json"
            if file.exists():
                continue
            begun = time.perf_counter()
            about, out, truth = KINDS[kind](what, args.data, seed)
            classes = {a: q.argmax(1).astype(np.int16) for a, q in out.items()}
            np.savez(file.with_suffix(".npz"), truth=truth, **classes)
            file.write_text(json.dumps(about | {"seed": seed}, indent=1))
            shown = " ".join(f"{a}={100 * (c == truth).mean():.2f}" for a, c in classes.items())
            print(f"{row} seed {seed} {time.perf_counter() - begun:.0f}s {shown}", flush=True)
    about = machine()
    text = (
        "# Final models on people's labels\n\nMade by `python benchmarks/people.py`: percent right "
        "on items with right labels that took no part, mean over seeds; a probe's are training "
        "images that no choice was made with. "
        f"{about['cores']} cores, {about['platform']}, Python {about['python']}, "
        f"{about['versions']}.\n\n" + "\n".join(table_lines(args.work)) + "\n"
    )
    (args.out / "people.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
