"""Any trainer, class by class."""

from __future__ import annotations

import numpy as np
import pytest
from several_labels import digits

import softfold
from softfold.errors import InputError
from softfold.multilabel import mean_average_precision
from softfold.trainers import create_trainer, load_model
from softfold.trainers.per_class import PerClass, for_multi_label

pytest.importorskip("sklearn")
LINEAR = create_trainer("estimator", arch="sklearn.linear_model.LogisticRegression")


def logistic(table, targets):
    from sklearn.linear_model import LogisticRegression

    models = [LogisticRegression(C=0.1).fit(table.data, t > 0.5) for t in targets.T]
    return lambda other: np.stack([m.predict_proba(other.data)[:, 1] for m in models], axis=1)


@pytest.mark.parametrize("trainer", ["probe", "estimator", logistic])
def test_out_of_fold_predictions_know_the_truth_of_every_class(trainer):
    if trainer == "probe":
        pytest.importorskip("torch")
    table = digits()
    oof = softfold.cross_fit(table, trainer, n_folds=3)
    assert oof.multi_label and oof.vocab == table.vocab and "multi-label" in repr(oof)
    assert mean_average_precision(oof.probabilities, table.train.truth) > 0.85
    assert np.abs(oof.probabilities.sum(axis=1) - 1).max() > 0.1


def test_a_class_is_learned_as_it_would_be_alone():
    table = digits().train
    plan = softfold.plan_folds(table, 3)
    together = softfold.cross_fit(table, LINEAR, plan)
    alone = softfold.cross_fit(table.of_class("loop"), LINEAR, plan)
    assert np.allclose(together.probabilities[:, 1], alone.probabilities[:, 1], atol=1e-6)


def test_a_class_that_a_fold_never_sees_has_its_share_predicted():
    table = digits().train
    given = table.given.copy()
    given[:, 3] = False
    given[5, 3] = True
    lonely = type(table)(table.item, given, table.vocab, table.valid, data=table.data)
    oof = softfold.cross_fit(lonely, LINEAR, n_folds=3)
    fold = oof.fold[5, 0]
    assert np.unique(oof.probabilities[oof.fold[:, 0] == fold, 3]).size == 1
    assert oof.probabilities[:, 3].max() < 0.5


def test_soft_targets_reach_each_class():
    table = digits()
    train, trainer = table.train, PerClass(LINEAR)
    soft = np.where(train.truth, 0.9, 0.1).astype(np.float32)
    right = trainer.fit(train, soft, seed=0).predict(table.holdout)
    given = trainer.fit(train, train.given.astype(np.float32), seed=0).predict(table.holdout)
    truth = table.holdout.truth
    assert mean_average_precision(right, truth) > mean_average_precision(given, truth)


def test_trainers_of_one_label_say_so():
    with pytest.raises(InputError, match="the trainer 'finetune' learns one label an item"):
        for_multi_label(create_trainer("finetune"))
    with pytest.raises(InputError, match="items of this table have several"):
        softfold.cross_fit(digits(), "estimator", noise=np.eye(4))


def test_a_function_must_give_a_probability_a_class():
    def odd(table, targets):
        return lambda other: np.full((len(other), 4), 1.5)

    with pytest.raises(InputError, match="hold what is outside 0"):
        softfold.cross_fit(digits(), odd)


def test_a_probe_of_several_classes_is_one_model_that_is_kept(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    table = digits(n=300)
    targets = table.train.given.astype(np.float32)
    targets[:, 1] = 0
    probe = create_trainer("probe")
    made = PerClass(probe).fit(table.train, targets, seed=0)
    made.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", {"trainer": "probe"})
    for model in (made, again):
        p = model.predict(table.holdout)
        assert np.allclose(p[:, 1], 0.5 / 301, atol=1e-5)
        for k in (0, 3):
            two = np.stack([1 - targets[:, k], targets[:, k]], axis=1)
            alone = probe.fit(table.train.of_class(table.vocab[k]), two, seed=0)
            assert np.allclose(p[:, k], alone.predict(table.holdout)[:, 1], atol=1e-5)
    with pytest.raises(InputError, match="nothing to learn"):
        PerClass(probe).fit(table.train, np.zeros_like(targets), seed=0)
