"""What passes between folds: softfold's soft labels against those of a nested cross-fit.

    python benchmarks/second_hand.py            # digits; 5 seeds

No row is predicted by a model that saw it, but T, temperature, strength and the weight of
neighbours are fitted to all items, the predicted ones included. In the nested cross-fit each fold
gets its own, from a noise-aware cross-fit of the other folds; T comes from a fifth fewer items.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from accuracy import label_table, load, machine

from softfold import LabelTable, plan_folds, soften
from softfold.arrays import one_hot
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.evaluation import average_precision
from softfold.trainers.probe import Probe

ROWS = [f"digits/{noise}" for noise in ("symmetric-25", "symmetric-50", "pair-40", "instance-20")]


class Deaf(Probe):
    """A probe that tells nobody its features, so that no neighbours are heard."""

    def fitted_features(self, table):
        return None


def nested(table: LabelTable, fold: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Soft labels float32 (N, K), everything behind those of a fold made without that fold."""
    soft = np.empty((len(table), k), np.float32)
    for f in range(fold.max() + 1):
        rows, held = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        part = table.take(rows)
        made = noise_aware_cross_fit(part, Deaf(), plan_folds(part, 5, seed=seed), seed=seed)
        kept = next(r["start"] for r in made.rounds if r["kept"])
        known = next(e for e in made.noise.explanations if e.name in ("by_class", "surest"))
        through = None if kept == "plain" else known.transition
        model = Probe().fit(part, one_hot(part.given, k), seed=seed, noise=through)
        p = model.predict(table.take(held))
        soft[held] = soften(table.given[held], p, noise=made.noise)
    return soft


def measure(row: str, data: Path, seed: int) -> dict[str, float]:
    x, given, truth, _, _ = load(row, data, seed)
    k, n = int(truth.max()) + 1, len(given)
    table = label_table(given, k, x)
    plan = plan_folds(table, 5, seed=seed)
    made = noise_aware_cross_fit(table, Deaf(), plan, seed=seed)
    sides = {
        "shared": soften(given, made.oof.probabilities, noise=made.noise),
        "nested": nested(table, plan.fold[:, 0], k, seed),
    }
    out = {"variation": float(np.abs(sides["shared"] - sides["nested"]).sum(1).mean() / 2)}
    for name, soft in sides.items():
        belief = soft[np.arange(n), given]
        out[f"{name}_found"] = average_precision(1 - belief, given != truth)
        out[f"{name}_right"] = float((soft.argmax(1) == truth).mean())
        out[f"{name}_belief"] = float(belief.mean())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", default=ROWS)
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    records, lines = [], ["# Second-hand influence", ""]
    lines += [
        "| labels | seeds | total variation | wrong labels found, shared | nested "
        "| soft label's largest entry right, shared | nested "
        "| mean belief in the given label, shared | nested |",
        "| " + " | ".join(["---"] * 9) + " |",
    ]
    for row in args.rows or ROWS:
        runs = [measure(row, args.data, seed) for seed in range(args.seeds)]
        records.append({"row": row, "runs": runs})
        mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        lines.append(
            f"| {row} | {len(runs)} | {mean['variation']:.4f} "
            f"| {mean['shared_found']:.4f} | {mean['nested_found']:.4f} "
            f"| {100 * mean['shared_right']:.2f} | {100 * mean['nested_right']:.2f} "
            f"| {100 * mean['shared_belief']:.2f} | {100 * mean['nested_belief']:.2f} |"
        )
    lines += [
        "",
        "Means over the seeds. Total variation: half the sum of absolute differences of an item's "
        "two soft labels, mean over items. Nested: T, temperature, strength and the weights of "
        "model and neighbours of a fold come from the other folds alone.",
        "",
        ", ".join(f"{k} {v}" for k, v in machine().items()) + ".",
    ]
    print("\n".join(lines))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "second_hand.md").write_text("\n".join(lines) + "\n")
    (args.out / "second_hand.json").write_text(
        json.dumps({"rows": records, "machine": machine()}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
