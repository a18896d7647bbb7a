"""Out-of-fold predictions: rows with the folds that made them, kept with keys and classes."""

from dataclasses import replace

import numpy as np
import pytest
from small_tables import table_of

from softfold.crossfit.oof import OutOfFold
from softfold.data.folds import plan_folds
from softfold.errors import InputError

TABLE = table_of(40)
PLAN = plan_folds(TABLE, 4, repeats=2)


def oof_of(plan=PLAN, table=TABLE):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), len(table.train)).astype(np.float32)
    return OutOfFold(table.train.item, p, plan.fold, table.vocab)


def test_a_file_carries_keys_folds_and_classes(tmp_path):
    pytest.importorskip("safetensors")
    oof = oof_of()
    oof.save(tmp_path / "oof.safetensors")
    again = OutOfFold.load(tmp_path / "oof.safetensors", PLAN)
    assert (again.item == oof.item).all() and again.vocab == oof.vocab
    assert (again.fold == oof.fold).all() and (again.probabilities == oof.probabilities).all()


def test_a_file_of_other_folds_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    oof_of().save(tmp_path / "oof.safetensors")
    with pytest.raises(InputError, match="not of this fold plan"):
        OutOfFold.load(tmp_path / "oof.safetensors", plan_folds(TABLE, 4, repeats=2, seed=1))


def test_keys_and_classes_of_any_letters_come_back(tmp_path):
    pytest.importorskip("safetensors")
    item = np.array(["bild é.png", "", "猫/1", "a\nb"], dtype=object)
    p = np.full((4, 2), 0.5, np.float32)
    OutOfFold(item, p, np.zeros((4, 1), np.int16), ("ja", "näin")).save(tmp_path / "oof")
    again = OutOfFold.load(tmp_path / "oof")
    assert again.item.tolist() == item.tolist() and again.vocab == ("ja", "näin")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"vocab": ("a", "b")}, r"shape \(\d+, 3\) for \d+ items and 2 classes: want \(\d+, 2\)"),
        ({"item": TABLE.train.item[:-1]}, "out-of-fold predictions of shape"),
        ({"fold": PLAN.fold - 1}, "rows that no fold held out"),
        ({"fold": PLAN.fold[:-1]}, "rows that no fold held out"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, line):
    with pytest.raises(InputError, match=line):
        replace(oof_of(), **change)


@pytest.mark.parametrize("other", [{"repeats": 1}, {"repeats": 2, "seed": 5}])
def test_predictions_are_only_of_the_plan_that_made_them(other):
    oof_of().check(PLAN)
    with pytest.raises(InputError, match="items or folds differ"):
        oof_of().check(plan_folds(TABLE, 4, **other))


def test_numpy_takes_them_as_their_probabilities():
    oof = oof_of()
    assert np.shares_memory(np.asarray(oof), oof.probabilities)
    assert np.asarray(oof, dtype=np.float64).dtype == np.float64
    assert len(oof) == len(TABLE.train)
