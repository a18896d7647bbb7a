"""The classifier that tables get by default: wrong labels found, beside plain boosting.

    python benchmarks/tables.py

Three tables of numbers with 20% of the labels wrong, any class in place of any other: breast cancer
and wine of scikit-learn, and one made of squares, which no plane divides. Out-of-fold predictions
by histogram gradient boosting as scikit-learn sets it, which was the default before, and by the
classifier that the given labels choose (`softfold.trainers.choosing`); average precision of
finding the wrong labels by `label_quality`. A seed draws noise and folds.
"""

from __future__ import annotations

import platform
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier

from softfold import LabelTable, corrupt, cross_fit, label_quality
from softfold.evaluation import average_precision
from softfold.trainers.estimator import Estimator

RESULTS = Path(__file__).parent / "results" / "tables.md"
SEEDS = 5


def squares() -> tuple[np.ndarray, np.ndarray]:
    """1,000 items of 5 numbers whose class is which of four squares the first two are in."""
    x = np.random.default_rng(0).uniform(-1, 1, (1000, 5))
    return x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(np.int64)


TABLES = {
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "squares, made": squares,
}


def found(trainer: Estimator, table: LabelTable, truth: np.ndarray, seed: int) -> float:
    """Average precision of the wrong labels."""
    oof = cross_fit(table, trainer, seed=seed)
    return average_precision(1 - label_quality(table, oof), table.given != truth) or 0.0


def main() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for name, load in TABLES.items():
        x, truth = load()
        before, now, chosen = [], [], Counter()
        for seed in range(SEEDS):
            table = LabelTable(
                np.array([str(i) for i in range(len(x))], dtype=object),
                corrupt(truth, 0.2, seed=seed),
                tuple(map(str, range(truth.max() + 1))),
                np.zeros(len(x), bool),
                data=pd.DataFrame(x).rename(columns=str),
            )
            boosting = HistGradientBoostingClassifier(early_stopping=False)
            before.append(found(Estimator(boosting), table, truth, seed))
            trainer = Estimator()
            now.append(found(trainer, table, truth, seed))
            chosen[str(trainer.prepare(table)).split(": ")[1].split(", with")[0]] += 1
        gain = np.array(now) - before
        half = stats.t.ppf(0.975, SEEDS - 1) * gain.std(ddof=1) / SEEDS**0.5
        low, high = gain.mean() - half, gain.mean() + half
        which = ", ".join(f"{each} ({n})" for each, n in chosen.most_common())
        rows.append(
            f"| {name} | {len(x):,} | {np.mean(before):.3f} | {np.mean(now):.3f} | "
            f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f}) | {which} |"
        )
        print(rows[-1], flush=True)
    about = ", ".join(f"{each} {version(each)}" for each in ("scikit-learn", "numpy"))
    RESULTS.write_text(
        "# The classifier that tables get by default\n\n"
        f"Made by `python benchmarks/tables.py`: {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, {about}. 20% of the labels wrong, {SEEDS} seeds; average "
        "precision of finding them, 95% interval over seeds.\n\n"
        "| table | items | boosting | chosen | gain | what was chosen (seeds) |\n"
        "| --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
