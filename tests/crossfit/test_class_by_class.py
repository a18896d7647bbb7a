"""The noise-aware cross-fit of items with several labels."""

from __future__ import annotations

import numpy as np
import pytest
from several_labels import digits

import softfold
from softfold import multilabel
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.trainers import create_trainer

pytest.importorskip("sklearn")
pytest.importorskip("torch")
LINEAR = create_trainer("estimator", arch="sklearn.linear_model.LogisticRegression")


def logistic(table, targets):
    from sklearn.linear_model import LogisticRegression

    models = [LogisticRegression(C=0.1).fit(table.data, t > 0.5) for t in targets.T]
    return lambda other: np.stack([m.predict_proba(other.data)[:, 1] for m in models], axis=1)


def log_loss(has, truth):
    return -np.log(np.where(truth, has, 1 - has).clip(1e-4)).mean()


@pytest.mark.parametrize("trainer", ["probe", "estimator", logistic])
def test_soft_labels_come_nearer_to_the_truth_than_from_plain_predictions(trainer):
    table = digits()
    truth = table.train.truth
    made = noise_aware_cross_fit(table, trainer, n_folds=3)
    assert made.oof.multi_label and made.plain.multi_label
    aware = multilabel.soften(table, made.oof, noise=made.noise)
    plain = multilabel.soften(table, made.plain)
    assert log_loss(aware.targets, truth) < log_loss(plain.targets, truth)
    assert {entry["class"] for entry in made.rounds} == set(table.vocab)
    wrong = (table.train.given != truth).mean(axis=0)
    ends = np.array([model.rate_interval for model in made.noise.models])
    assert ((ends[:, 0] <= wrong) & (wrong <= ends[:, 1])).mean() >= 0.75
    assert "missing where it is" in made._repr_html_()


def test_a_class_is_the_question_that_it_would_be_alone():
    table = digits(n=500).train
    plan = softfold.plan_folds(table, 3)
    together = noise_aware_cross_fit(table, LINEAR, plan)
    alone = noise_aware_cross_fit(table.of_class("loop"), LINEAR, plan)
    assert np.allclose(together.oof.probabilities[:, 1], alone.oof.probabilities[:, 1], atol=1e-5)
    assert together.noise["loop"].rate == pytest.approx(alone.noise.rate, abs=1e-4)


def test_a_class_of_one_item_keeps_its_plain_predictions(tmp_path):
    pytest.importorskip("safetensors")
    table = digits(n=400).train
    given = table.given.copy()
    given[:, 3] = np.arange(len(given)) == 5
    lonely = multilabel.MultiLabelTable(
        table.item, given, table.vocab, table.valid, data=table.data
    )
    made = noise_aware_cross_fit(lonely, LINEAR, n_folds=3, out=tmp_path)
    assert (made.oof.probabilities[:, 3] == made.plain.probabilities[:, 3]).all()
    again = noise_aware_cross_fit(lonely, LINEAR, n_folds=3, out=tmp_path)
    assert np.array_equal(again.oof.probabilities, made.oof.probabilities)
    again.oof.save(tmp_path / "oof.safetensors")
    assert type(again.oof).load(tmp_path / "oof.safetensors").multi_label


def test_neighbours_are_found_once_for_all_classes_and_seeds_reach_all(monkeypatch):
    from softfold.crossfit import class_by_class, neighbours, noise_aware

    found, seeds = [], set()
    nearest, estimate = neighbours.nearest, class_by_class.estimate_checked
    monkeypatch.setattr(neighbours, "nearest", lambda *a: found.append(1) or nearest(*a))

    def seen(*args, seed=None, **how):
        seeds.add(seed)
        return estimate(*args, seed=seed, **how)

    monkeypatch.setattr(class_by_class, "estimate_checked", seen)
    table = digits(n=500).train
    given = table.given.copy()
    given[:, 3] = np.arange(len(given)) == 5
    table = multilabel.MultiLabelTable(table.item, given, table.vocab, table.valid, data=table.data)
    made = noise_aware.noise_aware_cross_fit(table, "probe", n_folds=3, seed=7)
    assert sum(entry["start"] == "neighbours" for entry in made.rounds) > 1
    assert len(found) == 1 and seeds == {7}
