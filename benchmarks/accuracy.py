"""Soft labels against their peers: datasets x noise x methods x seeds, on clean hold-outs.

    python benchmarks/accuracy.py --data DIR                       # all rows, 3 seeds
    python benchmarks/accuracy.py --data DIR imagewoof/pair-40     # one row
    python benchmarks/accuracy.py --data DIR --seeds 5 digits/symmetric-25

DIR holds `imagewoof2-160/` (images and noisy_imagewoof.csv), `cifar10n/` and `fashion-mnist/`;
digits and the rare table need nothing. Every (row, seed) is kept as it is finished, and the table
is made of what there is. A seed draws the noise (where the dataset does not ship it), the folds and
the inner folds. Nothing is chosen by the hold-out, except in the line that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from peers import Problem, Recipe, Trainer, cleanlab_scores, nearest_neighbours, recipes

from softfold import LabelTable, corrupt, plan_folds, rank_issues, soften
from softfold.arrays import one_hot
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.evaluation import average_precision, paired_difference
from softfold.trainers.probe import Probe
from softfold.trainers.probe.features import stages_help

HERE = Path(__file__).parent
NOISES = [
    "clean",
    "symmetric-5",
    "symmetric-25",
    "symmetric-50",
    "pair-20",
    "pair-40",
    "instance-20",
    "instance-40",
]
ROWS = [
    *(f"imagewoof/{noise}" for noise in NOISES),
    "cifar10n/aggre",
    "cifar10n/random1",
    *(f"fashion/{noise}" for noise in NOISES),
    *(f"digits/{noise}" for noise in NOISES),
    "rare-table/third-hidden",
    "rare-images/third-hidden",
]
OURS, CLEAN = "softfold", "clean labels"


def load(row: str, data: Path, seed: int):
    """Training features, given labels, truth; hold-out features and truth; class names."""
    name, noise = row.split("/")
    parts, truth, valid, shipped = SOURCES[name](data, noise)
    train = ~valid
    given = truth[train] if shipped is None else shipped[train]
    kind, _, percent = noise.partition("-")
    if shipped is None and kind in ("symmetric", "pair", "instance"):
        given = corrupt(
            truth[train],
            int(percent) / 100,
            kind,
            n_classes=int(truth.max()) + 1,
            features=parts[0][train] if kind == "instance" else None,
            seed=1000 + seed,
        )
    if noise == "third-hidden":
        given = hide(truth[train], seed)
    given = np.asarray(given).astype(np.int64)
    if len(parts) == 2:  # all methods get the features that softfold would choose
        table = label_table(given, int(truth.max()) + 1)
        parts = parts if stages_help(*(part[train] for part in parts), table) else parts[:1]
    x = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    return x[train], given, truth[train], x[valid], truth[valid]


def label_table(given: np.ndarray, k: int, x: np.ndarray | None = None) -> LabelTable:
    """Items 0, 1, ... with their given labels."""
    return LabelTable(
        item=np.array([str(i) for i in range(len(given))], dtype=object),
        given=given,
        vocab=tuple(f"{j:04d}" for j in range(k)),
        valid=np.zeros(len(given), bool),
        data=x,
    )


def image_parts(table: LabelTable, size: int) -> list[np.ndarray]:
    """Pooled features, and those of the backbone's last stages."""
    from softfold.vision.features import image_features, image_stages

    return [image_features(table, size=size), image_stages(table, size=size)]


def hide(truth: np.ndarray, seed: int) -> np.ndarray:
    """A third of the positives labelled negative, and one negative in 200 positive."""
    rng = np.random.default_rng(1000 + seed)
    positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    given = truth.copy()
    given[rng.choice(positive, len(positive) // 3, replace=False)] = 0
    given[rng.choice(negative, len(negative) // 200, replace=False)] = 1
    return given


def imagewoof(data: Path, noise: str):
    from softfold.data.datasets import load_dataset

    kind, _, percent = noise.partition("-")
    shipped = kind == "symmetric"
    folder = data / "imagewoof2-160"
    table = load_dataset("imagewoof", noise=percent if shipped else None, data=folder)
    return image_parts(table, 224), table.truth, table.valid, table.given if shipped else None


def cifar10n(data: Path, noise: str):
    from softfold.data.datasets import load_dataset

    table = load_dataset("cifar10n", noise=noise, data=data / "cifar10n")
    return image_parts(table, 128), table.truth, table.valid, table.given


def fashion(data: Path, noise: str):
    """Fashion-MNIST, a fixed 12,000 of its training images, features at 64 px."""
    from softfold.data.datasets import load_dataset

    table = load_dataset("fashion-mnist", data=data / "fashion-mnist")
    train = np.random.default_rng(7).permutation(np.flatnonzero(~table.valid))[:12_000]
    table = table.take(np.sort(np.concatenate([train, np.flatnonzero(table.valid)])))
    return image_parts(table, 64), table.given, table.valid, None


def digits(data: Path, noise: str):
    from sklearn.datasets import load_digits

    x, truth = load_digits(return_X_y=True)
    valid = np.random.default_rng(7).random(len(truth)) < 0.4
    return [x.astype(np.float32)], truth.astype(np.int64), valid, None


def rare_table(data: Path, noise: str):
    """Made-up tabular data, 5% positives: two informative clusters a class in 20 columns."""
    from sklearn.datasets import make_classification

    x, truth = make_classification(
        n_samples=16_000,
        n_features=20,
        n_informative=8,
        n_redundant=4,
        weights=[0.95],
        class_sep=1.2,
        flip_y=0,
        random_state=0,
    )
    return [x.astype(np.float32)], truth.astype(np.int64), np.arange(len(x)) >= 8000, None


def rare_images(data: Path, noise: str):
    """Imagewoof's first breed, thinned out to 5%, against all others."""
    parts, truth, valid, _ = imagewoof(data, "clean")
    positive = truth == 0
    rng = np.random.default_rng(7)
    share = 0.05 / 0.95 * (~positive).sum() / positive.sum()
    rows = ~positive | (rng.random(len(truth)) < share)
    return [x[rows] for x in parts], positive[rows].astype(np.int64), valid[rows], None


SOURCES = {
    "imagewoof": imagewoof,
    "cifar10n": cifar10n,
    "fashion": fashion,
    "digits": digits,
    "rare-table": rare_table,
    "rare-images": rare_images,
}


def measure(
    row: str, data: Path, seed: int, methods: list[str] | None = None
) -> tuple[dict, dict[str, np.ndarray]]:
    """One row at one seed: figures, and each method's predictions on the hold-out (M, K).

    methods: of the peers, those to run; all where None.
    """
    started = time.perf_counter()
    x, given, truth, new, new_truth = load(row, data, seed)
    k, n = int(max(truth.max(), given.max())) + 1, len(given)
    table = label_table(given, k, x)
    begun = time.perf_counter()
    made = noise_aware_cross_fit(table, Probe(), plan_folds(table, 5, seed=seed), seed=seed)
    p, wrong = made.plain.probabilities, given != truth
    soft = soften(given, made.oof.probabilities, noise=made.noise)
    rounds_seconds = time.perf_counter() - begun
    problem = Problem.of(x, given, p, new, seed)
    trainer = Trainer(problem)
    out = {OURS: trainer.train(Recipe(soft)), CLEAN: trainer.train(Recipe(one_hot(truth, k)))}
    for name, recipe in recipes(problem).items():
        if methods and name not in methods:
            continue
        try:
            out[name] = trainer.train(recipe())
        except Exception as error:  # a peer that fails on a row is reported, not hidden
            print(f"{row} seed {seed}: {name} failed: {error}")
    if not methods or "ELR" in methods:
        out["ELR"] = trainer.train(trainer.early_learning())
    if n <= 20_000 and (not methods or "WANN" in methods):
        out["WANN"] = nearest_neighbours(x, given, new, k)
    figures = {
        "row": row,
        "seed": seed,
        "n_train": n,
        "n_holdout": len(new_truth),
        "accuracy": {name: float((q.argmax(1) == new_truth).mean()) for name, q in out.items()},
        "hindsight": None if methods else trainer.hindsight(new_truth),
        "rate_truth": float(wrong.mean()),
        "rate_estimate": made.noise.rate,
        "rate_interval": list(made.noise.rate_interval),
        "clean": made.noise.clean,
        "temperature": made.noise.temperature,
        "rounds": made.rounds,
        "soft_accuracy": float((soft.argmax(1) == truth).mean()),
        "crossfit_seconds": rounds_seconds,
        "seconds": time.perf_counter() - started,
    }
    if k == 2:
        figures["average_precision_holdout"] = {
            name: average_precision(q[:, 1], new_truth == 1) for name, q in out.items()
        }
    if wrong.any():
        issues = rank_issues(given, made.oof.probabilities, noise=made.noise)
        suspicion = issues.set_index("index")["suspicion"].sort_index().to_numpy()
        scores = {OURS: suspicion, **cleanlab_scores(given, p)}
        figures["issues"] = {name: average_precision(s, wrong) for name, s in scores.items()}
    return figures, out


def report(folder: Path, rows: list[str]) -> tuple[list[dict], str]:
    """All finished rows as records and as a Markdown table."""
    records, lines = [], []
    for row in rows:
        files = sorted(folder.glob(row.replace("/", "_") + "_seed-*.json"))
        if not files:
            continue
        runs = [json.loads(f.read_text()) for f in files]
        stored = [np.load(f.with_suffix(".npz")) for f in files]
        truth = stored[0]["truth"]
        names = [n for n in runs[0]["accuracy"] if all(n in r["accuracy"] for r in runs)]
        ours = np.stack([s[OURS] for s in stored])
        record = {
            "row": row,
            "seeds": [r["seed"] for r in runs],
            "accuracy": {n: [r["accuracy"][n] for r in runs] for n in names},
            "hindsight": [
                max(r["hindsight"], r["accuracy"]["plain"]) for r in runs if r["hindsight"]
            ],
            "softfold_minus": {
                n: paired_difference(np.stack([s[n] for s in stored]), ours, truth, n_boot=2000)
                for n in names
                if n != OURS
            },
            "rate_truth": [r["rate_truth"] for r in runs],
            "rate_estimate": [r["rate_estimate"] for r in runs],
            "rate_interval": [r["rate_interval"] for r in runs],
            "called_clean": [r["clean"] for r in runs],
            "crossfit_seconds": [r["crossfit_seconds"] for r in runs],
        }
        for key in ("issues", "average_precision_holdout"):
            if key in runs[0]:
                record[key] = {n: [r[key][n] for r in runs] for n in runs[0][key]}
        records.append(record)
    lines += ["Percent right on the clean hold-out, mean over seeds.", ""]
    lines += [
        "| row | seeds | clean labels | softfold | plain | plain, best strength by hindsight | "
        "post | blend | best cleanlab filter (hindsight) | CleanLearning | forward | smoothing | "
        "GCE | ELR | WANN | softfold less the best other, 95% |",
        "|" + " --- |" * 16,
    ]
    for r in records:
        lines.append(_accuracy_line(r))
    lines += ["", "Finding the wrong labels (average precision) and their share.", ""]
    lines += [
        "| row | softfold | best of cleanlab's five scores | wrong, truth | wrong, estimate | "
        "95% interval (first seed) |",
        "|" + " --- |" * 6,
    ]
    for r in records:
        lines.append(_issues_line(r))
    rare = [r for r in records if "average_precision_holdout" in r]
    if rare:
        lines += ["", "Rare class: average precision of the positives on the hold-out.", ""]
        names = list(rare[0]["average_precision_holdout"])
        lines += ["| row | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
        for r in rare:
            values = [np.mean(r["average_precision_holdout"][n]) for n in names]
            lines.append(f"| {r['row']} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    return records, "\n".join(lines) + "\n"


def _accuracy_line(r: dict) -> str:
    mean = {n: 100 * float(np.mean(v)) for n, v in r["accuracy"].items()}
    filters = [v for n, v in mean.items() if n.startswith("cleanlab ") and "Clean" not in n]
    mean["filter"] = max(filters, default=float("nan"))
    others = {n: v for n, v in mean.items() if n in r["softfold_minus"] and n != CLEAN}
    best = max(others, key=others.__getitem__)
    d = r["softfold_minus"][best]
    cells = [CLEAN, OURS, "plain", None, "post (0.7, hard)", "blend 0.7", "filter"]
    cells += ["cleanlab CleanLearning", "forward correction", "label smoothing 0.1"]
    cells += ["GCE 0.7", "ELR", "WANN"]
    mean[None] = 100 * float(np.mean(r["hindsight"] or np.nan))
    text = " | ".join(
        f"{mean[c]:.1f}" if c in mean and not np.isnan(mean[c]) else "" for c in cells
    )
    return (
        f"| {r['row']} | {len(r['seeds'])} | {text} | {100 * d['mean']:+.2f} "
        f"({100 * d['low']:+.2f} to {100 * d['high']:+.2f}) {best} |"
    )


def _issues_line(r: dict) -> str:
    cells = ["", ""]
    if "issues" in r:
        others = {n: np.mean(v) for n, v in r["issues"].items() if n != OURS}
        best = max(others, key=others.__getitem__)
        cells = [f"{np.mean(r['issues'][OURS]):.3f}", f"{others[best]:.3f} ({best})"]
    low, high = r["rate_interval"][0]
    return (
        f"| {r['row']} | {cells[0]} | {cells[1]} | {100 * np.mean(r['rate_truth']):.1f}% | "
        f"{100 * np.mean(r['rate_estimate']):.1f}% | {100 * low:.1f} to {100 * high:.1f}% |"
    )


def machine() -> dict:
    """Where and with what the figures were made."""
    names = ("numpy", "torch", "scikit-learn", "cleanlab", "softfold")
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {n: version(n) for n in names},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", help="dataset/noise, all by default")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--methods", nargs="*", help="of the peers, for large data; plain is one")
    parser.add_argument("--work", type=Path, default=Path("/tmp/softfold-accuracy"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument(
        "--again", action="store_true", help="softfold again where a row is there, peers kept"
    )
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    rows = args.rows or ROWS
    if not args.report_only:
        for seed in range(args.seed, args.seed + args.seeds):
            for row in rows:
                file = args.work / f"{row.replace('/', '_')}_seed-{seed}.json"
                before = json.loads(file.read_text()) if file.exists() else None
                if before and not args.again:
                    continue
                try:
                    methods = [OURS] if before else args.methods
                    figures, out = measure(row, args.data, seed, methods)
                except Exception as error:
                    print(f"{row} seed {seed}: {type(error).__name__}: {error}", flush=True)
                    continue
                truth = load(row, args.data, seed)[4]
                classes = {name: q.argmax(1).astype(np.int16) for name, q in out.items()}
                if before:
                    with np.load(file.with_suffix(".npz")) as stored:
                        classes = {n: stored[n] for n in stored if n != "truth"} | classes
                    for name in ("accuracy", "average_precision_holdout"):
                        if name in before:
                            figures[name] = before[name] | figures[name]
                    figures["hindsight"] = before["hindsight"]
                np.savez(file.with_suffix(".npz"), truth=truth, **classes)
                file.write_text(json.dumps(figures, indent=1))
                shown = " ".join(f"{n}={100 * v:.2f}" for n, v in figures["accuracy"].items())
                print(f"{row} seed {seed} {figures['seconds']:.0f}s {shown}", flush=True)
    records, text = report(args.work, ROWS)
    args.out.mkdir(parents=True, exist_ok=True)
    about = machine()
    (args.out / "accuracy.json").write_text(
        json.dumps({"machine": about, "rows": records}, indent=1) + "\n"
    )
    head = (
        "# Accuracy\n\nMade by `python benchmarks/accuracy.py`: softmax regressions on frozen "
        "EfficientNet-Lite0 features (images), on pixels (digits), on columns (rare-table). "
        "Features of images include the backbone's last stages where held-out given labels become "
        "likelier by them (CIFAR-10N, Fashion-MNIST), the same for all methods. "
        f"{about['cores']} cores, {about['platform']}, torch {about['versions']['torch']}, "
        f"cleanlab {about['versions']['cleanlab']}. Rows that are not here were not run.\n\n"
    )
    (args.out / "accuracy.md").write_text(head + text)
    print(text)


if __name__ == "__main__":
    main()
