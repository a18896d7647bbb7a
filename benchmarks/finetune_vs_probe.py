"""Fine-tuning against the probe: same backbone, size and noisy labels, clean hold-out.

    python benchmarks/finetune_vs_probe.py --data DIR --labels CSV [--column noisy_labels_5]

DIR holds Imagewoof (`train`, `val`), CSV its noisy labels. Both models see the given labels as
they are. Settings are the trainers' defaults, which were chosen without the hold-out. The table
is printed and written, with machine, versions and seeds, to
benchmarks/results/finetune_vs_probe.json and .md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from softfold.arrays import one_hot
from softfold.data.reading import read_table
from softfold.evaluation import accuracy, log_loss, paired_difference
from softfold.machine.runtime import machine
from softfold.trainers.finetune import FineTune
from softfold.trainers.probe import Probe

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    args = parse()
    table = read_table(
        args.labels, images=args.data, label=args.column, truth="noisy_labels_0", valid="is_valid"
    )
    train, holdout = table.train, table.holdout
    targets = one_hot(train.given, train.n_classes)
    trainers = {
        "probe": Probe(args.arch, size=args.size),
        "finetune": FineTune(args.arch, size=args.size, epochs=args.epochs),
    }
    trainers["probe"].prepare(table)
    predictions: dict[str, list[np.ndarray]] = {name: [] for name in trainers}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for seed in range(args.seeds):
        for name, trainer in trainers.items():
            started = time.perf_counter()
            model = trainer.fit(train, targets, seed=seed)
            seconds[name].append(time.perf_counter() - started)
            predictions[name].append(model.predict(holdout))
            right = accuracy(predictions[name][-1], holdout.truth)
            print(
                f"seed {seed} {name}: {100 * right:.2f}% in {seconds[name][-1]:.0f} s", flush=True
            )
        write(args, trainers, predictions, seconds, holdout.truth)
    print((RESULTS / "finetune_vs_probe.md").read_text())


def write(args, trainers, predictions, seconds, truth) -> None:
    """The figures so far; called after every seed, so that nothing finished is lost."""
    n = len(predictions["finetune"])
    result = {
        "data": f"Imagewoof, {args.column}, {len(truth):,} clean hold-out images",
        "arch": args.arch,
        "size": args.size,
        "seeds": list(range(n)),
        "settings": {name: trainer.describe() for name, trainer in trainers.items()},
        "accuracy": {k: [float(accuracy(p, truth)) for p in v] for k, v in predictions.items()},
        "log_loss": {k: [float(log_loss(p, truth)) for p in v] for k, v in predictions.items()},
        "seconds": seconds,
        "difference": paired_difference(
            np.stack(predictions["probe"]), np.stack(predictions["finetune"]), truth
        ),
        "machine": machine(),
        "note": args.note,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "finetune_vs_probe.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "finetune_vs_probe.md").write_text(as_markdown(result))


def as_markdown(result: dict) -> str:
    d, seeds = result["difference"], result["seeds"]
    lines = [
        f"# Fine-tuning against the probe: {result['arch']}, {result['size']} px",
        "",
        f"{result['data']}; {'seeds' if len(seeds) > 1 else 'one seed:'} {seeds}.",
        "",
        "| trainer | accuracy, mean | by seed | log loss | seconds a fit, median |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in result["accuracy"].items():
        by_seed = " ".join(f"{100 * v:.2f}" for v in values)
        loss = np.mean(result["log_loss"][name])
        spent = np.median(result["seconds"][name])
        lines.append(
            f"| {name} | {100 * np.mean(values):.2f}% | {by_seed} | {loss:.3f} | {spent:.0f} |"
        )
    lines += [
        "",
        f"Difference {100 * d['mean']:+.2f} points, 95% interval {100 * d['low']:+.2f} to "
        f"{100 * d['high']:+.2f}, p = {d['p_value']:.3g} (bootstrap over seeds and items).",
        "",
        "The first fit of each trainer computes what later ones find in the cache. "
        f"{', '.join(f'{k} {v}' for k, v in result['machine'].items())}.",
        *([result["note"]] if result.get("note") else []),
        "",
    ]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and val/")
    parser.add_argument("--labels", type=Path, required=True, help="CSV of noisy labels")
    parser.add_argument("--column", default="noisy_labels_5")
    parser.add_argument("--arch", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, help="after the head alone; the default's where left")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--note", default="", help="a line to keep with the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
