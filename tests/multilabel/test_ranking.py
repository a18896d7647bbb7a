"""Issues by item and class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from several_labels import answers

from softfold import multilabel
from softfold.errors import InputError
from softfold.evaluation import average_precision


def test_wrong_labels_of_all_classes_come_first():
    truth, given, p = answers()
    keys = [f"i{i}" for i in range(len(given))]
    labels = pd.DataFrame(given, columns=list("abcd"), index=keys)
    issues = multilabel.rank_issues(labels, p)
    assert list(issues.columns) == ["index", "item", "class", "given", "suggested", "suspicion"]
    assert len(issues) == given.size and not issues.duplicated(["index", "class"]).any()
    assert (np.diff(issues["suspicion"]) <= 0).all()
    classes = issues["class"].map("abcd".index).to_numpy()
    rows = issues["index"].to_numpy()
    assert (issues["item"] == np.array(keys)[rows]).all()
    assert (issues["given"] == given[rows, classes]).all()
    assert (issues["suggested"] == 1 - issues["given"]).all()
    wrong = (truth != given)[rows, classes]
    order = -np.arange(len(wrong), dtype=float)
    plain = np.where(given, 1 - p, p)
    assert average_precision(order, wrong) > average_precision(
        plain.ravel(), (truth != given).ravel()
    )
    few = multilabel.rank_issues(labels, p, top=40)
    pd.testing.assert_frame_equal(few, issues.head(40))


def test_classes_without_names_are_numbers_and_equal_suspicions_take_turns():
    _, given, p = answers()
    sure = np.where(given[:, :1], 1 - 1e-9, 1e-9)
    given, p = np.hstack([given[:, :1]] * 2), np.hstack([sure, sure])
    given[:3] = ~given[:3]
    issues = multilabel.rank_issues(given, p, top=6)
    assert "item" not in issues
    assert sorted(issues["index"]) == [0, 0, 1, 1, 2, 2]
    assert issues["class"].tolist() == [0, 1] * 3


def test_a_negative_top_is_refused():
    _, given, p = answers(n=50)
    with pytest.raises(InputError, match="top is -1"):
        multilabel.rank_issues(given, p, top=-1)
