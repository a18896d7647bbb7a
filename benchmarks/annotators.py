"""Several annotators: one label from three people's votes on CIFAR-10N, and what it is worth.

    python benchmarks/annotators.py --data DIR       # DIR holds cifar10n/; 3 seeds

Three people labelled each of the first 25,000 training images; a seed draws 10,000 of them and the
folds. Predictions are those of a probe cross-fitted on the majority's labels, the same for every
method that reads any. Then a probe is trained on each method's labels and measured on the 10,000
clean test images.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
from accuracy import label_table, machine

from softfold import cross_fit, plan_folds
from softfold.arrays import one_hot
from softfold.data.datasets import load_dataset
from softfold.evaluation import log_loss, paired_difference
from softfold.trainers.probe import Probe
from softfold.vision.features import image_features
from softfold.votes.combining import combine_votes

N_VOTED, K = 25_000, 10
NAMES = {
    "one": "one annotator (random1)",
    "majority": "majority",
    "shares": "shares of the votes",
    "dawid_skene": "softfold, votes alone",
    "joined": "softfold, joined with predictions",
    "crowdlab": "cleanlab's CROWDLAB, joined with predictions",
    "predictions": "predictions alone",
    "truth": "truth",
}
HARD = ("one", "majority", "truth")


def cleanlab_labels(votes: np.ndarray, p: np.ndarray) -> np.ndarray:
    """CROWDLAB's consensus as float32 (N, K): the label it chooses and how sure it is of it."""
    from cleanlab.multiannotator import get_label_quality_multiannotator

    frame = pd.DataFrame(votes).astype(float).where(votes >= 0)
    found = get_label_quality_multiannotator(
        frame, p, verbose=False, return_detailed_quality=False, return_annotator_stats=False
    )["label_quality"]
    label = found["consensus_label"].to_numpy()
    sure = found["consensus_quality_score"].to_numpy()
    soft = np.repeat((1 - sure)[:, None] / (K - 1), K, axis=1)
    soft[np.arange(len(label)), label] = sure
    return soft.astype(np.float32)


def measure(x, truth, votes, new, new_truth, seed: int) -> tuple[dict, dict[str, np.ndarray]]:
    """One draw of 10,000 items: figures, and what each method's probe says of the test images."""
    rows = np.sort(np.random.default_rng(seed).choice(N_VOTED, 10_000, replace=False))
    x, truth, votes = x[rows], truth[rows], votes[rows]
    alone = combine_votes(votes, vocab=[str(k) for k in range(K)])
    table = label_table(alone.majority, K, x)
    p = cross_fit(table, Probe(), plan_folds(table, 5, seed=seed), seed=seed).probabilities
    joined = combine_votes(votes, p)
    shares = np.mean([one_hot(votes[:, w], K) for w in range(votes.shape[1])], axis=0)
    soft = {
        "one": one_hot(votes[:, 0], K),
        "majority": one_hot(alone.majority, K),
        "shares": shares,
        "dawid_skene": alone.targets,
        "joined": joined.targets,
        "crowdlab": cleanlab_labels(votes, p),
        "predictions": p,
        "truth": one_hot(truth, K),
    }
    figures, said = {}, {}
    for name, targets in soft.items():
        label = alone.majority if name in ("majority", "shares") else targets.argmax(1)
        figures[name] = {"right": float((label == truth).mean())}
        if name not in HARD:
            figures[name]["log_loss"] = log_loss(targets.astype(np.float32), truth)
        if name != "predictions":
            model = Probe().fit(label_table(label, K, x), targets.astype(np.float32), seed=seed)
            said[name] = model.predict(label_table(new_truth, K, new)).argmax(1)
            figures[name]["accuracy"] = float((said[name] == new_truth).mean())
    figures["about"] = {"temperature": joined.temperature, "vote_weight": joined.vote_weight}
    return figures, said


def load(data: Path):
    """Features, truth and votes of the 25,000 images; features and truth of the test images."""
    table = load_dataset("cifar10n", data=data / "cifar10n")
    test = np.flatnonzero(table.valid)
    x = image_features(table.take(np.r_[:N_VOTED, test]), size=128)
    people = pd.read_parquet(data / "cifar10n" / "annotators.parquet")
    place = pd.Index(table.vocab)
    votes = np.stack([place.get_indexer(people[c]) for c in people], axis=1)
    truth = table.truth
    return x[:N_VOTED], truth[:N_VOTED], votes, x[N_VOTED:], truth[test]


def report(runs: list[dict], said: list[dict], new_truth: np.ndarray) -> str:
    """The table in Markdown."""
    lines = [
        "# Several annotators",
        "",
        "| labels | largest entry right, % | log loss of truth | probe trained on them, "
        "test images right, % | difference from majority, points (95% interval) |",
        "| --- | --- | --- | --- | --- |",
    ]

    def mean(name: str, key: str, scale: float, digits: int) -> str:
        if key not in runs[0][name]:
            return ""
        return f"{scale * np.mean([run[name][key] for run in runs]):.{digits}f}"

    base = np.stack([s["majority"] for s in said])
    for name, words in NAMES.items():
        gain = ""
        if name in said[0] and name != "majority":
            d = paired_difference(base, np.stack([s[name] for s in said]), new_truth)
            gain = f"{100 * d['mean']:+.2f} ({100 * d['low']:+.2f} to {100 * d['high']:+.2f})"
        lines.append(
            f"| {words} | {mean(name, 'right', 100, 2)} | {mean(name, 'log_loss', 1, 3)} "
            f"| {mean(name, 'accuracy', 100, 2)} | {gain} |"
        )
    about = [run["about"] for run in runs]
    lines += [
        "",
        f"CIFAR-10N, three votes each on 10,000 of 25,000 images, {len(runs)} seeds (0 to "
        f"{len(runs) - 1}), which draw the items and the folds. Log loss in nats; hard labels have "
        "none. Predictions are of a probe cross-fitted on the majority's labels, frozen "
        "EfficientNet-Lite0 at 128 px. The interval is over seeds and test images.",
        "",
        "Temperature "
        + ", ".join(f"{a['temperature']:.2f}" for a in about)
        + "; weight of the votes "
        + ", ".join(f"{a['vote_weight']:.1f}" for a in about)
        + ".",
        "",
        ", ".join(f"{k} {v}" for k, v in machine().items()) + ".",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../data"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    x, truth, votes, new, new_truth = load(args.data)
    runs, said = [], []
    for seed in range(args.seeds):
        figures, answers = measure(x, truth, votes, new, new_truth, seed)
        runs.append(figures)
        said.append(answers)
        print(seed, figures, flush=True)
    page = report(runs, said, new_truth)
    print(page)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "annotators.md").write_text(page + "\n")
    (args.out / "annotators.json").write_text(
        json.dumps({"runs": runs, "machine": machine()}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
