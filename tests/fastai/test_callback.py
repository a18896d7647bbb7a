"""SoftLabelCallback: what is matched, what is refused, and what it leaves behind."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.all import DataLoaders, TfmdDL
from fastai.imports import noop
from fastai.losses import CrossEntropyLossFlat, FocalLossFlat
from fastai.metrics import accuracy, top_k_accuracy
from fastai.torch_core import TensorCategory, TensorImage, flatten_check
from fastai.vision.all import (
    CategoryBlock,
    ColReader,
    ColSplitter,
    DataBlock,
    ImageBlock,
    ImageDataLoaders,
)
from fastai_items import (
    VOCAB,
    Witness,
    block,
    given_label,
    make_learner,
    make_soft,
    make_targets,
    write_images,
)

from softfold.errors import InputError
from softfold.fastai import SoftCategoryBlock, SoftLabelCallback

N = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, targets = tmp_path_factory.mktemp("images"), make_targets(N)
    return write_images(folder / "train", targets), targets


@pytest.fixture
def soft(data):
    return make_soft(*data)


def frame_loaders(paths, column="path", index=None, path="."):
    frame = pd.DataFrame({column: [str(p) for p in paths]}, index=index)
    frame["label"] = [given_label(p) for p in paths]
    frame["is_valid"] = np.arange(len(paths)) % 4 == 0
    rows = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=VOCAB)),
        get_x=ColReader(column),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
    )
    return rows.dataloaders(frame, bs=8, path=path)


def train(dls, soft, epochs=1, learner=None, **settings):
    witness = Witness()
    learn = make_learner(dls, [SoftLabelCallback(soft, **settings), witness], **(learner or {}))
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs)
    return witness, learn


def refused(dls, soft, match, learner=None, **settings):
    with pytest.raises(InputError, match=match) as caught:
        train(dls, soft, learner=learner, **settings)
    return str(caught.value)


# -- keys ------------------------------------------------------------------------------------


def test_keys_relative_to_the_loaders_path_match_absolute_items(data):
    paths, targets = data
    soft = make_soft([f"train/{p.name}" for p in paths], targets)
    dls = block().dataloaders(paths, bs=8, path=paths[0].parents[1])
    assert train(dls, soft)[0].wrong() == 0


def test_root_says_where_relative_keys_start(data):
    paths, targets = data
    soft = make_soft([p.name for p in paths], targets)
    dls = block().dataloaders(paths, bs=8)
    assert train(dls, soft, root=paths[0].parent)[0].wrong() == 0


def test_absolute_keys_match_relative_items(data, monkeypatch):
    paths, targets = data
    monkeypatch.chdir(paths[0].parent)
    dls = block().dataloaders([f"./{p.name}" for p in paths], bs=8)
    assert train(dls, make_soft(paths, targets))[0].wrong() == 0


def class_folders(data, folder):
    """photos/cat/item000.png and so on in the folder, by given label; soft labels by cat/..."""
    paths, targets = data
    keys = [f"{given_label(p)}/{p.name}" for p in paths]
    for key, path in zip(keys, paths, strict=True):
        (folder / "photos" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / key).write_bytes(path.read_bytes())
    return keys, targets


@pytest.mark.parametrize("start", ["photos", "./photos/"])
@pytest.mark.parametrize("prefix", ["", "photos/", "/photos/"])
@pytest.mark.parametrize("settings", [{}, {"root": "photos"}])
def test_a_relative_folder_matches(data, tmp_path, monkeypatch, start, prefix, settings):
    keys, targets = class_folders(data, tmp_path)
    monkeypatch.chdir(tmp_path)
    prefix = f"{tmp_path}{prefix}" if prefix.startswith("/") else prefix
    dls = ImageDataLoaders.from_folder(start, valid_pct=0.2, bs=8, seed=1, num_workers=0)
    soft = make_soft([prefix + key for key in keys], targets)
    assert train(dls, soft, **settings)[0].wrong() == 0


@pytest.mark.parametrize("start", ["photos", "{}/photos"])
def test_items_below_the_tables_folder_match_whatever_the_loaders_path_is(
    data, tmp_path, monkeypatch, start
):
    keys, targets = class_folders(data, tmp_path)
    monkeypatch.chdir(tmp_path)
    items = [f"{start.format(tmp_path)}/{key}" for key in keys]
    soft = make_soft(keys, targets)
    said = refused(block().dataloaders(items, bs=8), soft, "without a soft label")
    assert f"root='{start.format(tmp_path)}'" in said
    known = replace(soft, root=str(tmp_path / "photos"))
    assert train(block().dataloaders(items, bs=8), known)[0].wrong() == 0
    itself = SoftCategoryBlock(known, dict(zip(items, map(given_label, items))))
    dls = DataBlock(blocks=(ImageBlock, itself), get_y=noop).dataloaders(items, bs=8)
    x, y = dls.one_batch()
    np.testing.assert_allclose(x.mean((2, 3)).numpy(), y.numpy(), atol=1e-5)


def test_a_file_of_the_same_name_in_another_folder_is_no_match(data, tmp_path):
    paths, targets = data
    elsewhere = make_soft([tmp_path / p.name for p in paths], targets)
    refused(block().dataloaders(paths, bs=8), elsewhere, "without a soft label")


def test_a_column_or_the_row_labels_can_be_the_key(data):
    paths, targets = data
    names = [f"photo {i}" for i in range(N)]
    dls = frame_loaders(paths, index=names)
    assert train(dls, make_soft(names, targets))[0].wrong() == 0
    assert train(dls, make_soft(names, targets), key="index")[0].wrong() == 0
    assert train(dls, make_soft(*data), key="path")[0].wrong() == 0


def test_a_function_of_the_item_can_be_the_key(data):
    paths, targets = data
    soft = make_soft([p.stem for p in paths], targets)
    dls = block().dataloaders(paths, bs=8)
    assert train(dls, soft, key=lambda path: path.stem)[0].wrong() == 0
    rows = frame_loaders(paths)
    assert train(rows, soft, key=lambda row: row.path[-11:-4])[0].wrong() == 0


def test_keys_that_fit_in_two_ways_are_refused(data):
    paths, targets = data
    links = [str(i) for i in range(N)]
    frame = pd.DataFrame({"number": links[::-1], "path": [str(p) for p in paths]})
    frame["label"], frame["is_valid"] = [given_label(p) for p in paths], np.arange(N) % 4 == 0
    rows = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=VOCAB)),
        get_x=ColReader("path"),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
    )
    refused(rows.dataloaders(frame, bs=8), make_soft(links, targets), "say which with key='number'")


def test_a_column_of_few_values_is_no_column_of_keys(data):
    """Labels 0 to 2 are row numbers too: items must not get the targets of rows 0 to 2."""
    paths, targets = data
    frame = pd.DataFrame({"label": np.arange(N) % 3, "path": [str(p) for p in paths]})
    frame["is_valid"] = np.arange(N) % 4 == 0
    frame.index += 1000
    rows = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=[0, 1, 2])),
        get_x=ColReader("path"),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
    )
    dls = rows.dataloaders(frame, bs=8)
    numbered = make_soft(range(N), targets, vocab=("0", "1", "2"))
    refused(dls, numbered, "'label' would be their keys")
    named = make_soft(paths, targets, vocab=("0", "1", "2"))
    assert train(dls, named, key="path")[0].wrong() == 0


def test_the_posts_frame_is_blended_seven_to_three(data):
    paths, _ = data
    given = [given_label(p) for p in paths]
    predicted = [VOCAB[(i // 2) % 3] for i in range(N)]
    frame = pd.DataFrame({"y_true": given, "y_pred": predicted}, index=[str(p) for p in paths])
    witness, _ = train(
        block().dataloaders(paths, bs=8, shuffle=False, drop_last=False),
        pd.get_dummies(frame, columns=["y_true", "y_pred"]),
    )
    seen = np.concatenate([y for _, y in witness.train])
    expected = 0.7 * one_hot(given) + 0.3 * one_hot(predicted)
    np.testing.assert_allclose(seen, expected[: N - 8], atol=1e-6)


def accuracy_of_the_post(inp, targ, axis=-1):
    pred, targ = flatten_check(inp.argmax(dim=axis), targ.argmax(dim=axis))
    return (pred == targ).float().mean()


@pytest.mark.parametrize("train_metrics", [False, True])
def test_metrics_of_indices_and_of_one_hot_targets_say_the_same(data, soft, train_metrics):
    metrics = [accuracy_of_the_post, accuracy, partial(top_k_accuracy, k=1)]
    _, learn = train(block().dataloaders(data[0], bs=8), soft, learner={"metrics": metrics})
    assert learn.metrics[0].func is accuracy_of_the_post
    learn.recorder.train_metrics = train_metrics
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        values = learn.recorder.values[-1]
        assert learn.validate()[1] == learn.validate()[2]
    each = values[1:4] if train_metrics else values[2:5]
    assert each[0] == each[1] == each[2]
    assert learn.recorder.metric_names[-2].endswith("top_k_accuracy")


def test_a_metric_that_fails_on_all_targets_says_what_it_said(data, soft):
    def broken(pred, target):
        raise KeyError("my own")

    with pytest.raises(KeyError, match="my own"):
        train(block().dataloaders(data[0], bs=8), soft, learner={"metrics": broken})


def one_hot(names):
    return np.eye(3, dtype=np.float32)[[VOCAB.index(n) for n in names]]


# -- refusals --------------------------------------------------------------------------------


def test_items_without_soft_label_are_counted_and_the_first_is_named(data):
    paths, targets = data
    line = refused(
        block().dataloaders(paths, bs=8),
        make_soft(paths[3:], targets[3:]),
        "3 training items of 32 without a soft label",
    )
    assert str(paths[0]) in line


def test_other_classes_are_refused(data):
    paths, targets = data
    other = make_soft(paths, targets, vocab=("cat", "dog", "yak"))
    refused(block().dataloaders(paths, bs=8), other, "soft labels lack 'emu'")
    two = make_soft(paths, targets[:, :2] / targets[:, :2].sum(1, keepdims=True), ("cat", "dog"))
    refused(block().dataloaders(paths, bs=8), two, "soft labels lack 'emu'")


def test_two_keys_that_are_one_path_are_refused(data):
    paths, targets = data
    soft = make_soft([paths[0], f"{paths[0].parent}/./{paths[0].name}", *paths[2:]], targets)
    refused(block().dataloaders(paths, bs=8), soft, "same path")


def test_a_column_that_is_not_there_is_refused(data, soft):
    refused(frame_loaders(data[0]), soft, "key='file': no such column", key="file")


def test_soft_labels_without_keys_are_refused(data):
    with pytest.raises(InputError, match="soft labels are ndarray; want SoftLabels"):
        SoftLabelCallback(data[1])


def test_a_loader_that_makes_its_own_items_is_refused(data, soft):
    dls = block().dataloaders(data[0], bs=8)
    dataset = dls.train_ds
    dls.train.create_item = lambda i: dataset[i or 0]
    refused(dls, soft, "came without soft targets")


def test_a_loss_that_takes_no_class_indices_is_refused_before_training(data, soft):
    def one_hot_only(pred, target):
        return -(target * pred.log_softmax(-1)).sum(-1).mean()

    learner = {"loss_func": one_hot_only}
    refused(block().dataloaders(data[0], bs=8), soft, "takes no class indices", learner=learner)


def test_a_loss_that_takes_no_soft_targets_is_refused_before_training(data, soft):
    def nll(pred, target):
        return torch.nn.functional.nll_loss(pred.log_softmax(-1), target)

    learner = {"loss_func": nll}
    refused(block().dataloaders(data[0], bs=8), soft, "takes no soft targets", learner=learner)


# -- losses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropyLossFlat(weight=torch.tensor([1.0, 2.0, 3.0])),
        FocalLossFlat(),
        torch.nn.CrossEntropyLoss(label_smoothing=0.1),
    ],
    ids=["weighted", "focal", "smoothed"],
)
def test_usual_losses_train_on_soft_targets_and_come_back(data, soft, loss):
    dls = block().dataloaders(data[0], bs=8)
    witness, learn = train(dls, soft, learner={"loss_func": loss})
    assert witness.wrong() == 0
    assert learn.loss_func is loss


def test_a_net_learns_the_soft_targets_themselves(data, soft):
    """The network sees each item's soft target as its colour: the best it can do is repeat it."""
    torch.manual_seed(0)
    dls = block().dataloaders(data[0], bs=8, drop_last=False)
    _, learn = train(dls, soft, epochs=20, learner={"lr": 0.3})
    with learn.no_bar():
        predictions, _ = learn.get_preds(ds_idx=0)
    assert np.abs(predictions.numpy() - data[1][:-8]).mean() < 0.04


# -- datasets and copies -----------------------------------------------------------------------


class Colours:
    """A dataset of one's own: no `items`, positions are all it knows."""

    def __init__(self, targets):
        self.targets = targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        colour = torch.tensor(self.targets[i]).view(3, 1, 1).expand(3, 4, 4).contiguous()
        return TensorImage(colour), TensorCategory(i % 3)


def test_a_dataset_of_ones_own_is_delivered_by_a_function_of_the_position(data):
    targets = data[1]
    part = Colours(targets[:32])
    dls = DataLoaders(TfmdDL(part, bs=8, shuffle=True, num_workers=0), TfmdDL(part, num_workers=0))
    dls.vocab = list(VOCAB)
    soft = make_soft([f"row {i}" for i in range(N)], targets)
    learner = {"loss_func": CrossEntropyLossFlat()}
    assert train(dls, soft, learner=learner, key=lambda i: f"row {i}")[0].wrong() == 0
    refused(dls, soft, "Colours has no items; give key=", learner=learner)


def test_a_deep_copy_of_the_learner_trains_on_soft_labels_too(data, soft):
    learn = make_learner(block().dataloaders(data[0], bs=8), [SoftLabelCallback(soft)])
    twin = copy.deepcopy(learn)
    witness = Witness()
    with twin.no_bar(), twin.no_logging():
        twin.fit(1, cbs=witness)
    assert witness.wrong() == 0
    assert witness.train[0][1].ndim == 2


def test_a_learner_exported_after_an_interrupted_epoch_loads_without_softfold(
    data, soft, tmp_path, predicted_without_softfold
):
    class Stop(Callback):
        order = 200

        def after_loss(self):
            if self.learn.training:
                raise KeyboardInterrupt

    dls = frame_loaders(data[0], path=tmp_path)  # its pickle needs nothing of this file
    learn = make_learner(dls, [SoftLabelCallback(soft)])
    with learn.no_bar(), learn.no_logging():
        with pytest.raises(KeyboardInterrupt):
            learn.fit(1, cbs=Stop())
        learn.export("model.pkl")
        expected = str(learn.predict(pd.Series({"path": str(data[0][0])}))[0])
        assert isinstance(learn.soft_label, SoftLabelCallback), "the Learner itself keeps it"
    frame = pd.DataFrame({"path": [str(data[0][0])]})
    assert predicted_without_softfold(tmp_path / "model.pkl", frame)["first"] == expected
