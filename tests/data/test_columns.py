"""Names and numbers out of columns: two values never become one name, nothing is guessed."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.data.columns import holdout_rows, names_of, read_numbers
from softfold.errors import InputError

VALUE = st.one_of(
    st.sampled_from(["01", "1", "1.0", "NA", "None", "true", "True", " cat", "cat"]),
    st.text(max_size=5),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=3),
    st.dates(min_value=datetime.date(1900, 1, 1)),
)


def same(a, b):
    """Equal, and of kinds that are written alike: 1 and 1.0 are, 1 and True are not."""
    kinds = [(isinstance(v, bool), isinstance(v, bytes)) for v in (a, b)]
    return a == b and kinds[0] == kinds[1]


@given(values=st.lists(VALUE, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_names_are_the_same_where_the_values_are_and_only_there(values):
    column = pd.Series(values, dtype=object)
    try:
        names = names_of(column)
    except InputError as error:
        assert "\n" not in str(error)
        return
    missing = column.isna()
    assert [n is None for n in names] == missing.tolist()
    for i in np.flatnonzero(~missing):
        assert isinstance(names[i], str)
        if isinstance(values[i], str):
            assert names[i] == values[i]
        for j in np.flatnonzero(~missing):
            assert (names[i] == names[j]) == same(values[i], values[j])


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


def test_a_split_that_is_missing_is_named():
    for missing in (None, np.nan, ""):
        column = pd.Series(["train", missing, "valid"], dtype=object, name="split")
        with pytest.raises(InputError, match="in row 1, which names no split"):
            holdout_rows(column, "labels.csv")
