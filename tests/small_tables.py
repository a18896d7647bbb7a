"""Small label tables and images, for the tests of the job."""

import numpy as np
import pandas as pd

from softfold.data.corruption import corrupt
from softfold.data.datasets import encode_png
from softfold.data.table import LabelTable
from softfold.soft_labels import SoftLabels


def flowers(n=240, seed=0):
    """Three classes in three columns, 30% of the training labels moved into the next class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    frame = pd.DataFrame(
        {
            "petal": y + rng.normal(0, 0.5, n),
            "sepal": (y == 1) + rng.normal(0, 0.5, n),
            "colour": np.array(["red", "blue", "white"])[(y + (rng.random(n) < 0.2)) % 3],
        }
    )
    names = np.array(["iris", "rose", "tulip"])
    valid = rng.random(n) < 0.3
    given = y.copy()
    given[~valid] = corrupt(y[~valid], 0.3, "pair")
    return frame.assign(label=names[given], right=names[y], is_valid=valid)


def table_of(n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return LabelTable(
        item=np.array([f"i{i}" for i in range(n)], dtype=object),
        given=y,
        vocab=("a", "b", "c"),
        valid=rng.random(n) < 0.3,
        data=np.c_[y + rng.normal(0, 0.6, n), rng.normal(size=n)],
    )


def soft_of(table, weight):
    train = table.train
    rest = (1 - weight) / 2
    targets = np.full((len(train), 3), rest, np.float32)
    targets[np.arange(len(train)), train.given] = weight
    return SoftLabels(train.item, targets, table.vocab, "test")


def random_pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return [encode_png(rng.integers(0, 256, (6, 6), dtype=np.uint8)) for _ in range(n)]
