"""Reading several labels an item, from one cell or a column a class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softfold.data.several import SeveralLabels
from softfold.errors import InputError
from softfold.multilabel import read_table

LABELS = ["sea sky", "sea", "sky", "boat sea", "sky sea", "sky"]


@pytest.fixture
def frame():
    return pd.DataFrame({"x": np.arange(6) + 0.5, "labels": LABELS})


def test_a_cell_of_several_labels(frame, tmp_path):
    frame.to_csv(tmp_path / "l.csv", index=False)
    table = read_table(tmp_path / "l.csv", label_delim=" ")
    assert table.vocab == ("boat", "sea", "sky") and list(table.data) == ["x"]
    assert table.given.astype(int).tolist() == [
        [0, 1, 1],
        [0, 1, 0],
        [0, 0, 1],
        [1, 1, 0],
        [0, 1, 1],
        [0, 0, 1],
    ]
    commas = frame.assign(labels=frame["labels"].str.replace(" ", " , "))
    assert (read_table(commas, label_delim=",").given == table.given).all()
    lists = frame.assign(labels=frame["labels"].str.split())
    assert (read_table(lists).given == table.given).all()


def test_a_column_a_class(frame, tmp_path):
    table = read_table(frame, label_delim=" ")
    wide = pd.DataFrame(table.given.astype(int), columns=list(table.vocab)).assign(x=frame["x"])
    wide.to_csv(tmp_path / "w.csv", index=False)
    named = read_table(tmp_path / "w.csv", label=["sky", "boat", "sea"])
    assert named.vocab == ("sky", "boat", "sea") and list(named.data) == ["x"]
    assert (named.given == table.given[:, [2, 0, 1]]).all()
    none = wide.assign(boat=False, sea=False, sky=[True] + [False] * 5)
    assert read_table(none, label=["boat", "sea", "sky"]).given.sum() == 1


def test_beside_images_the_columns_of_0_and_1_are_the_classes(frame, tmp_path):
    from PIL import Image

    for i in range(6):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    wide = pd.DataFrame({"path": [f"{i}.png" for i in range(6)], "sea": [1, 1, 0, 1, 1, 0]})
    wide = wide.assign(sky=[1, 0, 1, 0, 1, 1], is_valid=[0, 0, 0, 0, 1, 1])
    wide.to_csv(tmp_path / "images.csv", index=False)
    with pytest.warns(
        UserWarning, match="2 columns of 0 and 1 are taken for the classes: sea, sky"
    ):
        table = read_table(tmp_path / "images.csv")
    assert table.vocab == ("sea", "sky") and table.kind == "image" and table.valid.sum() == 2
    spaced = frame.assign(path=wide["path"]).drop(columns="x")
    assert read_table(spaced, images=tmp_path, label_delim=" ").item.tolist() == list(wide["path"])


def test_hold_out_and_truth(frame):
    right = frame.assign(right=["sea sky", "sea", "sky", "boat sea", "sea sky", "sea"])
    later = pd.DataFrame({"x": [9.5, 10.5], "labels": ["sea", "boat sky"]})
    table = read_table(right, label_delim=" ", truth="right", holdout=later)
    assert table.valid.tolist() == [False] * 6 + [True] * 2
    assert table.truth[5].tolist() == [0, 1, 0]
    assert (table.truth[6:] == table.given[6:]).all(), "a hold-out's labels are its truth"
    wide = pd.DataFrame({"x": [0.5, 1.5], "a": [1, 0], "b": [1, 1], "ta": [1, 1], "tb": [0, 1]})
    both = read_table(wide, label=["a", "b"], truth=["ta", "tb"])
    assert both.truth.tolist() == [[True, False], [True, True]] and list(both.data) == ["x"]


def test_an_empty_truth_is_not_known(frame):
    right = frame.assign(right=["sea sky", None, "sky", " ", "sea sky", "sea"])
    truth = read_table(right, label_delim=" ", truth="right").truth
    assert truth[[0, 5]].tolist() == [[0, 1, 1], [0, 1, 0]]
    assert (truth[[1, 3]] == -1).all() and (truth[[0, 2, 4, 5]] >= 0).all()
    lists = right.assign(right=[["sea"], [], None, ["sky"], ["sky"], ["sky"]])
    assert read_table(lists, label_delim=" ", truth="right").truth[:3].max(axis=1).tolist() == [
        1,
        0,
        -1,
    ]
    wide = pd.DataFrame({"x": [0.5, 1.5], "a": [1, 0], "b": [1, 1], "ta": [1, None], "tb": [0, 1]})
    table = read_table(wide, label=["a", "b"], truth=["ta", "tb"])
    assert table.truth.tolist() == [[1, 0], [-1, -1]]
    assert table.of_class("a").truth.tolist() == [1, -1] and "wrong, by" in table._repr_html_()


def test_the_label_columns_of_a_hold_out_are_those_asked_for():
    wide = pd.DataFrame({"x": [0.5, 1.5], "a": [1, 0], "b": [1, 1]})
    later = pd.DataFrame({"x": [2.5, 3.5], "a": [1, 1], "b": [1, 0], "ra": [0, 1], "rb": [1, 1]})
    how = {"label": ["a", "b"], "holdout": later.assign(right=["b", "a b"])}
    for column in (["ra", "rb"], "right"):
        table = read_table(wide, holdout_label=column, label_delim=" ", **how)
        assert table.given[2:].tolist() == [[False, True], [True, True]], column
    cells = pd.DataFrame({"x": [0.5, 1.5], "labels": ["a", "a b"]})
    later = later[["x", "a", "b"]]
    table = read_table(cells, label_delim=" ", holdout=later, holdout_label=["a", "b"])
    assert table.given[2:].tolist() == [[True, True], [True, False]]


def test_cells_of_lists_may_have_a_word_or_nothing_among_them(frame):
    lists = frame.assign(labels=[["sea", "sky"], "sea", ["sky", None], ["boat"], None, ["sky", ""]])
    with pytest.warns(UserWarning, match="1 item has no label in the cell"):
        table = read_table(lists)
    assert table.vocab == ("boat", "sea", "sky")
    assert table.given.sum(axis=1).tolist() == [2, 1, 1, 1, 0, 1]
    written = frame.assign(labels=[str(cell.split()) for cell in LABELS])
    with pytest.raises(InputError, match=r"lists written as text, such as .*'sea', 'sky'"):
        read_table(written, label_delim=" ")


def test_labels_that_are_left_out_or_named_are_shown_as_they_were_written(frame, tmp_path):
    files = frame.drop(columns="x").assign(path=[f"{i}.png" for i in range(6)])
    for i in range(1, 6):
        (tmp_path / f"{i}.png").touch()
    table = read_table(files, images=tmp_path, label_delim=" ", on_error="skip")
    assert [each.label for each in table.left_out] == ["sea sky"]
    with pytest.raises(InputError, match="a column cannot name the classes"):
        read_table(frame.assign(title=LABELS), label_delim=" ", names="title")


def test_an_empty_cell_is_no_class_and_is_said(frame):
    frame.loc[2, "labels"] = None
    with pytest.warns(UserWarning, match="1 item has no label in the cell"):
        table = read_table(frame, label_delim=" ")
    assert not table.given[2].any() and len(table) == 6


def test_another_delimiter_than_is_there_is_warned_of():
    frame = pd.DataFrame({"x": np.arange(8) + 0.5, "labels": [*LABELS, "boat sky", "boat"]})
    with pytest.warns(SeveralLabels, match="label_delim=' '"):
        assert "sea sky" in read_table(frame, label_delim=";").vocab


def test_what_cannot_be_read_is_one_line(frame, tmp_path):
    with pytest.raises(InputError, match="say what stands between the labels of a cell such as"):
        read_table(frame)
    with pytest.raises(InputError, match="the first is 'plane'"):
        later = pd.DataFrame({"x": [9.5], "labels": ["plane"]})
        read_table(frame, label_delim=" ", holdout=later)
    wide = pd.DataFrame({"x": [0.5, 1.5], "a": [1, 2], "b": [1, 1]})
    with pytest.raises(InputError, match="column 'a' of a class holds '2' in row 1"):
        read_table(wide, label=["a", "b"])
    with pytest.raises(InputError, match="no column 'c' \\(label\\)"):
        read_table(wide, label=["a", "c"])
    with pytest.raises(InputError, match="which columns are the classes"):
        read_table(wide)
    with pytest.raises(InputError, match="a folder has one label an item"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="label_delim is empty"):
        read_table(frame, label_delim="")
    with pytest.raises(InputError, match="no column 'right' \\(truth\\)"):
        read_table(frame, label_delim=" ", truth="right")


def test_a_column_of_the_same_labels_is_no_feature(frame):
    given = read_table(frame, label_delim=" ").given
    beside = frame.assign(
        right=["sky sea", "sea", "sky", "boat", "sea", "sky"], word=list("abcdef")
    )
    with pytest.warns(UserWarning, match="'right' holds the same labels"):
        table = read_table(beside, label_delim=" ")
    assert list(table.data) == ["x", "word"] and (table.given == given).all()
