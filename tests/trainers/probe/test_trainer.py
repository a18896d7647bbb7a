"""The probe: right solutions, a strength chosen without truth, rule 2, save and load."""

# ruff: noqa: E402

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
from sklearn.datasets import load_digits

from softfold import cross_fit, plan_folds
from softfold.arrays import one_hot
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images
from softfold.trainers.probe import Probe, load


def digits(wrong: float = 0.0, seed: int = 0, data=None) -> LabelTable:
    x, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    valid = rng.random(len(truth)) < 0.3
    given = truth.copy()
    flip = (rng.random(len(truth)) < wrong) & ~valid
    given[flip] = (truth[flip] + rng.integers(1, 10, flip.sum())) % 10
    return LabelTable(
        item=np.array([str(i) for i in range(len(truth))], dtype=object),
        given=given,
        vocab=tuple("0123456789"),
        valid=valid,
        truth=truth,
        data=x.astype(np.float32) if data is None else data(x),
    )


@pytest.mark.parametrize("noise", [None, 0.9 * np.eye(10) + 0.01])
def test_no_row_is_predicted_by_a_model_that_saw_its_label(noise):
    """Another label of an item changes what is predicted for others, never for itself."""
    table = digits().train
    folds = plan_folds(table, 3).splits(0)
    targets = one_hot(table.given, 10)
    changed = targets.copy()
    fold = folds[1][1]
    changed[fold] = np.roll(changed[fold], 1, axis=1)
    before, after = (
        list(Probe(strength=0.1).fit_folds(table, folds, each, seed=0, noise=noise))
        for each in (targets, changed)
    )
    ratio = np.log(before[1] / before[1].max(1, keepdims=True))
    again = np.log(after[1] / after[1].max(1, keepdims=True))
    # One temperature is shared, so that logits may be scaled, all alike.
    scale = (ratio * again).sum() / (ratio * ratio).sum()
    np.testing.assert_allclose(again, scale * ratio, atol=0.05 * abs(ratio).max())
    assert (before[0].argmax(1) != after[0].argmax(1)).mean() > 0.1


def test_the_strength_grows_with_the_noise_and_predictions_are_calibrated():
    strengths = []
    for wrong in (0.0, 0.4):
        table, probe = digits(wrong), Probe()
        oof = cross_fit(table, probe, seed=0)
        strengths.append(probe.chosen_strength)
        train = table.train
        own = oof.probabilities[np.arange(len(train)), train.given].mean()
        assert own == pytest.approx((oof.probabilities**2).sum(1).mean(), abs=0.05)
    assert strengths[1] > strengths[0]


def test_training_through_the_noise_mends_structured_noise():
    table = digits()
    rng = np.random.default_rng(0)
    flip = (rng.random(len(table)) < 0.4) & ~table.valid
    given = np.where(flip, (table.truth + 1) % 10, table.truth)
    table = LabelTable(table.item, given, table.vocab, table.valid, table.truth, data=table.data)
    T = 0.6 * np.eye(10) + 0.4 * np.roll(np.eye(10), 1, axis=1)
    train, holdout = table.train, table.holdout
    score = {}
    for name, noise in (("plain", None), ("through", T)):
        model = Probe().fit(train, one_hot(train.given, 10), seed=0, noise=noise)
        score[name] = (model.predict(holdout).argmax(1) == holdout.truth).mean()
    assert score["through"] > score["plain"] + 0.05
    assert score["through"] > 0.93


def test_soft_targets_train_as_their_expected_label():
    table = digits(0.3)
    train, holdout = table.train, table.holdout
    soft = 0.9 * one_hot(train.truth, 10) + 0.01
    model = Probe().fit(train, soft.astype(np.float32), seed=0)
    assert (model.predict(holdout).argmax(1) == holdout.truth).mean() > 0.93


def test_the_hold_out_takes_no_part():
    table = digits(0.2)
    train, targets = table.train, one_hot(table.train.given, 10)
    a = Probe().fit(train, targets, seed=0, holdout=table.holdout)
    b = Probe().fit(train, targets, seed=0)
    np.testing.assert_array_equal(a.weight, b.weight)


def test_save_and_load(tmp_path):
    table = digits(data=lambda x: pd.DataFrame(x, columns=[f"pixel {i}" for i in range(64)]))
    model = Probe(strength=0.1).fit(table.train, one_hot(table.train.given, 10), seed=0)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    shuffled = table.holdout
    columns = list(shuffled.data.columns)[::-1]
    object.__setattr__(shuffled, "data", shuffled.data[columns])
    np.testing.assert_allclose(again.predict(shuffled), model.predict(table.holdout), atol=1e-6)
    assert again.vocab == table.vocab
    with pytest.raises(InputError, match="no such model file"):
        load(tmp_path / "none.safetensors")


@pytest.fixture
def shown(monkeypatch):
    """Digits as images whose pooled features and stages are two parts of their pixels."""
    pixels = digits().data
    parts = {"features": pixels[:, :24], "stages": pixels[:, 24:]}

    def of(kind):
        def found(images, *_, **__):
            images = images.data if isinstance(images, LabelTable) else images
            rows = [int(images[i]) for i in range(len(images))]
            return parts[kind][rows]

        return found

    monkeypatch.setattr("softfold.vision.features.image_features", of("features"))
    monkeypatch.setattr("softfold.vision.features.image_stages", of("stages"))
    return parts


def as_images(pixels):
    return Images(encoded=[b"%d" % i for i in range(len(pixels))])


def test_stages_are_used_where_they_help(shown, tmp_path):
    table = digits(0.3, data=as_images)
    targets = one_hot(table.train.given, 10)
    probe, without = Probe(), Probe(stages=False)
    model, plain = (
        probe.fit(table.train, targets, seed=0),
        without.fit(table.train, targets, seed=0),
    )
    assert probe.uses_stages and not without.uses_stages
    right = [
        (m.predict(table.holdout).argmax(1) == table.holdout.truth).mean() for m in (model, plain)
    ]
    assert right[0] > right[1] + 0.05
    assert probe.fitted_features(table.train).shape == (len(table.train), 64)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors").predict(table.holdout)
    np.testing.assert_allclose(again, model.predict(table.holdout), atol=1e-6)


def test_stages_that_say_nothing_are_left_out(shown):
    shown["features"] = digits().data
    shown["stages"] = np.random.default_rng(0).normal(size=(1797, 40)).astype(np.float32)
    table = digits(0.3, data=as_images).train
    probe = Probe()
    p = cross_fit(table, probe, plan_folds(table, 3), seed=0).probabilities
    assert not probe.uses_stages
    assert probe.fitted_features(table).shape == (len(table), 64)
    numbers = digits(0.3).train
    same = cross_fit(numbers, Probe(), plan_folds(numbers, 3), seed=0).probabilities
    np.testing.assert_allclose(p, same, atol=1e-5)


def test_a_probe_in_another_process_has_the_features_that_were_prepared(shown, monkeypatch):
    """Images in memory are known by what they are here, which another process must not believe."""
    table, probe = digits(data=as_images), Probe()
    probe.prepare(table)
    there, items = pickle.loads(pickle.dumps((probe, table)))
    monkeypatch.delattr("softfold.vision.features.image_features")
    rows = np.random.default_rng(0).permutation(len(table))[:50]
    np.testing.assert_array_equal(there.features(items.take(rows)), shown["features"][rows])
