"""Soft labels of several labels an item: by class, with keys, and as files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from several_labels import answers, digits

import softfold
from softfold import multilabel
from softfold.errors import InputError
from softfold.soft_labels import SoftLabels
from softfold.softening import soften

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def made():
    return answers()


@pytest.mark.parametrize("strategy", ["auto", "posterior", "blend", "gate", "people", "given"])
def test_each_class_is_softened_as_it_would_be_alone(made, strategy):
    truth, given, p = made
    targets = multilabel.soften(given, p, strategy)
    assert targets.dtype == np.float32 and targets.shape == given.shape
    for k in range(given.shape[1]):
        alone = soften(given[:, k].astype(int), np.c_[1 - p[:, k], p[:, k]], strategy)
        assert np.allclose(targets[:, k], alone[:, 1], atol=1e-6)
    if strategy in ("auto", "posterior"):
        right = ((targets > 0.5) == truth).mean(0)
        assert (right[:2] > (given == truth).mean(0)[:2]).all()


def test_the_settings_say_what_made_them(made):
    _, given, p = made
    labels = pd.DataFrame(given, columns=list("abcd"), index=[f"i{i}" for i in range(len(given))])
    gate = multilabel.soften(labels, p, "gate", threshold=0.9)
    assert gate.strategy == "gate" and gate.settings["threshold"] == 0.9
    mixed = p.copy()
    mixed[:, 1] = np.random.default_rng(0).permutation(mixed[:, 1])
    auto = multilabel.soften(labels, mixed)
    assert auto.strategy == "posterior" and auto.settings["as_given"] == ["b"]
    assert auto.settings["noise_rates"][1] is None and auto.settings["temperatures"][0] > 0
    noise = np.random.default_rng(1).permutation(mixed)
    nothing = multilabel.soften(labels, noise)
    assert nothing.strategy == "given" and nothing.settings == {"asked": "auto"}


def test_rows_and_columns_are_matched_by_key_and_name(made):
    _, given, p = made
    keys = [f"i{i}" for i in range(len(given))]
    labels = pd.DataFrame(given, columns=list("abcd"), index=keys)
    shuffled = pd.DataFrame(p, columns=list("abcd"), index=keys).sample(frac=1, random_state=1)
    soft = multilabel.soften(labels, shuffled[list("cadb")])
    assert isinstance(soft, multilabel.MultiSoftLabels) and soft.vocab == tuple("abcd")
    assert np.array_equal(soft.targets, multilabel.soften(given, p))
    assert np.array_equal(soft.aligned(["i7", "i3"], list("dcba")), soft.targets[[7, 3]][:, ::-1])
    with pytest.raises(InputError, match="1 row of labels of 3,000 without a prediction"):
        multilabel.soften(labels, shuffled.drop(index="i5"))


def test_a_file_says_that_items_have_several_labels(made, tmp_path):
    pytest.importorskip("safetensors")
    _, given, p = made
    labels = pd.DataFrame(given, columns=list("abcd"), index=[f"i{i}" for i in range(len(given))])
    soft = multilabel.soften(labels, p, "blend")
    assert repr(soft) == "MultiSoftLabels(3,000 items, 4 classes, strategy 'blend')"
    assert "between 10% and 90%" in soft._repr_html_()
    soft.save(tmp_path / "soft.safetensors")
    again = multilabel.MultiSoftLabels.load(tmp_path / "soft.safetensors")
    assert np.array_equal(again.targets, soft.targets) and again.vocab == soft.vocab
    with pytest.raises(InputError, match=r"softfold\.multilabel\.MultiSoftLabels\.load"):
        SoftLabels.load(tmp_path / "soft.safetensors")


def test_a_table_goes_the_whole_way():
    table = digits()
    train = table.train
    oof = softfold.cross_fit(table, "estimator")
    soft = multilabel.soften(table, oof)
    assert soft.item.tolist() == train.item.tolist()
    assert ((soft.targets > 0.5) == train.truth).mean() > (train.given == train.truth).mean() + 0.03
    with pytest.raises(InputError, match="digits: a multi-label table, and this is for one label"):
        softfold.soften(table, oof)
    with pytest.raises(InputError, match="digits, nine: one label an item"):
        multilabel.soften(table.of_class("nine"), oof)
    with pytest.raises(InputError, match="strategy 'mix' is unknown"):
        multilabel.soften(table, oof, "mix")
