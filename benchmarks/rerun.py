"""softfold's rows of accuracy.py again, on this code, beside what the stored table has for it.

    python benchmarks/rerun.py --data DIR [ROW ...]

The same data, noise, folds and seeds as in `benchmarks/results/accuracy.json`, whose peers are not
run again. Each finished row and seed is kept in --work, and the table is made of what there is:
accuracy before and now with a 95% interval of the difference over seeds, average precision, rate.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from accuracy import OURS, ROWS, machine, measure

HERE = Path(__file__).parent
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""0.975 quantiles of Student's t by number of seeds."""


def percent(values: list[float]) -> str:
    return f"{100 * np.mean(values):.2f}"


def interval(gain: np.ndarray) -> str:
    """95% interval of the mean over seeds; one seed has none."""
    if len(gain) == 1:
        return "-"
    half = STUDENT[len(gain)] * gain.std(ddof=1) / np.sqrt(len(gain))
    return f"{gain.mean() - half:+.2f} to {gain.mean() + half:+.2f}"


def line(before: dict, now: list[dict]) -> str:
    """One row of the table."""
    seeds = [run["seed"] for run in now]
    old = [before["accuracy"][OURS][before["seeds"].index(s)] for s in seeds]
    new = [run["accuracy"][OURS] for run in now]
    gain = 100 * (np.array(new) - np.array(old))
    cells = [
        before["row"],
        str(len(seeds)),
        f"{100 * np.mean(old):.2f}",
        f"{100 * np.mean(new):.2f}",
    ]
    cells.append(f"{gain.mean():+.2f} ({interval(gain)})")
    found = [
        f"{np.mean(before['issues'][OURS]):.3f}" if "issues" in before else "",
        f"{np.mean([run['issues'][OURS] for run in now]):.3f}" if "issues" in now[0] else "",
    ]
    rates = [run["rate_truth"] for run in now]
    low, high = now[0]["rate_interval"]
    cells += found + [
        f"{100 * np.mean(rates):.1f}%",
        f"{100 * np.mean(before['rate_estimate']):.1f}%",
    ]
    cells += [
        f"{100 * np.mean([run['rate_estimate'] for run in now]):.1f}%",
        f"{100 * low:.1f} to {100 * high:.1f}%",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/tmp/softfold-rerun"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    stored = json.loads((args.out / "accuracy.json").read_text())
    before = {record["row"]: record for record in stored["rows"]}
    for row in args.rows or ROWS:
        if row not in before:
            continue
        for seed in before[row]["seeds"][: args.seeds]:
            file = args.work / f"{row.replace('/', '_')}_seed-{seed}.json"
            if file.exists():
                continue
            figures, _ = measure(row, args.data, seed, ["plain"])
            file.write_text(json.dumps(figures, indent=1))
            print(f"{row} seed {seed} {figures['seconds']:.0f}s {figures['accuracy']}", flush=True)
    lines = [
        "| row | seeds | softfold before | now | difference, 95% over seeds | AP before | AP now | "
        "wrong | rate before | rate now | 95% interval (first seed) |",
        "|" + " --- |" * 11,
    ]
    for row in ROWS:
        files = sorted(args.work.glob(row.replace("/", "_") + "_seed-*.json"))
        if files and row in before:
            lines.append(line(before[row], [json.loads(f.read_text()) for f in files]))
    about = machine()
    text = (
        "# softfold's rows of the accuracy table again\n\nMade by `python benchmarks/rerun.py`: "
        "softfold on this code beside `accuracy.json`, the same data, noise, folds and seeds. "
        f"{about['cores']} cores, {about['platform']}, Python {about['python']}, "
        f"{about['versions']}.\n\n" + "\n".join(lines) + "\n"
    )
    (args.out / "rerun.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
