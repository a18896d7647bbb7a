"""Items with several labels: given, soft and right labels, issues beside cleanlab's, rare classes.

    python benchmarks/multilabel.py            writes benchmarks/results/multilabel.md

Two sets of items: numbers made by scikit-learn's `make_multilabel_classification`, and its digits
with four questions (even, has a loop, above 4, a nine). Labels are made wrong in the training items
alone; the hold-out stays and is right.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

import softfold
from softfold import multilabel
from softfold.evaluation import average_precision
from softfold.multilabel.measures import MEASURES
from softfold.noise.estimation import estimate_checked
from softfold.noise.model import posterior
from softfold.trainers import create_trainer
from softfold.trainers.per_class import PerClass

QUESTIONS = ("even", "loop", "over 4", "nine")
NOISES = {
    "none": "right labels",
    "missing": "30% of an item's labels are missing",
    "one named": "beside another label 50% are missing, as where people stop at the first",
    "either way": "10% of all labels are the other way",
}
COUNTS = {"made": (1000, 1000), "digits": (1000, 797)}


def items(name: str) -> multilabel.MultiLabelTable:
    """Items with right labels; the last ones are the hold-out."""
    n, held = COUNTS[name]
    if name == "made":
        x, y = make_multilabel_classification(
            n + held, n_features=20, n_classes=5, n_labels=2, random_state=0
        )
        vocab = tuple("abcde")
    else:
        x, digit = load_digits(return_X_y=True)
        y = np.stack([digit % 2 == 0, np.isin(digit, [0, 6, 8, 9]), digit > 4, digit == 9], 1)
        order, vocab = np.random.default_rng(0).permutation(len(x)), QUESTIONS
        x, y = x[order], y[order]
    return multilabel.MultiLabelTable(
        item=np.array([f"{name} {i}" for i in range(n + held)], dtype=object),
        given=y,
        vocab=vocab,
        valid=np.arange(n + held) >= n,
        truth=y,
        data=x.astype(np.float32),
        name=name,
    )


def corrupted(table: multilabel.MultiLabelTable, noise: str, seed: int) -> Any:
    """The table with wrong labels in its training items."""
    rng, truth = np.random.default_rng([seed, 5]), table.truth == 1
    chance = np.zeros(truth.shape)
    if noise == "missing":
        chance[truth] = 0.3
    elif noise == "one named":
        chance[truth & (truth.sum(axis=1, keepdims=True) > 1)] = 0.5
    elif noise == "either way":
        chance[:] = 0.1
    wrong = (rng.random(truth.shape) < chance) & ~table.valid[:, None]
    return replace(table, given=truth ^ wrong)


def per_cell(table: Any, probabilities: np.ndarray, noise: Any = None) -> np.ndarray:
    """Suspicion (N, K) as a rank: the first of the list has the most."""
    ranked = multilabel.rank_issues(table, probabilities, noise=noise)
    out = np.empty(table.given.shape)
    columns = ranked["class"].map({name: k for k, name in enumerate(table.vocab)}).to_numpy()
    out[ranked["index"], columns] = -np.arange(len(ranked))
    return out


def cleanlab_scores(table: Any, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of cells (N, K) and of items (N,): how wrong by cleanlab's label quality."""
    from cleanlab.multilabel_classification import get_label_quality_scores
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    labels = [np.flatnonzero(row).tolist() for row in table.given]
    cells = get_label_quality_scores_per_class(labels, p.astype(float))
    return 1 - cells, 1 - get_label_quality_scores(labels, p.astype(float))


def one(name: str, noise: str, seed: int) -> dict[str, Any]:
    """One set, noise and seed: predictions of final models, and how well wrong labels are found."""
    table = corrupted(items(name), noise, seed)
    made = softfold.noise_aware_cross_fit(table, "probe", seed=seed)
    soft = multilabel.soften(table, made.oof, noise=made.noise)
    plain = multilabel.soften(table, made.plain)
    train, truth = table.train, table.train.truth
    given, held = train.given.astype(np.float32), table.holdout
    ways = {"given": given, "plain": plain.targets, "soft": soft.targets, "right": truth}
    trainer = PerClass(create_trainer("probe"))
    found: dict[str, Any] = {"labels": held.truth, "p": {}}
    for way, targets in ways.items():
        model = trainer.fit(train, targets.astype(np.float32), seed=seed)
        found["p"][way] = model.predict(held)
    wrong = train.given != truth
    found["wrong"] = float(wrong.mean())
    rates, ends = made.noise.rates, [m.rate_interval for m in made.noise.models]
    inside = [low <= w <= high for (low, high), w in zip(ends, wrong.mean(axis=0))]
    found["rate"], found["inside"] = float(np.nanmean(rates)), inside
    found["soft right"] = float(((soft.targets > 0.5) == truth).mean())
    if wrong.any():
        p = np.asarray(made.plain.probabilities)
        theirs, their_items = cleanlab_scores(train, p)
        ours = {"plain": per_cell(train, p), "aware": per_cell(train, made.oof, made.noise)}
        flat = wrong.ravel()
        found["cells"] = {k: average_precision(v.ravel(), flat) for k, v in ours.items()}
        found["cells"]["cleanlab"] = average_precision(theirs.ravel(), flat)
        by_item = {k: average_precision(v.max(axis=1), wrong.any(axis=1)) for k, v in ours.items()}
        by_item["cleanlab"] = average_precision(their_items, wrong.any(axis=1))
        found["items"] = by_item
    return found


def rows_of(seeds: int) -> list[str]:
    """The tables of final models and of issues, in Markdown."""
    models = [
        "| items | noise | wrong | estimated | measure | given | plain soft | soft | "
        "right labels | soft less given, 95% | interval holds, classes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    issues = [
        "| items | noise | cells: cleanlab | softfold, same predictions | softfold | items: "
        "cleanlab | softfold, same predictions | softfold |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in COUNTS:
        for noise in NOISES:
            begun = time.perf_counter()
            runs = [one(name, noise, seed) for seed in range(seeds)]
            p = {way: np.stack([r["p"][way] for r in runs]) for way in runs[0]["p"]}
            labels = runs[0]["labels"]
            gains = multilabel.differences(p["given"], p["soft"], labels)
            inside = [hit for r in runs for hit in r["inside"]]
            for measure, of in MEASURES.items():
                mean = {way: np.mean([of(q, labels) for q in p[way]]) for way in p}
                d = gains[measure]
                models.append(
                    f"| {name} | {noise} | {np.mean([r['wrong'] for r in runs]):.1%} | "
                    f"{np.mean([r['rate'] for r in runs]):.1%} | {measure.replace('_', ' ')} | "
                    f"{mean['given']:.4f} | {mean['plain']:.4f} | {mean['soft']:.4f} | "
                    f"{mean['right']:.4f} | {d['mean']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f})"
                    f" | {sum(inside)} of {len(inside)} |"
                )
                print(models[-1], f"{time.perf_counter() - begun:.0f} s", flush=True)
            if "cells" in runs[0]:
                cells = [
                    f"{np.mean([r[level][who] for r in runs]):.3f}"
                    for level in ("cells", "items")
                    for who in ("cleanlab", "plain", "aware")
                ]
                issues.append(f"| {name} | {noise} | {' | '.join(cells)} |")
                print(issues[-1], flush=True)
    return [*models, "", "## Wrong labels found", "", ISSUES, "", *issues]


ISSUES = (
    "Average precision, mean over seeds, of cells (an item and a class) and of items (a wrong\n"
    "label of any class). cleanlab's `multilabel_classification` and the first column of softfold\n"
    "have the same plain out-of-fold predictions, the second has the noise-aware ones."
)


def rare_lines(seeds: int) -> list[str]:
    """Soft labels of rare classes: a model a class, and one model of all classes together."""
    shares = (0.5, 0.3, 0.1, 0.03, 0.01, 0.004)
    lines = [
        "| noise | class has | given labels | a model a class | one of all | interval holds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    noises = {
        "right labels": (0.0, 0.0),
        "5% missing, 0.5% extra": (0.05, 0.005),
        "20% missing, 2% extra": (0.2, 0.02),
        "30% missing": (0.3, 0.0),
    }
    for noise, (missing, extra) in noises.items():
        losses: dict[float, list] = {share: [] for share in shares}
        for seed in range(seeds):
            made = [_rare(share, missing, extra, seed, k) for k, share in enumerate(shares)]
            common = estimate_checked(
                np.concatenate([y for _, y, _ in made]), np.concatenate([p for _, _, p in made])
            )
            for share, (truth, given, p) in zip(shares, made):
                own = estimate_checked(given, p)
                known = not np.isnan(own.rate)
                q = posterior(given, p, own)[:, 1] if known else given.astype(float)
                all_in_one = posterior(given, p, common)[:, 1]
                low, high = own.rate_interval
                held = low <= (given != truth).mean() <= high
                how = (given.astype(float), q, all_in_one)
                losses[share].append([*(_loss(h, truth) for h in how), held])
        for share, found in losses.items():
            given, own, one_of_all, held = np.mean(found, axis=0)
            lines.append(
                f"| {noise} | {share:.1%} | {given:.1f} | {own:.1f} | {one_of_all:.1f} | "
                f"{held * seeds:.0f} of {seeds} |"
            )
            print(lines[-1], flush=True)
    return lines


def _rare(share: float, missing: float, extra: float, seed: int, k: int):
    """Truth, given labels int (n,), and a logistic regression's out-of-fold predictions (n, 2)."""
    rng = np.random.default_rng([seed, k])
    x, w = rng.normal(size=(2000, 20)), rng.normal(size=20)
    z = x @ (3 * w / np.linalg.norm(w)) + 0.3 * rng.logistic(size=2000)
    truth = (z > np.quantile(z, 1 - share)).astype(int)
    given = truth ^ (rng.random(2000) < np.where(truth, missing, extra))
    p = np.zeros(2000)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    for train, held in folds.split(x, given):
        model = LogisticRegression(C=0.1).fit(x[train], given[train])
        p[held] = model.predict_proba(x[held])[:, 1]
    return truth, given, np.stack([1 - p, p], axis=1).astype(np.float32)


def _loss(has: np.ndarray, truth: np.ndarray) -> float:
    """Mean of -log of what the truth has, in thousandths of a nat, at least 1e-4 of it."""
    return float(-np.log(np.where(truth == 1, has, 1 - has).clip(1e-4)).mean() * 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rare = rare_lines(args.seeds)
    rows = rows_of(args.seeds)
    noises = "\n".join(f"- {name}: {about}" for name, about in NOISES.items())
    text = f"""# Items with several labels

Made by `python benchmarks/multilabel.py`, {args.seeds} seeds, the probe as trainer; the hold-out
is the same for all seeds and has right labels. The noise:

{noises}

## Final models

"plain soft" are soft labels of plain out-of-fold predictions, "soft" those of the noise-aware
cross-fit.

{chr(10).join(rows)}

## Rare classes

Made items, logistic regressions: how far soft labels are from the truth (thousandths of a nat an
item, less is better), with a noise model a class, as softfold has it, and with one of all classes.

{chr(10).join(rare)}
"""
    (args.out / "multilabel.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
