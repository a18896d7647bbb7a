"""Votes in wide and long form, and a long table as a label table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softfold.errors import InputError
from softfold.votes.reading import majority, one_row_an_item, read_votes

LONG = pd.DataFrame(
    {
        "path": ["a.jpg", "a.jpg", "b.jpg", "c.jpg", "c.jpg", "c.jpg", "d.jpg"],
        "worker": ["ann", "bob", "ann", "ann", "bob", "eve", None],
        "label": ["cat", "dog", "dog", "cat", "dog", "dog", "cat"],
        "is_valid": [0, 0, 0, 0, 0, 0, 1],
    }
)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_wide_file_has_a_column_an_annotator(tmp_path, kind):
    wide = pd.DataFrame({"item": ["x", "y"], "ann": ["cat", None], "bob": ["dog", "dog"]})
    file = tmp_path / f"votes.{kind}"
    wide.to_csv(file, index=False) if kind == "csv" else wide.to_parquet(file)
    votes = read_votes(file)
    assert votes.annotators == ("ann", "bob") and votes.vocab == ("cat", "dog")
    assert votes.wide.tolist() == [[0, 1], [-1, 1]]


def test_numbers_with_gaps_stay_whole():
    wide = pd.DataFrame({"item": ["x", "y"], "ann": [3, np.nan], "bob": [10, 3]})
    votes = read_votes(wide)
    assert votes.vocab == ("3", "10") and votes.wide.tolist() == [[0, 1], [-1, 0]]


def test_minus_one_is_no_vote_in_a_frame_of_numbers():
    votes = read_votes(pd.DataFrame({"item": ["x", "y"], "ann": [1, -1], "bob": [0, 1]}))
    assert len(votes) == 3


def test_a_long_table_is_known_by_its_annotator_column():
    votes = read_votes(LONG[LONG["worker"].notna()])
    assert votes.item.tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert votes.wide.tolist() == [[0, 1, -1], [1, -1, -1], [0, 1, 1]]
    assert majority(votes).tolist() == [0, 1, 1]


def test_the_same_vote_twice_counts_once_and_a_contradiction_is_refused():
    part = LONG[LONG["worker"].notna()]
    assert len(read_votes(pd.concat([part, part]))) == len(part)
    torn = part.assign(label="cat")
    with pytest.raises(InputError, match=r"contradict.*'bob' about 'a\.jpg'"):
        read_votes(pd.concat([part, torn]))


def test_a_label_outside_the_vocabulary_is_named():
    with pytest.raises(InputError, match="no class of the vocabulary; the first is 'dog'"):
        read_votes(LONG[LONG["worker"].notna()], vocab=["cat", "owl"])


def test_a_long_table_becomes_one_row_an_item():
    frame, votes = one_row_an_item(LONG, annotator="worker")
    assert frame["path"].tolist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert frame["label"].tolist() == ["cat", "dog", "dog", "cat"]
    assert frame["votes"].tolist() == [2, 1, 3, 0]
    assert frame["is_valid"].tolist() == [0, 0, 0, 1]
    assert votes.item.tolist() == ["a.jpg", "b.jpg", "c.jpg"]


def test_an_item_in_both_splits_is_refused():
    torn = LONG.assign(is_valid=[0, 1, 0, 0, 0, 0, 1])
    with pytest.raises(InputError, match=r"the first is 'a\.jpg'"):
        one_row_an_item(torn, annotator="worker")
