"""Several labels an item beside predictions: rows by key, columns by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softfold.align.multilabel import align_multi_label
from softfold.errors import InputError
from softfold.multilabel import MultiLabelTable

GIVEN = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0]])
P = np.array([[0.9, 0.1, 0.8], [0.2, 0.3, 0.1], [0.7, 0.6, 0.4]])
KEYS = np.array(["i", "j", "k"], dtype=object)
TABLE = MultiLabelTable(KEYS, GIVEN, ("a", "b", "c"), np.array([False, True, False]))
PREDICTED = pd.DataFrame(P, index=KEYS, columns=list("abc")).loc[["k", "i", "j"], list("cab")]


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        (TABLE, [0, 2]),
        (pd.DataFrame(GIVEN, index=KEYS, columns=list("abc")), [0, 1, 2]),
        (pd.DataFrame(GIVEN.astype(bool), index=KEYS, columns=list("abc")).iloc[::-1], [2, 1, 0]),
    ],
)
def test_what_has_keys_and_names_is_matched_by_them(labels, rows):
    both = align_multi_label(labels, PREDICTED)
    assert both.item.tolist() == KEYS[rows].tolist() and both.vocab == ("a", "b", "c")
    assert (both.labels == GIVEN[rows]).all() and (both.probabilities == P[rows]).all()


def test_positions_decide_where_nothing_else_does():
    both = align_multi_label(GIVEN, P, vocab=["x", "y", "z"])
    assert both.item is None and both.vocab == ("x", "y", "z")
    assert (align_multi_label(TABLE, P).probabilities == P[[0, 2]]).all(), "of all items"
    named = align_multi_label(
        pd.DataFrame(GIVEN, index=KEYS, columns=list("abc")), P, vocab=["c", "b", "a"]
    )
    assert (named.labels == GIVEN[:, ::-1]).all()


@pytest.mark.parametrize(
    ("labels", "predictions", "line"),
    [
        (GIVEN * 2, P, "labels: 4 of 9 are neither 0 nor 1; the first is 2 of row 0, class 0"),
        (GIVEN[0], P, "expected 0 and 1 of shape"),
        (GIVEN.astype(str), P, "expected 0 and 1, got dtype"),
        (GIVEN[:2], P, "labels of shape .2, 3. and predictions of shape .3, 3."),
        (GIVEN, P * 2, "hold what is outside 0..1; the first is row 0"),
        (GIVEN, np.full((3, 3), np.nan), "3 of 3 rows hold what is outside 0..1"),
        (GIVEN, None, "probabilities are missing"),
        (TABLE, PREDICTED.drop(index="k"), "1 training item of 2 without a prediction"),
        (TABLE, PREDICTED.rename(columns={"c": "d"}), "lacks 'c'|lack 'c'"),
        (GIVEN, PREDICTED, "have item keys .*'k'.* and the labels have none"),
        ([[1, 0], [1]], P, "its rows differ in length"),
    ],
)
def test_what_does_not_fit_is_one_line(labels, predictions, line):
    with pytest.raises(InputError, match=line):
        align_multi_label(labels, predictions)
