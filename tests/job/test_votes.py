"""The whole job from a table with one row a vote."""

import numpy as np
import pandas as pd
import pytest

from softfold import InputError, run
from softfold.runs.settings import Settings


def votes(folder, n=240, **rename):
    """Three annotators, the third careless; a fifth of the items has a checked label instead."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 3
    x, names = truth + rng.normal(0, 0.5, n), np.array(["iris", "rose", "tulip"])
    rows = []
    for i in range(n):
        item = {"item": f"i{i}", "petal": f"{x[i]:.4f}", "right": names[truth[i]]}
        if i % 5 == 0:
            rows.append({**item, "annotator": "", "label": names[truth[i]]})
            continue
        for who, slips in (("ann", 0.1), ("bob", 0.1), ("cid", 0.5)):
            said = (truth[i] + 1) % 3 if rng.random() < slips else truth[i]
            rows.append({**item, "annotator": who, "label": names[said]})
    frame = pd.DataFrame(rows).rename(columns=rename)
    frame.to_csv(folder / "votes.csv", index=False)
    return str(folder / "votes.csv"), truth


def test_votes_become_soft_labels_and_annotators_are_measured(tmp_path):
    file, truth = votes(tmp_path, annotator="who")
    made = run(file, out=tmp_path / "run", annotator="who", truth="right", seeds=1, quiet=True)
    soft = made.soft_labels
    assert soft.strategy == "votes"
    rows = [int(key[1:]) for key in soft.item]
    assert all(i % 5 for i in rows)  # checked labels are the hold-out
    majority = (made.train["given"] == made.train["truth"]).mean()
    assert (soft.targets.argmax(1) == truth[rows]).mean() >= majority
    quality = pd.read_parquet(tmp_path / "run" / "annotators.parquet").set_index("annotator")
    assert quality["accuracy"].idxmin() == "cid"
    assert made.config["settings"]["annotator"] == "who"
    again = run(file, out=tmp_path / "run", annotator="who", truth="right", seeds=1, quiet=True,
                resume=True)  # fmt: skip
    np.testing.assert_array_equal(again.soft_labels.targets, soft.targets)


def test_a_column_that_is_not_there_is_named(tmp_path):
    file, _ = votes(tmp_path)
    with pytest.raises(InputError, match="no column 'nobody'"):
        Settings(labels=file, annotator="nobody").read_labels()
