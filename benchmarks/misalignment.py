"""What it costs when soft labels reach other items than their own.

    python benchmarks/misalignment.py                # 5 seeds, minutes

Two public programs find soft labels by position. Both mechanisms are made again here from their
description; no code and no file of theirs is used.

- The first place of Plant Pathology 2020 (github.com/ant-research/cvpr2020-plant-pathology,
  dataset.py, train.py, generate_soft_labels.py): out-of-fold predictions of all folds are written
  in the order of train.csv. A fold's training part is train.csv without the fold, its rows numbered
  anew from 0; its row i is mixed, 0.7 given and 0.3 predicted, with row i of that file. The folds
  are scikit-learn's KFold(5, shuffle=True, random_state=2020). So which item's prediction a row
  gets follows from the number of rows alone, which is 1,821.
- The blog post's callback: the loader's list of shuffled row numbers is cut into batches, and
  batch b gets the soft labels of the b-th piece. The loader leaves out an image that cannot be
  read and fills the batch up, so that every later item takes the soft label of the one before.

Then nets are trained on scikit-learn's digits with soft labels that reach their own items, with
soft labels misplaced in these two ways, and with none.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from accuracy import label_table, machine
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold
from torch import nn
from torch.nn.functional import cross_entropy

import softfold
from softfold.arrays import one_hot
from softfold.torch import ModuleTrainer

ROWS, FOLDS, SEED, BATCH = 1_821, 5, 2020, 16
CLASSES = np.array([516, 91, 622, 592])  # healthy, multiple diseases, rust, scab
K, EPOCHS = 10, 25


def folds_of_the_first_place() -> list[dict[str, float]]:
    """For each fold: whose predictions the rows of its training part get."""
    out = []
    for train, held in KFold(FOLDS, shuffle=True, random_state=SEED).split(np.zeros(ROWS)):
        row = np.arange(len(train))  # train is sorted: the rows as they are numbered anew
        out.append(
            {
                "items": len(train),
                "own": int((train == row).sum()),
                "away": float(np.abs(train - row).mean()),
                "of the fold held out": int(np.isin(row, held).sum()),
            }
        )
    return out


def of_another_class(draws: int = 200) -> float:
    """How often the item whose prediction is taken has another label, labels in any order."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(CLASSES)), CLASSES)
    train, _ = next(KFold(FOLDS, shuffle=True, random_state=SEED).split(labels))
    made = [rng.permutation(labels) for _ in range(draws)]
    return float(np.mean([(m[train] != m[: len(train)]).mean() for m in made]))


def shifted(order: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items of an epoch as the loader gives them, and whose soft label each of them gets."""
    items = order[~np.isin(order, left_out)]
    return items, order[: len(items)]


def shares_of_the_callback(skipped: int, epochs: int = 2_000) -> float:
    """The share of an epoch's items with another item's soft label: mean over shuffled epochs."""
    rng = np.random.default_rng(0)
    wrong = []
    for _ in range(epochs):
        order = rng.permutation(ROWS * (FOLDS - 1) // FOLDS)
        items, taken = shifted(order, rng.choice(order, skipped, replace=False))
        wrong.append((items != taken).mean())
    return float(np.mean(wrong))


def make_net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, K))


def train(x, targets, seed: int, skips: int = 0) -> nn.Module:
    """A net from random weights; in each epoch `skips` images are left out as by the loader."""
    rng = np.random.default_rng(seed)
    broken = rng.choice(len(x), skips, replace=False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = make_net()
    adam = torch.optim.Adam(net.parameters(), lr=0.003)
    pixels, soft = torch.from_numpy(x), torch.from_numpy(targets.astype(np.float32))
    for _ in range(EPOCHS):
        items, taken = shifted(rng.permutation(len(x)), broken)
        for at in range(0, len(items) - BATCH, BATCH):
            loss = cross_entropy(net(pixels[items[at : at + BATCH]]), soft[taken[at : at + BATCH]])
            adam.zero_grad()
            loss.backward()
            adam.step()
    return net


def measure(kind: str, rate: float, seed: int) -> dict[str, float]:
    """Clean accuracy on digits that took no part, by what the nets were trained on."""
    x, truth = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))  # the set itself is in an order
    x, truth = (x[order] / 16).astype(np.float32), truth[order]
    n = 1_400
    given = softfold.corrupt(truth[:n], rate, kind, seed=seed)
    table = label_table(given, K, x[:n])
    plan = softfold.plan_folds(table, FOLDS, seed=seed)
    net = ModuleTrainer(make_net, epochs=10, lr=0.003)
    oof = softfold.cross_fit(table, net, plan, seed=seed).probabilities
    fit = softfold.noise_aware_cross_fit(table, plan=plan, seed=seed)
    labels = one_hot(given, K)
    mixed = 0.7 * labels + 0.3 * oof
    ours = softfold.soften(table, fit.oof, noise=fit.noise).targets
    rows, _ = next(KFold(FOLDS, shuffle=True, random_state=SEED).split(x[:n]))
    place = np.arange(len(rows))  # what the rows are numbered anew

    def score(targets, skips=0):
        made = train(x[rows], targets, seed, skips)
        with torch.inference_mode():
            guess = made(torch.from_numpy(x[n:])).argmax(1).numpy()
        return float((guess == truth[n:]).mean())

    return {
        "given labels": score(labels[rows]),
        "0.7 given, 0.3 predicted, by key": score(mixed[rows]),
        "the same, predictions by row number": score(0.7 * labels[rows] + 0.3 * oof[place]),
        "the same, soft labels by batch, 1 image skipped": score(mixed[rows], skips=1),
        "softfold's soft labels, by key": score(ours[rows]),
        "the same, by row number": score(ours[place]),
        "the same, by batch, 1 image skipped": score(ours[rows], skips=1),
    }


def report(rows: list[tuple[str, list[dict[str, float]]]], seeds: int) -> str:
    """The page, in Markdown."""
    folds = folds_of_the_first_place()
    own, items = sum(f["own"] for f in folds), sum(f["items"] for f in folds)
    held = sum(f["of the fold held out"] for f in folds)
    lines = [
        "# What misalignment costs",
        "",
        "Mechanisms made again from their description, see `benchmarks/misalignment.py`; Plant "
        "Pathology's images and labels were not used. Whose prediction an item gets follows from "
        f"{ROWS:,} rows and from scikit-learn's "
        f"KFold({FOLDS}, shuffle=True, random_state={SEED}) alone.",
        "",
        "## Predictions by row number, as in the first place's public code",
        "",
        "| fold | training items | with their own prediction | rows away, mean "
        "| prediction of an item of the fold held out |",
        "| --- | --- | --- | --- | --- |",
    ]
    for i, f in enumerate(folds):
        lines.append(
            f"| {i} | {f['items']:,} | {f['own']} | {f['away']:.0f} | {f['of the fold held out']} |"
        )
    lines += [
        f"| all | {items:,} | {own} ({100 * own / items:.2f}%) "
        f"| {np.mean([f['away'] for f in folds]):.0f} | {held} ({100 * held / items:.1f}%) |",
        "",
        f"The best fold: {100 * max(f['own'] / f['items'] for f in folds):.2f}%. With that "
        f"competition's four classes ({', '.join(map(str, CLASSES))} items) in any order, the item "
        f"whose prediction is taken has another label in {100 * of_another_class():.1f}% of cases.",
        "",
        "## Soft labels by batch number, as in the post's callback",
        "",
        f"An epoch of {ROWS * (FOLDS - 1) // FOLDS:,} shuffled items; mean of 2,000 epochs.",
        "",
        "| images that cannot be read | items with another item's soft label |",
        "| --- | --- |",
    ]
    lines += [f"| {s} | {100 * shares_of_the_callback(s):.1f}% |" for s in (0, 1, 2, 5)]
    lines += [
        "",
        "## Accuracy on digits",
        "",
        "Percent right of 397 digits with right labels that took no part; nets from random weights "
        f"(64, 256, 10; {EPOCHS} epochs, batches of {BATCH}) on the training part of the first "
        f"fold; the mean of {seeds} seeds, which draw the items, the noise, the folds of "
        "predictions and the weights; in brackets the lowest and the highest seed.",
        "",
        "| trained on | " + " | ".join(name for name, _ in rows) + " |",
        "| --- |" + " --- |" * len(rows),
    ]
    for name in rows[0][1][0]:
        cells = []
        for _, runs in rows:
            values = [100 * run[name] for run in runs]
            cells.append(f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", ", ".join(f"{k} {v}" for k, v in machine().items()) + "."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, kind, rate in (
        ("20% wrong, even", "symmetric", 0.2),
        ("40% into the next class", "pair", 0.4),
    ):
        runs = []
        for seed in range(args.seeds):
            runs.append(measure(kind, rate, seed))
            print(name, seed, runs[-1], flush=True)
        rows.append((name, runs))
    page = report(rows, args.seeds)
    print(page)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "misalignment.md").write_text(page + "\n")


if __name__ == "__main__":
    main()
