"""Cells as numbers: read where all are, and said where a few are not."""

import re
import warnings

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.data.delimited import read_delimited
from softfold.data.numbers import TakenAsText, read_numbers
from softfold.errors import InputError


def numbers_of(tmp_path, text):
    (tmp_path / "l.csv").write_text(text)
    return read_numbers(read_delimited(tmp_path / "l.csv"), "l.csv")


@given(cells=st.lists(st.one_of(st.none(), st.text(max_size=6)), min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_cell_is_read_as_its_number_or_stays_as_written(cells):
    cells = [c or None for c in cells]
    made = read_numbers(pd.DataFrame({"x": pd.Series(cells, dtype=object)}))["x"]
    if made.dtype == object:
        assert [None if pd.isna(c) else c for c in made] == cells
        return
    for cell, number in zip(cells, made, strict=True):
        if cell is not None and not pd.isna(number) and not pd.api.types.is_bool_dtype(made):
            truth = {"true": 1, "false": 0}.get(cell.lower(), cell)
            assert float(truth) == pytest.approx(number, rel=1e-14)


def test_a_long_column_with_one_word_at_its_end_stays_text():
    cells = pd.Series([*map(str, range(500)), "none left"], dtype=object)
    assert read_numbers(pd.DataFrame({"x": cells}))["x"].tolist() == cells.tolist()


def test_one_bad_cell_of_a_number_column_is_said_with_its_line(tmp_path):
    rows = [f"{i},{i / 7}" for i in range(400)]
    rows[10], rows[250] = '10,"two\nlines"', "250,#REF!"
    with pytest.warns(TakenAsText) as said:
        data = numbers_of(tmp_path, "n,x\n" + "\n".join(rows) + "\n")
    assert data["n"].dtype == int and data["x"].dtype == object
    (line,) = (str(w.message) for w in said)
    assert line == (
        "l.csv: column 'x' is taken as text, each value a category, since 2 of 400 cells are no "
        "numbers; the first is 'two\\nlines' in line 12: mend such cells or leave them empty"
    )
    rows[10] = "10,1"
    with pytest.warns(TakenAsText, match="1 of 400 cells is no number; the first is .#REF!"):
        numbers_of(tmp_path, "n,x\n" + "\n".join(rows) + "\n")


def test_a_sign_between_thousands_is_said(tmp_path):
    with pytest.warns(TakenAsText, match="'1,500' in line 3: .*write thousands without a sign"):
        numbers_of(tmp_path, 'x\n900\n"1,500"\n7\n8\n')


def test_truths_but_for_one_are_said(tmp_path):
    with pytest.warns(TakenAsText, match="1 of 3 cells is neither true nor false; .*'maybe' in l"):
        numbers_of(tmp_path, "x\ntrue\nfalse\nmaybe\n")


@pytest.mark.parametrize("cells", [["red", "blue", "1"], ["NA", "NA", "red"], ["1", "2", "NA"]])
def test_columns_of_words_and_whole_columns_of_numbers_say_nothing(tmp_path, cells):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers_of(tmp_path, "x,y\n" + "".join(f"{c},1\n" for c in cells))


@pytest.mark.parametrize("order", [("1,500", "1.5"), ("1.5", "1,500")])
def test_two_decimal_signs_in_a_column_are_refused(tmp_path, order):
    lines = {cell: i + 2 for i, cell in enumerate(order)}
    line = (
        f"l.csv: column 'x' has numbers with a decimal comma (1,500 in line {lines['1,500']}) and "
        f"numbers with a decimal point (1.5 in line {lines['1.5']}): write all"
    )
    with pytest.raises(InputError, match=re.escape(line)):
        numbers_of(tmp_path, f"x;y\n{order[0]};1\n{order[1]};1\n")


def test_one_decimal_sign_is_read_as_it_is(tmp_path):
    data = numbers_of(tmp_path, "x;y\n1,500;1.5\n2;2\n")
    assert data["x"].tolist() == [1.5, 2] and data["y"].tolist() == [1.5, 2]
