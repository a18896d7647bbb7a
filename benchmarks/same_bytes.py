"""The same command again: which files of a run differ from one start to the next.

    python benchmarks/same_bytes.py [--images 300]

The job of kills.py, run three times with an empty cache of its own each, once more with a full
cache, and once with another number of threads. Compared are all files, byte for byte, but for the
seconds in metrics.json and report.html; the last column has the largest difference of an
out-of-fold probability.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from accuracy import machine
from kills import content, differing, finish, make_images, start

from softfold.runs.folder import Run

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    starts = [
        ("empty cache", "first", "2"),
        ("empty cache, again", "second", "2"),
        ("empty cache, once more", "third", "2"),
        ("full cache", "first", "2"),
        ("empty cache, one thread", "fourth", "1"),
    ]
    head = "| start | files compared | that differ from the first | predictions apart, at most |"
    lines = [head, "|" + " --- |" * 4]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_images(work, args.images)
        first: dict[str, bytes] = {}
        for i, (title, cache, threads) in enumerate(starts):
            os.environ["OMP_NUM_THREADS"] = threads
            finish(start(work, work / f"run-{i}", work / cache, resume=False))
            made = content(work / f"run-{i}")
            first = first or made
            oof = Run(work / f"run-{i}").oof.probabilities
            told = Run(work / "run-0").oof.probabilities
            apart = float(np.abs(oof - told).max())
            other = len(differing(made, first))
            lines.append(f"| {title} | {len(made)} | {other or 'none'} | {apart:.2g} |")
            print(lines[-1], flush=True)
    about = machine()
    text = (
        "# The same command again\n\nMade by `python benchmarks/same_bytes.py` on "
        f"{args.images} images. {about['cores']} cores, {about['platform']}, "
        f"Python {about['python']}, {about['versions']}.\n\n" + "\n".join(lines) + "\n"
    )
    (args.out / "same_bytes.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
