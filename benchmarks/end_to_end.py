"""`softfold run` as a user calls it, on real images with wrong labels: figures, seconds, memory.

    python benchmarks/end_to_end.py --imagewoof DIR --imagewoof-labels CSV --cifar10n DIR

Rows: Imagewoof with its own 5%, 25% and 50% wrong labels, and with 40% of each class labelled as
the next one (`softfold corrupt --kind pair --rate 0.4`), CIFAR-10 with people's labels (`aggre`,
`random1`); probe trainer, five folds, three seeds. Each row is one process; peak memory is the
operating system's figure for it. Writes benchmarks/results/end_to_end.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def commands(args: argparse.Namespace) -> dict[str, list[str]]:
    """The rows: name and arguments of `softfold run`."""
    rows: dict[str, list[str]] = {}
    if args.imagewoof:
        labels = args.imagewoof_labels or str(Path(args.imagewoof) / "noisy_imagewoof.csv")
        for rate in (5, 25, 50):
            rows[f"imagewoof {rate}%"] = [
                labels, "--images", args.imagewoof, "--label", f"noisy_labels_{rate}",
                "--truth", "noisy_labels_0",
            ]  # fmt: skip
    if args.imagewoof_pair:
        rows["imagewoof 40% into the next class"] = [
            args.imagewoof_pair, "--images", args.imagewoof, "--label", "noisy_labels_40",
            "--truth", "noisy_labels_0",
        ]  # fmt: skip
    if args.cifar10n:
        folder = Path(args.cifar10n)
        for column in ("aggre", "random1"):
            rows[f"cifar-10n {column}"] = [
                str(folder / "train.parquet"), "--path", "image", "--label", column,
                "--truth", "label", "--holdout", str(folder / "test.parquet"),
                "--holdout-label", "label", "--size", "128",
            ]  # fmt: skip
    return {k: v for k, v in rows.items() if not args.rows or any(r in k for r in args.rows)}


def measure(arguments: list[str], seeds: int) -> dict:
    """Run one row in a process of its own; its metrics, seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        call = [sys.executable, "-m", "softfold", "run", *arguments]
        call += ["--trainer", "probe", "--folds", "5", "--seeds", str(seeds), "--out", out]
        started = time.perf_counter()
        child = os.spawnv(os.P_NOWAIT, sys.executable, call)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - started
        if status != 0:
            raise SystemExit(f"failed: {' '.join(call)}")
        metrics = json.loads((Path(out) / "metrics.json").read_text())
    return {"metrics": metrics, "seconds": seconds, "peak_gib": usage.ru_maxrss / 2**20}


def table(rows: dict[str, dict]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| labels | wrong | estimated | given labels | soft labels | difference (95% interval) | "
        "out-of-fold against truth | average precision | seconds | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        m = row["metrics"]
        d = m["difference"]
        lines.append(
            f"| {name} | {100 * m['noise']['rate_truth']:.1f}% "
            f"| {100 * m['noise']['rate_estimate']:.1f}% "
            f"| {100 * np.mean(m['baseline']['accuracy']):.2f} "
            f"| {100 * np.mean(m['soft']['accuracy']):.2f} "
            f"| {100 * d['mean']:+.2f} ({100 * d['low']:+.2f} to {100 * d['high']:+.2f}) "
            f"| {100 * m['oof']['accuracy_truth']:.2f} "
            f"| {m['issues']['average_precision']:.3f} "
            f"| {row['seconds']:.0f} | {row['peak_gib']:.2f} GiB |"
        )
    return "\n".join(lines)


def steps(rows: dict[str, dict]) -> str:
    """Seconds by step, as a Markdown table."""
    names = ["load", "crossfit", "soften", "train_baseline", "train_soft", "evaluate", "total"]
    lines = [f"| seconds | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for name, row in rows.items():
        spent = row["metrics"]["seconds"]
        lines.append(f"| {name} | {' | '.join(f'{spent.get(n, 0):.1f}' for n in names)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help="only rows whose names contain one of these words")
    parser.add_argument("--imagewoof", help="folder with train/ and val/")
    parser.add_argument("--imagewoof-labels", help="noisy_imagewoof.csv")
    parser.add_argument("--imagewoof-pair", help="CSV of softfold corrupt --kind pair --rate 0.4")
    parser.add_argument("--cifar10n", help="folder with train.parquet and test.parquet")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    from softfold.job.job import versions
    from softfold.machine.runtime import machine

    rows = commands(args)
    if not rows:
        raise SystemExit("nothing to run: give --imagewoof or --cifar10n")
    about = {"machine": machine(), "versions": versions(), "seeds": args.seeds}
    file = RESULTS / "end_to_end.json"
    known = json.loads(file.read_text())["rows"] if file.exists() else {}
    for name, arguments in rows.items():
        known[name] = measure(arguments, args.seeds)
        print(table({name: known[name]}), flush=True)
        write(file, known, about)  # after every row, so that no finished one is lost
    print(file.with_suffix(".md").read_text())


def write(file: Path, known: dict[str, dict], about: dict) -> None:
    """The rows known so far, as JSON and as Markdown."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"about": about, "rows": known}, indent=1) + "\n")
    file.with_suffix(".md").write_text(
        "# softfold run, end to end\n\n"
        "Accuracy in percent of the clean hold-out, mean over seeds; probe, five folds. "
        "Features are computed in the first row of each dataset and cached for the others.\n\n"
        f"{table(known)}\n\n{steps(known)}\n\n```json\n{json.dumps(about, indent=1)}\n```\n"
    )


if __name__ == "__main__":
    main()
