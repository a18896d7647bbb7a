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
    report = (tmp_path / "run" / "report.html").read_text()
    assert report.index("Annotators") < report.index("cid") < report.index("ann</td>")
    again = run(file, out=tmp_path / "run", annotator="who", truth="right", seeds=1, quiet=True,
                resume=True)  # fmt: skip
    np.testing.assert_array_equal(again.soft_labels.targets, soft.targets)


def test_a_hold_out_of_checked_labels_is_measured_against_the_truth(tmp_path):
    file, truth = votes(tmp_path)
    frame = pd.read_csv(file).drop(columns="right")
    frame.to_csv(file, index=False)
    made = run(file, out=tmp_path / "run", annotator="annotator", seeds=1, quiet=True)
    assert made.metrics["accuracy_against"] == "truth"
    assert not any("too low" in note for note in made.config["notes"])
    holdout = made.items[made.items["split"] == "valid"]
    names = np.array(["iris", "rose", "tulip"])
    rows = holdout["item"].str[1:].astype(int)
    assert holdout["truth"].tolist() == names[truth[rows]].tolist()
    # the votes of the others say nothing certain
    assert made.train["truth"].isna().all() and "rate_truth" not in made.metrics["noise"]
    assert made.config["name"] == "votes.csv"


def test_messages_about_votes_name_their_file(tmp_path):
    file, _ = votes(tmp_path)
    with pytest.raises(InputError, match=r"^votes\.csv: no column 'no' "):
        Settings(labels=file, annotator="annotator", group="no").read_labels()


def test_a_column_that_is_not_there_is_named(tmp_path):
    file, _ = votes(tmp_path)
    with pytest.raises(InputError, match="no column 'nobody'"):
        Settings(labels=file, annotator="nobody").read_labels()


def test_a_checked_label_is_final_whatever_the_votes_say(tmp_path):
    file, truth = votes(tmp_path)
    frame = pd.read_csv(file)
    frame["is_valid"] = frame["item"].str[1:].astype(int) % 5 == 0
    names = np.array(["iris", "rose", "tulip"])
    wrong, alone = "i1", "i2"  # all three say the same wrong class; a checked label and no vote
    frame.loc[frame["item"] == wrong, "label"] = names[(truth[1] + 1) % 3]
    frame = frame[frame["item"] != alone]
    extra = pd.DataFrame(
        {
            "item": [wrong, alone],
            "petal": [frame.loc[frame["item"] == wrong, "petal"].iloc[0], 2.25],
            "right": names[truth[[1, 2]]],
            "label": names[truth[[1, 2]]],
            "is_valid": False,
        }
    )
    pd.concat([frame, extra]).to_csv(file, index=False)
    made = run(
        file, out=tmp_path / "run", annotator="annotator", truth="right", seeds=1, quiet=True
    )
    soft = made.soft_labels.aligned([wrong, alone], names)
    np.testing.assert_array_equal(soft, np.eye(3)[truth[[1, 2]]])


@pytest.mark.filterwarnings("ignore:.*column 'right' holds the class names")
def test_an_item_column_of_any_name(tmp_path):
    file, _ = votes(tmp_path, item="flower")
    table = Settings(labels=file, annotator="annotator", path="flower").read_labels()
    assert table.kind == "table" and table.item[0] == "i0"
    with pytest.raises(InputError, match="--path and --label"):
        Settings(labels=file, annotator="annotator").read_labels()


@pytest.mark.parametrize("asked", [{"strategy": "blend"}, {"given_weight": 0.5}, {"hard": True}])
def test_what_votes_would_ignore_is_refused(asked):
    with pytest.raises(InputError, match="does not go with --annotator"):
        Settings(labels="votes.csv", annotator="who", **asked)
