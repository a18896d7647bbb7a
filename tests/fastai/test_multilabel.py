"""Several labels an item in fastai: MultiCategoryBlock and the callback."""

from __future__ import annotations

import numpy as np
import pytest
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    Learner,
    MixUp,
    MultiCategoryBlock,
    accuracy_multi,
)
from fastai_items import VOCAB, Witness, given_label, make_net, make_soft, write_images

from softfold.errors import InputError
from softfold.fastai import SoftCategoryBlock, SoftLabelCallback
from softfold.multilabel import MultiSoftLabels

N = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    targets = np.random.default_rng(0).integers(0, 256, (N, 3)) / 255
    folder = tmp_path_factory.mktemp("several")
    paths = write_images(folder, targets)
    keys = np.array([p.name for p in paths], dtype=object)
    return folder, MultiSoftLabels(keys, targets.astype(np.float32), VOCAB, "test")


def given(path):
    """Labels of no relation to the soft ones: none to three."""
    return [name for k, name in enumerate(VOCAB) if int(path.stem[4:]) >> k & 1]


def loaders(folder, block=None, get_y=given):
    rows = DataBlock(
        blocks=(ImageBlock, block or MultiCategoryBlock(vocab=list(VOCAB))),
        get_items=lambda path: sorted(path.glob("*.png")),
        get_y=get_y,
        splitter=lambda items: (list(range(N - 8)), list(range(N - 8, N))),
    )
    return rows.dataloaders(folder, bs=8, path=folder)


def test_the_soft_target_travels_with_its_item_and_validation_keeps_given_labels(data):
    folder, soft = data
    witness = Witness()
    learn = Learner(
        loaders(folder),
        make_net(),
        metrics=accuracy_multi,
        cbs=[SoftLabelCallback(soft), witness],
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
        assert witness.n_items() >= 2 * 32 and witness.wrong() == 0
        wanted = np.array([[name in given(p) for name in VOCAB] for p in learn.dls.valid_ds.items])
        assert (np.concatenate([y for _, y in witness.valid][-1:]) == wanted).all()
        probabilities, targets = learn.get_preds()
    assert (targets.numpy() == wanted).all() and probabilities.shape == (8, 3)
    learn.dls.show_batch(max_n=2)


def test_mixup_mixes_the_soft_targets(data):
    folder, soft = data
    witness = Witness()
    learn = Learner(loaders(folder), make_net(), cbs=[SoftLabelCallback(soft), MixUp(), witness])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert witness.n_items() >= 32 and witness.wrong() == 0


def test_metrics_of_training_see_0_and_1(data):
    from fastai.learner import Recorder

    folder, soft = data
    seen = []

    def watched(inp, targ):
        seen.append(np.unique(targ.cpu().numpy()))
        return accuracy_multi(inp, targ)

    learn = Learner(loaders(folder), make_net(), metrics=watched, cbs=SoftLabelCallback(soft))
    learn.recorder.train_metrics = True
    assert isinstance(learn.recorder, Recorder)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert seen and all(set(values) <= {0, 1} for values in seen)


def test_labels_of_one_class_an_item_and_of_several_are_not_mixed_up(data):
    folder, soft = data
    one = loaders(folder, CategoryBlock(vocab=list(VOCAB)), given_label)
    learn = Learner(one, make_net(), cbs=SoftLabelCallback(soft))
    refused(learn, "of several labels an item, and the Learner's loss")
    single = make_soft(soft.item, np.full((N, 3), 1 / 3, np.float32))
    learn = Learner(loaders(folder), make_net(), cbs=SoftLabelCallback(single))
    refused(learn, "takes no class indices")
    with pytest.raises(InputError, match="use fastai's MultiCategoryBlock"):
        SoftCategoryBlock(soft)
    turned = MultiSoftLabels(soft.item, soft.targets, ("cat", "dog", "elk"), "test")
    learn = Learner(loaders(folder), make_net(), cbs=SoftLabelCallback(turned))
    refused(learn, "classes differ")


def refused(learn, line):
    with learn.no_bar(), learn.no_logging(), pytest.raises(InputError, match=line):
        learn.fit(1)
