"""Items with several labels and a known truth, for the tests."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.multilabel.table import MultiLabelTable

CLASSES = ("even", "loop", "over 4", "nine")


def digits(missing=0.25, extra=0.03, seed=0, n=900, n_holdout=300) -> MultiLabelTable:
    """Digits by what is so of them; of the training items some labels are missing, some extra."""
    from sklearn.datasets import load_digits

    pixels, digit = load_digits(return_X_y=True)
    pixels, digit = (pixels[: n + n_holdout] / 16).astype(np.float32), digit[: n + n_holdout]
    truth = np.stack([digit % 2 == 0, np.isin(digit, [0, 6, 8, 9]), digit > 4, digit == 9], 1)
    wrong = np.random.default_rng(seed).random(truth.shape) < np.where(truth, missing, extra)
    wrong[n:] = False
    return MultiLabelTable(
        item=np.array([f"digit {i}" for i in range(len(digit))], dtype=object),
        given=truth ^ wrong,
        vocab=CLASSES,
        valid=np.arange(len(digit)) >= n,
        truth=truth,
        data=pixels,
        name="digits",
    )


def answers(n=3000, shares=(0.4, 0.15, 0.02, 0.004), missing=0.15, extra=0.02, seed=0):
    """Truth and given labels bool (n, K), and predictions (n, K) of how a class would be given."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 3, (n, len(shares)))
    z -= [np.quantile(column, 1 - share) for column, share in zip(z.T, shares)]
    p = 1 / (1 + np.exp(-3 * z))
    truth = rng.random(p.shape) < p
    wrong = rng.random(p.shape) < np.where(truth, missing, extra * np.minimum(1, p.mean(0) * 5))
    return truth, truth ^ wrong, p.astype(np.float32)


def digits_file(folder: Path, n: int = 120) -> Path:
    """A CSV of digits' numbers and labels such as `even;loop`; nothing is held out by a column."""
    table = digits(n=n, n_holdout=0)
    names = np.array([name.replace(" ", "_") for name in table.vocab])
    frame = pd.DataFrame(table.data).add_prefix("pixel")
    frame["label"] = [";".join(names[row]) for row in table.given]
    frame.to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


def digits_run(folder: Path) -> Path:
    """A small run of such a file."""
    import softfold

    how = {"arch": "sklearn.linear_model.LogisticRegression", "folds": 2, "seeds": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how many cells are empty
        file = digits_file(folder)
        return softfold.run(file, folder / "run", label_delim=";", quiet=True, **how).path
