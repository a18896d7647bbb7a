"""Positions of keys among keys and of names among names, however they were written."""

import numpy as np
import pandas as pd
import pytest

from softfold.align import find, match_columns
from softfold.align.keys import (
    RowIndex,
    as_keys,
    as_objects,
    match_rows,
    relative_path,
    some,
    sort_names,
    take_part,
    unique_names,
)
from softfold.errors import InputError


def test_keys_are_found_by_what_they_say():
    np.testing.assert_array_equal(find(["a", "b"], ["b", None, "a", "b"]), [1, -1, 0, 1])
    np.testing.assert_array_equal(match_rows([10, 11], ["11", "11"]), [1, 1])
    assert match_columns(["a", "b"], ("a", "b"), "soft labels") is None
    np.testing.assert_array_equal(match_columns(["a", "b"], ["b", "a"], "soft labels"), [1, 0])


def test_paths_below_the_root_are_found_however_they_are_spelled():
    index = RowIndex(["train/a.png", "train/b.png"], "/data")
    np.testing.assert_array_equal(index.rows(["/data/train/b.png", "./train/a.png"], ""), [1, 0])
    with pytest.raises(InputError, match=r"1 training item of 1 without a soft label.*'c.png'"):
        index.rows(["c.png"], "key= says where")
    with pytest.raises(InputError, match="1 of 2 repeat an earlier one; the first is 'a'"):
        RowIndex(["a", "a"])


@pytest.mark.parametrize(
    "wanted",
    [
        ["b", "a", "b"],
        ("b", "a", "b"),
        np.array(["b", "a", "b"]),
        pd.Series(["b", "a", "b"], index=[7, 8, 9]),
        pd.Index(["b", "a", "b"]),
    ],
    ids=lambda wanted: type(wanted).__name__,
)
def test_rows_are_found_in_whatever_holds_the_keys(wanted):
    assert match_rows(["a", "b", "c"], wanted).tolist() == [1, 0, 1]
    assert match_rows(wanted[:2], wanted[:2]).tolist() == [0, 1]


def test_a_key_that_is_not_there_is_named_with_what_it_is_called():
    with pytest.raises(InputError) as error:
        match_rows(["a"], ["a", "b", "c"], "not in the table", noun="row", before="x.csv: ")
    assert str(error.value) == "x.csv: 2 rows of 3 not in the table; the first is 'b'"
    with pytest.raises(InputError, match=r"1 item of 1 without a prediction; .* 'b': look again"):
        match_rows(["a"], ["b"], after=": look again")


def test_known_keys_may_not_repeat_unless_position_alone_decides():
    with pytest.raises(InputError, match=r"votes: keys: 1 of 3 repeat an earlier one; .* is 'a'"):
        match_rows(["a", "b", "a"], ["a"], before="votes: ")
    assert match_rows(["a", "a"], ["a", "a"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("own", "wanted", "line"),
    [
        (
            ["a", "b"],
            ["a", "c"],
            r"the predictions lack 'c' \(there are a, b\), and 'b' is no class of the label table",
        ),
        (["a", "b", "c"], ["a", "b"], r"the label table lacks 'c' \(there are a, b\)"),
        (["a", "a"], ["a", "b"], "classes of the predictions: 1 of 2 repeat .* 'a'"),
        (["a", "b"], ["b", "b"], "classes of the label table: 1 of 2 repeat .* 'b'"),
        (list("abcdefghij"), ["z"], r"lack 'z' \(there are .*h, \.\.\. \(10 in all\)\)"),
    ],
)
def test_classes_that_only_one_side_has_are_named_with_its_side(own, wanted, line):
    with pytest.raises(InputError, match=line):
        match_columns(own, wanted, "predictions")


def test_names_that_are_numbers_are_the_same_as_their_text():
    assert match_columns([1, 2], ["2", "1"], "predictions").tolist() == [1, 0]
    assert unique_names([1, "a"], "names") == ("1", "a")


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["10", "9", "a"], ("10", "9", "a")),
        (["1.5", "10"], ("1.5", "10")),
        (["b", "a", "b"], ("a", "b")),
        (["01", "1", "0"], ("0", "01", "1")),
        ([], ()),
    ],
)
def test_whole_numbers_go_by_value_and_all_else_by_text(names, ordered):
    assert sort_names(names) == ordered == sort_names(reversed(names))


def test_rows_in_order_without_a_gap_are_not_copied():
    values = np.arange(20.0).reshape(5, 4)
    assert np.shares_memory(take_part(values, np.array([1, 2, 3]), None), values)
    assert take_part(values, None, None) is values
    for rows in ([3, 1], [1, 3], [2, 2], []):
        part = take_part(values, np.array(rows, int), np.array([2, 0]))
        np.testing.assert_array_equal(part, values[rows][:, [2, 0]])


def test_keys_of_any_kind_are_text_and_tuples_stay_one_object():
    assert as_keys([1, "a", 2.5]).tolist() == ["1", "a", "2.5"]
    assert as_keys(np.array(["a", "b"])).tolist() == ["a", "b"]
    pairs = as_objects([("a", 1), ("b", 2)])
    assert pairs.shape == (2,) and pairs[1] == ("b", 2)


def test_two_keys_that_are_one_path_are_refused_when_paths_are_asked_for():
    index = RowIndex(["a.png", "/data/a.png"], "/data")
    assert index.get("a.png") == 0 and index.get("/data/a.png") == 1  # written exactly so
    with pytest.raises(InputError, match=r"'/data/a\.png' and another key are the same path"):
        index.get("./a.png")


def test_relative_paths_may_start_from_the_working_folder_where_that_is_clear(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    index = RowIndex(["cat/a.png", "photos/cat/b.png"], "photos")
    found = index.rows(["photos/cat/a.png", "cat/b.png", str(tmp_path / "photos/cat/b.png")], "")
    assert found.tolist() == [0, 1, 1]
    both = RowIndex(["a.png", "photos/a.png"], "photos")
    for key in ("photos/a.png", "./photos/a.png"):
        with pytest.raises(InputError, match=r"may start from .* write the keys as absolute"):
            both.get(key)
    (tmp_path / "photos" / "photos").mkdir(parents=True)
    inner = RowIndex(["a.png", "photos/b.png"], "photos")
    assert inner.get("photos/a.png") is None and inner.get(str(tmp_path / "photos/b.png")) is None
    assert inner.get(str(tmp_path / "photos/photos/b.png")) == 1


def test_a_folder_whose_name_only_begins_alike_is_another():
    assert relative_path("/data2/a.png", "/data") == "/data2/a.png"
    assert relative_path("/data/../data/b/../a.png", "/data") == "a.png"


def test_an_index_says_whether_it_knows_all():
    index = RowIndex([1, 2])
    assert index.knows(["1", "2"]) and not index.knows(["1", "3"])
    assert index.get("3") is None and index.rows([], "").tolist() == []


def test_few_names_are_all_told():
    assert some(["a", "b"]) == "a, b" and some([]) == ""
