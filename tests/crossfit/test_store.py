"""Finished folds on disk: taken again only where nothing that made them has changed."""

from dataclasses import replace

import numpy as np
import pytest
from small_tables import table_of

from softfold.crossfit.store import FoldStore, FoldTask, fold_fingerprint
from softfold.data.folds import plan_folds
from softfold.trainers import BaseTrainer

pytest.importorskip("safetensors")

P = np.array([[0.9, 0.1], [0.25, 0.75]], np.float32)


def task_of(repeat=0, fold=1, predict=(3, 5)):
    predict = np.array(predict)
    return FoldTask(repeat, fold, np.setdiff1d(np.arange(9), predict), predict, seed=0)


def test_a_finished_fold_comes_back_and_no_other(tmp_path):
    store = FoldStore(tmp_path / "folds", "these items")
    store.save(task_of(), P.astype(np.float64))
    again = store.load(task_of())
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, P)
    assert store.load(task_of(fold=2)) is None
    assert store.load(task_of(repeat=1)) is None


def test_a_fold_of_other_items_or_of_another_job_is_not_taken(tmp_path):
    store = FoldStore(tmp_path, "these items")
    store.save(task_of(), P)
    assert store.load(task_of(predict=(3, 6))) is None
    assert store.load(task_of(predict=(5, 3))) is None
    assert FoldStore(tmp_path, "other items").load(task_of()) is None


def test_a_fold_saved_again_takes_the_place_of_the_old_one(tmp_path):
    FoldStore(tmp_path, "before").save(task_of(), P)
    now = FoldStore(tmp_path, "after")
    now.save(task_of(), P[::-1])
    np.testing.assert_array_equal(now.load(task_of()), P[::-1])
    assert len(list(tmp_path.iterdir())) == 1


class Named(BaseTrainer):
    def __init__(self, setting=1):
        self.setting = setting

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        raise NotImplementedError


class Renamed(Named):
    name = "another"


TABLE = table_of(30)
MADE_OF = {
    "table": TABLE,
    "trainer": Named(),
    "plan": plan_folds(TABLE, 3),
    "targets": np.eye(3)[TABLE.train.given],
    "noise": None,
    "seed": 0,
}
TARGETS = MADE_OF["targets"].copy()
TARGETS[4] = [0.5, 0.5, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        {"table": replace(TABLE, data=TABLE.data + 1e-9)},
        {"table": replace(TABLE, vocab=("a", "b", "d"))},
        {"trainer": Named(setting=2)},
        {"trainer": Renamed()},
        {"plan": plan_folds(TABLE, 3, seed=1)},
        {"plan": plan_folds(TABLE, 4)},
        {"targets": TARGETS},
        {"noise": np.eye(3)},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_predictions_follow_from_changes_the_fingerprint(change):
    assert fold_fingerprint(**MADE_OF) != fold_fingerprint(**{**MADE_OF, **change})


def test_the_precision_that_targets_are_held_in_does_not():
    same = {
        "trainer": Named(),
        "plan": plan_folds(TABLE, 3),
        "targets": np.asfortranarray(MADE_OF["targets"], np.float32),
    }
    assert fold_fingerprint(**MADE_OF) == fold_fingerprint(**{**MADE_OF, **same})
    assert fold_fingerprint(**{**MADE_OF, "noise": np.eye(3)}) != fold_fingerprint(
        **{**MADE_OF, "noise": np.full((3, 3), 1 / 3)}
    )
