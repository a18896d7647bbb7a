"""SoftCategoryBlock: soft targets in training, class indices in validation, names on pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.vision.all import (
    ClassificationInterpretation,
    ColReader,
    ColSplitter,
    DataBlock,
    ImageBlock,
    Learner,
    MixUp,
)
from fastai_items import (
    VOCAB,
    Witness,
    given_label,
    make_net,
    make_soft,
    make_targets,
    write_images,
)

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.fastai import SoftCategoryBlock, SoftCrossEntropy, accuracy
from softfold.soft_labels import SoftLabels
from softfold.softening import soften

N = 40
VALID = np.arange(N) % 4 == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, targets = tmp_path_factory.mktemp("images"), make_targets(N)
    paths = write_images(folder, targets)
    frame = pd.DataFrame({"path": [p.name for p in paths], "is_valid": VALID})
    labels = {p.name: given_label(p) for p in paths}
    soft = make_soft(frame["path"][~VALID], targets[~VALID])
    return folder, frame, labels, soft


def loaders(data, labels, soft=None, get_y=None):
    folder, frame, _, own = data
    rows = DataBlock(
        blocks=(ImageBlock, SoftCategoryBlock(own if soft is None else soft, labels, root=folder)),
        get_x=ColReader("path", pref=folder),
        get_y=get_y or ColReader("path"),
        splitter=ColSplitter(),
    )
    return rows.dataloaders(frame, bs=8, path=folder)


def as_table(labels):
    items, names = list(labels), list(labels.values())
    return LabelTable(
        item=np.array(items, dtype=object),
        given=np.array([VOCAB.index(n) for n in names]),
        vocab=VOCAB,
        valid=np.zeros(len(items), dtype=bool),
    )


@pytest.mark.parametrize("kind", [dict, pd.Series, as_table])
def test_training_is_soft_and_validation_has_the_given_labels(data, kind):
    dls = loaders(data, kind(data[2]))
    assert list(dls.vocab) == list(VOCAB)
    witness = Witness()
    learn = Learner(dls, make_net(), metrics=accuracy, cbs=witness)
    assert isinstance(learn.loss_func, SoftCrossEntropy)
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    assert witness.n_items() >= 2 * 24
    assert witness.wrong() == 0
    labels = np.concatenate([y for _, y in witness.valid])[: VALID.sum()]
    expected = [VOCAB.index(data[2][name]) for name in data[1]["path"][VALID]]
    assert labels.tolist() == expected


def test_mixup_mixes_the_soft_targets(data):
    witness = Witness()
    learn = Learner(loaders(data, data[2]), make_net(), cbs=[witness, MixUp()])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert witness.wrong() == 0


def test_keys_match_by_path_below_root(data):
    folder = data[0]
    dls = loaders(data, data[2], get_y=ColReader("path", pref=folder))
    x, y = dls.one_batch()
    np.testing.assert_allclose(x.mean((2, 3)).numpy(), y.numpy(), atol=1e-5)


def test_pictures_show_the_class_name(data):
    dls = loaders(data, data[2])
    x, y = dls.one_batch()
    shown = dls.decode_batch((x, y))
    assert [str(s[1]) for s in shown] == [VOCAB[int(i)] for i in y.argmax(1)]
    dls.show_batch(max_n=2)
    dls.valid.show_batch(max_n=2)


def test_a_new_item_is_predicted_by_name(data):
    _, frame, labels, _ = data
    dls = loaders(data, labels)
    learn = Learner(dls, make_net())
    with learn.no_bar():
        name, index, probabilities = learn.predict(frame.iloc[0])
    assert str(name) == VOCAB[int(index)]
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0))


def test_a_training_item_without_soft_label_is_named(data):
    _, _, labels, soft = data
    short = make_soft(soft.item[1:], soft.targets[1:])
    with pytest.raises(InputError, match=r"without a soft label; the first is 'item001.png'"):
        loaders(data, labels, soft=short).train_ds[0]


def test_a_validation_item_without_given_label_is_named(data):
    with pytest.raises(InputError, match=r"validation item 'item000.png' has no given label"):
        loaders(data, None).valid_ds[0]


def test_a_given_label_that_is_no_class_is_named(data):
    labels = {**data[2], "item000.png": "yak"}
    with pytest.raises(InputError, match=r"'item000.png' has the label 'yak', which is no class"):
        loaders(data, labels).valid_ds[0]


def test_results_and_top_losses_are_shown_as_of_any_category(data):
    learn = Learner(loaders(data, data[2]), make_net())
    with learn.no_bar():
        for part in (0, 1):
            learn.show_results(ds_idx=part, max_n=2)
            ClassificationInterpretation.from_learner(learn, ds_idx=part).plot_top_losses(2)


def test_validation_has_the_given_labels_of_what_the_soft_labels_were_made_of(data):
    """Hold-out items of the table, and training items that a splitter puts into validation."""
    table = replace(as_table(data[2]), valid=np.arange(N) % 8 == 0)
    flat = np.full((N, len(VOCAB)), 1 / 3)
    expected = [VOCAB.index(data[2][name]) for name in data[1]["path"][VALID]]
    frame = pd.DataFrame(np.eye(3)[table.given], index=table.item, columns=VOCAB)
    frame = frame.add_prefix("y_true_").join(frame.add_prefix("y_pred_"))
    for soft in (soften(table, flat, "blend"), frame):
        dls = loaders(data, None, soft=soft)
        assert [int(y) for _, y in dls.valid_ds] == expected


def test_soft_labels_of_a_file_ask_for_the_given_labels(data, tmp_path):
    soften(as_table(data[2]), np.full((N, 3), 1 / 3), "blend").save(tmp_path / "soft.safetensors")
    with pytest.raises(InputError, match=r"has no given label: .* a label table or a mapping"):
        loaders(data, None, soft=SoftLabels.load(tmp_path / "soft.safetensors")).valid_ds[0]
