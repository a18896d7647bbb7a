"""Tables get by default the classifier under which held-out labels are likeliest."""

import copy

import numpy as np
import pandas as pd
import pytest
import several_labels

from softfold.arrays import one_hot
from softfold.crossfit.plain import cross_fit
from softfold.data.corruption import corrupt
from softfold.data.table import LabelTable
from softfold.evaluation import average_precision
from softfold.issues import label_quality

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
from sklearn.datasets import load_breast_cancer

from softfold.job.comparing import compare
from softfold.trainers.choosing import choose_classifier
from softfold.trainers.estimator import Estimator


def table_of(data, given, valid=None):
    n, k = len(given), int(np.max(given)) + 1
    keys = np.array([str(i) for i in range(n)], dtype=object)
    valid = np.zeros(n, bool) if valid is None else valid
    return LabelTable(keys, np.asarray(given), tuple(map(str, range(k))), valid, data=data)


def squares(n=400, seed=0):
    """Classes that no plane divides."""
    x = np.random.default_rng(seed).uniform(-1, 1, (n, 3))
    return pd.DataFrame(x, columns=list("abc")), ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int)


def test_planes_are_divided_by_a_regression_and_squares_by_boosting():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(300, 3)) * [1, 100, 1e4], columns=list("abc"))
    plane = (x["a"] + x["b"] / 100 > 0).astype(int)
    assert choose_classifier(table_of(x, plane)).name.startswith("logistic regression")
    made = choose_classifier(table_of(*squares()))
    assert made.name == "boosting of small trees"
    assert made.line.startswith("classifier: boosting of small trees") and "C=0.1" in made.line


def test_wrong_labels_of_a_real_table_are_found_by_default():
    pixels, truth = load_breast_cancer(return_X_y=True)
    given = corrupt(truth, 0.2, seed=0)
    table = table_of(pd.DataFrame(pixels).rename(columns=str), given)
    oof = cross_fit(table, "estimator", seed=0)
    assert average_precision(1 - label_quality(table, oof), given != truth) > 0.9


def test_folds_and_final_models_have_one_classifier_that_the_hold_out_did_not_choose(monkeypatch):
    data, given = squares(500)
    valid = np.arange(500) >= 400
    trainer = Estimator()
    line = trainer.prepare(table_of(data, given, valid))
    turned = np.where(valid, 1 - given, given)
    assert line == Estimator().prepare(table_of(data, turned, valid)) is not None
    train = table_of(data, given, valid).train
    chosen = choose_classifier(train)
    assert chosen.line == line
    monkeypatch.setattr("softfold.trainers.estimator.choose_classifier", never)
    targets, first, rest = one_hot(train.given, 2), np.arange(200), np.arange(200, 400)
    [held] = trainer.fit_folds(train, [(first, rest)], targets, seed=0)
    by_hand = Estimator(chosen.make(train.data)).fit(train.take(first), targets[first], seed=0)
    np.testing.assert_array_equal(held, by_hand.predict(train.take(rest)))
    final = trainer.fit(train, targets, seed=0)
    by_hand = Estimator(chosen.make(train.data)).fit(train, targets, seed=0)
    np.testing.assert_array_equal(final.predict(train), by_hand.predict(train))


def never(_):
    pytest.fail("it is chosen already")


def test_the_classifier_of_each_class_is_chosen_once_for_all_folds(monkeypatch):
    tables = []
    monkeypatch.setattr(
        "softfold.trainers.estimator.choose_classifier",
        lambda table: tables.append(table) or choose_classifier(table),
    )
    cross_fit(several_labels.digits(n=200, n_holdout=0), "estimator", n_folds=3)
    assert len(tables) == 4


class Copying:
    """An engine whose tasks get a copy of what they share, as those of other processes do."""

    name = "copying"

    def run(self, tasks, shared, done, needs):
        for task in tasks:
            done(task, task.work(copy.deepcopy(shared), **task.own))


def test_models_that_are_trained_elsewhere_choose_nothing(monkeypatch):
    data, given = squares(300)
    table, chosen = table_of(data, given, np.arange(300) >= 240), []
    monkeypatch.setattr(
        "softfold.trainers.estimator.choose_classifier",
        lambda table: chosen.append(table) or choose_classifier(table),
    )
    compare(table, one_hot(table.train.given, 2), "estimator", seeds=2, engine=Copying())
    assert len(chosen) == 1


def test_many_classes_and_wide_features_are_not_boosted():
    rng = np.random.default_rng(0)
    for data, k in ((rng.normal(size=(800, 2)), 200), (rng.normal(size=(60, 300)), 3)):
        line = choose_classifier(table_of(data, np.arange(len(data)) % k)).line
        assert "logistic regression" in line and "boosting" not in line


def test_what_cannot_be_divided_or_read_gets_a_classifier_all_the_same():
    few = choose_classifier(table_of(np.eye(4), [0, 1, 0, 1]))
    assert few.name == "logistic regression, C=0.1" and "too few items" in few.line
    endless = np.c_[np.arange(12.0), np.full(12, np.inf)]
    odd = choose_classifier(table_of(endless, np.arange(12) // 2 % 2))
    assert odd.name == "boosting of small trees"  # which alone takes what is endless
    assert "logistic regression, C=0.1 -inf" in odd.line
