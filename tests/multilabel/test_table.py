"""Tables of items with several labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from several_labels import digits

from softfold.data.folds import draw_holdout, plan_folds
from softfold.errors import InputError
from softfold.multilabel import MultiLabelTable
from softfold.multilabel.table import rarest

pytest.importorskip("sklearn")


def test_parts_and_questions_keep_items_together_with_their_labels():
    table = digits()
    train = table.train
    assert isinstance(train, MultiLabelTable) and train.given.shape == (900, 4)
    nine = table.of_class("nine")
    assert nine.vocab == ("not nine", "nine") and nine.data is table.data
    assert (nine.given == table.given[:, 3]).all() and (nine.truth == table.truth[:, 3]).all()
    assert "900 training items, 300 in the hold-out, 4 classes, 1." in repr(table)
    assert "wrong, by the truth" in table._repr_html_()
    with pytest.raises(InputError, match="no class 'ten'"):
        table.of_class("ten")


@pytest.mark.parametrize("seed", range(3))
def test_folds_and_hold_outs_have_equal_shares_of_rare_classes(seed):
    table = digits().train
    given = table.given.copy()
    given[:, 3] = np.arange(len(given)) % 90 == seed  # 10 items, that have other labels too
    table = replace(table, given=given)
    for n_folds in (5, 10):
        plan = plan_folds(table, n_folds, seed=seed)
        nines = np.bincount(plan.fold[given[:, 3], 0], minlength=n_folds)
        assert (nines == 10 // n_folds).all(), "the rarest class"
    drawn = draw_holdout(table, 0.2, seed=seed)
    assert drawn.given[drawn.valid, 3].sum() == 2


def test_an_item_is_known_by_the_rarest_class_that_it_has():
    given = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=bool)
    assert rarest(given).tolist() == [2, 1, 0, 3, 3, 2]


def test_labels_of_another_shape_or_kind_are_refused():
    keys, no = np.array(["a", "b"], dtype=object), np.zeros(2, bool)
    with pytest.raises(InputError, match=r"given has shape \(2,\); want \(2, 2\)"):
        MultiLabelTable(keys, np.array([0, 1]), ("x", "y"), no)
    with pytest.raises(InputError, match="given holds other values than 0 and 1"):
        MultiLabelTable(keys, np.array([[0, -1], [1, 1]]), ("x", "y"), no)
    with pytest.raises(InputError, match="truth holds other values than -1, 0 and 1"):
        MultiLabelTable(keys, np.eye(2), ("x", "y"), no, truth=np.array([[0, -1], [1, 2]]))
