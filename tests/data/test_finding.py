"""Columns by their usual names: one that fits is taken, and several are said."""

import warnings

import pandas as pd
import pytest

from softfold.data.finding import LABEL_NAMES, usual_column
from softfold.data.reading import read_table
from softfold.errors import InputError


@pytest.mark.parametrize("names", [("Path", "LABEL"), ("Filename", "Class"), (" path ", "label")])
def test_capitals_of_names_do_not_matter(tmp_path, names):
    (tmp_path / "l.csv").write_text(",".join(names) + "\na.jpg,x\nb.jpg,y\n")
    table = read_table(tmp_path / "l.csv", check_files=False)
    assert table.item.tolist() == ["a.jpg", "b.jpg"] and table.vocab == ("x", "y")


def test_capitals_tell_where_nothing_else_does():
    assert usual_column(pd.DataFrame(columns=["Label", "label"]), LABEL_NAMES) == "label"
    assert usual_column(pd.DataFrame(columns=["Label", "LABEL"]), LABEL_NAMES) is None


def test_which_of_several_columns_is_the_label_is_said():
    frame = pd.DataFrame(
        {"label": list("ab"), "x": [1, 2], "Label": list("cd"), "class": list("ef")}
    )
    line = "column 'label' is taken for the labels; 'Label', 'class' could be too (--label says"
    with pytest.warns(UserWarning) as said:
        read_table(frame)
    assert line in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_table(frame, label="class").vocab == ("e", "f")
        exported = frame[["label"]].assign(path=["a.jpg", "b.jpg"], given=["b", "b"])
        read_table(exported, check_files=False)


@pytest.mark.parametrize("header", ["path|label", "path label", "path:label"])
def test_another_delimiter_is_said(tmp_path, header):
    (tmp_path / "l.csv").write_text(f"{header}\na.jpg|x\n")
    with pytest.raises(InputError) as refused:
        read_table(tmp_path / "l.csv")
    assert f"its only column is '{header}': fields are divided by commas" in str(refused.value)


def test_a_path_is_one_however_it_is_written():
    paths = ["a.jpg", "./a.jpg", "d//b.jpg", "d/./b.jpg", "../a.jpg"]
    frame = pd.DataFrame({"path": paths, "label": list("xxyyx")})
    with pytest.warns(UserWarning, match="2 rows repeat a path with the same label"):
        table = read_table(frame, check_files=False)
    assert table.item.tolist() == ["a.jpg", "d//b.jpg", "../a.jpg"]
    with pytest.raises(InputError, match=r"1 path in several rows with different labels; .* a.jpg"):
        read_table(frame.assign(label=list("xyyyx")), check_files=False)
    holdout = pd.DataFrame({"path": ["./a.jpg"], "label": ["x"]})
    with pytest.raises(InputError, match="1 item of the hold-out also in training"):
        read_table(frame[:3:2], check_files=False, holdout=holdout)
