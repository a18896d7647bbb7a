"""A table with one row a vote becomes a label table and its votes."""

import numpy as np
import pandas as pd
import pytest

from softfold.data.datasets import encode_png
from softfold.errors import InputError
from softfold.runs.settings import Settings
from softfold.runs.voted import read_run_votes, read_voted

SAID = {
    "i0": {"ann": "cat", "bob": "dog", "cid": "dog"},
    "i1": {"ann": "cat", "bob": "cat"},
    "i2": {"ann": "dog", "bob": "dog", "": "cat"},  # voted on and checked
    "i3": {"cid": "dog"},
    "i4": {"": "dog"},  # checked alone
    "i5": {"": "cat"},
}


def settings_of(folder, keys=None, column="item", marks=None, **asked):
    """Settings of a file with the votes of `SAID`."""
    keys = keys or {key: key for key in SAID}
    rows = [
        {column: keys[key], "width": len(key) + int(key[1:]), "who": who, "label": label}
        | ({} if marks is None else {"is_valid": key in marks})
        for key, votes in SAID.items()
        for who, label in votes.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "votes.csv", index=False)
    return Settings(labels=str(folder / "votes.csv"), annotator="who", **asked)


def test_an_item_has_the_label_that_most_say_or_that_was_checked(tmp_path):
    table = read_voted(settings_of(tmp_path))
    names = np.array(table.vocab)[table.given]
    assert dict(zip(table.item, names)) == {
        "i0": "dog", "i1": "cat", "i2": "cat", "i3": "dog", "i4": "dog", "i5": "cat",
    }  # fmt: skip
    assert table.kind == "table" and list(table.frame) == ["width"]
    assert table.frame["width"].tolist() == [2, 3, 4, 5, 6, 7]


def test_items_that_were_checked_and_not_voted_on_are_the_hold_out(tmp_path):
    table = read_voted(settings_of(tmp_path))
    assert table.item[table.valid].tolist() == ["i4", "i5"]


def test_a_hold_out_that_is_named_is_the_only_one(tmp_path):
    table = read_voted(settings_of(tmp_path, marks=["i1"]))
    assert table.item[table.valid].tolist() == ["i1"]


def test_a_checked_label_is_final_and_its_items_votes_do_not_count(tmp_path):
    votes = read_run_votes(settings_of(tmp_path))
    assert votes.item.tolist() == ["i0", "i1", "i3"]
    assert dict(zip(votes.item, votes.n_votes.tolist())) == {"i0": 3, "i1": 2, "i3": 1}


def test_items_of_a_hold_out_file_come_after_the_voted_ones(tmp_path):
    more = pd.DataFrame({"width": [8, 9], "label": ["cat", "dog"]})
    more.to_csv(tmp_path / "more.csv", index=False)
    table = read_voted(settings_of(tmp_path, holdout=str(tmp_path / "more.csv")))
    assert table.item[:6].tolist() == list(SAID) and len(set(table.item)) == 8
    assert np.flatnonzero(table.valid).tolist() == [6, 7]


@pytest.mark.parametrize(
    ("column", "asked"),
    [("path", {}), ("item", {}), ("picture", {"path": "picture"})],
    ids=["a column of paths", "items that are files", "a column that is named"],
)
def test_items_that_are_files_are_images(tmp_path, column, asked):
    files = {key: f"{key}.png" for key in SAID}
    for i, name in enumerate(files.values()):
        (tmp_path / name).write_bytes(encode_png(np.full((6, 6), 40 * i, np.uint8)))
    settings = settings_of(tmp_path, files, column, **asked)
    table = read_voted(settings)
    assert table.kind == "image" and table.item.tolist() == list(files.values())
    assert set(read_run_votes(settings).item) <= set(table.item)


def test_numbers_as_keys_find_their_votes(tmp_path):
    settings = settings_of(tmp_path, {key: f"{int(key[1:]):03d}" for key in SAID})
    table = read_voted(settings)
    assert table.item.tolist() == ["000", "001", "002", "003", "004", "005"]
    assert read_run_votes(settings).item.tolist() == ["000", "001", "003"]


def test_a_column_that_is_not_there_is_named(tmp_path):
    settings = settings_of(tmp_path, path="picture")
    with pytest.raises(InputError, match="no column 'picture'; columns are item, width"):
        read_voted(settings)
