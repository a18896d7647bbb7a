"""The keys of a dataset's items: where they are, and what is refused rather than guessed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("fastai")

from softfold.align.keys import RowIndex
from softfold.errors import InputError
from softfold.fastai.matching import as_soft_labels, item_keys
from softfold.soft_labels import SoftLabels

INDEX = RowIndex(["a", "b", "c"])


def dataset(items, **more):
    return SimpleNamespace(items=items, **more)


class OfPositions:
    def __len__(self):
        return 3


@pytest.mark.parametrize(
    ("items", "key"),
    [
        (["a", "b", "c"], None),
        ([("a", 1), ("b", 2), ("c", 3)], None),
        ([["a", 1], ["b", 2], ["c", 3]], None),
        (np.array(["a", "b", "c"]), None),
        (["x/a", "x/b", "x/c"], lambda item: item[2:]),
        (pd.DataFrame({"key": ["a", "b", "c"], "label": [0, 1, 0]}), None),
        (pd.DataFrame({"label": [0, 1, 0], "key": ["a", "b", "c"]}), "key"),
        (pd.DataFrame({"label": [0, 1, 0]}, index=["a", "b", "c"]), None),
        (pd.DataFrame({"key": ["c", "a", "b"]}, index=["a", "b", "c"]), "index"),
        (pd.DataFrame({"n": ["A", "B", "C"]}), lambda row: row["n"].lower()),
        (pd.DataFrame({"index": ["a", "b", "c"], "label": [0, 1, 0]}), "index"),
    ],
)
def test_keys_are_found_where_they_are(items, key):
    assert item_keys(dataset(items), INDEX, key) == ["a", "b", "c"]


def test_a_dataset_without_items_has_keys_by_position():
    assert item_keys(OfPositions(), INDEX, lambda i: "abc"[i]) == ["a", "b", "c"]
    with pytest.raises(InputError, match="OfPositions has no items; give key= a function of the"):
        item_keys(OfPositions(), INDEX)


def test_the_first_column_of_a_table_of_features_is_no_key():
    frame = pd.DataFrame({"colour": ["a", "b", "c"]}, index=["c", "a", "b"])
    assert item_keys(dataset(frame, cont_names=[]), INDEX) == ["c", "a", "b"]


BOTH = pd.DataFrame({"key": ["b", "a", "c"]}, index=["a", "b", "c"])


@pytest.mark.parametrize(
    ("items", "key", "line"),
    [
        (BOTH, None, "both the items' column 'key' and their row labels fit; say which with key="),
        (BOTH, "name", "key='name': no such column of the items; they have: key"),
        (["a", "b"], "key", "key='key' names a column, but the items are no DataFrame"),
        (
            pd.DataFrame({"label": ["cat", "dog", "cat"]}),
            None,
            "column 'label' would be their keys, but 'cat' is there more than once; name the",
        ),
        (
            pd.DataFrame({"label": [0, 1, 2]}, index=["a", "b", "a"]),
            None,
            "row labels would be their keys, but 'a' is there more than once",
        ),
    ],
)
def test_what_could_be_two_things_or_none_is_refused(items, key, line):
    with pytest.raises(InputError, match=line):
        item_keys(dataset(items), INDEX, key)


def test_rows_that_repeat_on_purpose_are_taken_by_name():
    frame = pd.DataFrame({"key": ["a", "a", "c"]})
    assert item_keys(dataset(frame), INDEX, "key") == ["a", "a", "c"]


def test_soft_labels_stay_as_they_are_and_the_posts_frame_is_blended_seven_to_three():
    soft = SoftLabels(np.array(["a"], object), np.array([[0.5, 0.5]], np.float32), ("x", "y"), "t")
    assert as_soft_labels(soft) is soft
    frame = pd.DataFrame(
        {"y_true_x": [1, 0], "y_true_y": [0, 1], "y_pred_x": [0.5, 0.5], "y_pred_y": [0.5, 0.5]},
        index=["a", "b"],
    )
    made = as_soft_labels(frame)
    assert made.item.tolist() == ["a", "b"] and made.vocab == ("x", "y")
    np.testing.assert_allclose(made.targets, [[0.85, 0.15], [0.15, 0.85]])


@pytest.mark.parametrize("other", [np.eye(2), {"a": [1, 0]}, None])
def test_arrays_without_keys_are_refused(other):
    kind = type(other).__name__
    with pytest.raises(InputError, match=f"soft labels are {kind}; want SoftLabels with item keys"):
        as_soft_labels(other)
