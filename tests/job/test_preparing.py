"""Before the folds: copies are found among texts and rows too, and look-alike labels are named."""

import numpy as np
import pandas as pd
import pytest

from softfold.data.folds import plan_folds
from softfold.data.reading import read_table
from softfold.job.preparing import prepare_items
from softfold.runs.settings import Settings

WORDS = np.array(["red", "green", "blue", "grey", "pink", "black", "white", "brown"])


def texts(n=60):
    rng = np.random.default_rng(0)
    words = [[*rng.choice(WORDS, 12), f"number{i}", f"item{i}"] for i in range(n)]
    near = [[*w[:-1], "changed"] for w in words[:5]]
    return pd.DataFrame({"text": [" ".join(w) for w in [*words, *near, *words[:10]]]})


def labelled(frame, **columns):
    return read_table(frame.assign(label=["yes", "no", "yes"] * (len(frame) // 3), **columns))


@pytest.mark.parametrize("grouped", [False, True])
def test_copies_of_texts_share_a_fold_and_near_ones_on_request(grouped):
    table, notes, groups = prepare_items(labelled(texts()), Settings(group_near_copies=grouped))
    text = table.train.data["text"].to_numpy()
    if grouped:
        assert any(n.startswith("5 pairs of near copies by their words") for n in notes)
    else:
        assert "10 texts are exact copies of another; copies share a fold" in notes
    assert not set(text) & set(table.holdout.data["text"])
    fold = plan_folds(table.train, 3, groups=groups).fold[:, 0]
    for same in {" ".join(t.split()[:-1]) if grouped else t for t in text}:
        assert len(set(fold[[t.startswith(same) for t in text]])) == 1


def test_rows_that_are_copies_of_the_hold_out_are_left_out_of_training():
    x = np.arange(60.0)
    frame = pd.DataFrame({"x": [*x, *x[:6]], "y": 1})
    table, notes, _ = prepare_items(labelled(frame, is_valid=np.arange(66) >= 60), Settings())
    assert len(table.train) == 54 and not set(table.train.data["x"]) & set(x[:6])
    assert any(n.startswith("6 training items have an exact copy in the hold-out") for n in notes)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_labels_that_look_alike_are_noted_for_the_report():
    frame = pd.DataFrame({"x": np.arange(60.0), "label": ["cat", "dog", " cat"] * 20})
    _, notes, _ = prepare_items(read_table(frame), Settings())
    assert any("' cat' (20), 'cat' (20)" in n for n in notes)


def test_a_table_whose_rows_are_mostly_alike_is_said_to_be_so():
    frame = pd.DataFrame({"x": np.arange(60) % 12, "y": 1.0})
    _, notes, _ = prepare_items(labelled(frame), Settings())
    assert any(n.startswith("most rows have all their values in common") for n in notes)
