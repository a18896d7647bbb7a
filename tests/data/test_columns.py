"""Names out of columns: two values never become one name, nothing is guessed."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.data.columns import holdout_rows, names_of
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


def test_a_split_that_is_missing_is_named():
    for missing in (None, np.nan, ""):
        column = pd.Series(["train", missing, "valid"], dtype=object, name="split")
        with pytest.raises(InputError, match=r"in row 1 \(counted from 0\), which names no split"):
            holdout_rows(column, "labels.csv")


@pytest.mark.parametrize(
    ("held", "rest"),
    [("yes", "no"), ("WAHR", "FALSCH"), ("VRAI", "FAUX"), ("VERDADERO", "FALSO"), ("1", "0")],
)
def test_a_split_as_spreadsheets_write_it(held, rest):
    column = pd.Series([rest, held, held], dtype=object, name="is_valid")
    assert holdout_rows(column, "labels.csv").tolist() == [False, True, True]
