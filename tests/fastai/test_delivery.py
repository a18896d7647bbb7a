"""A soft target never reaches another item, whatever the loader does."""

from __future__ import annotations

import random
from types import MethodType

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.all import CutMix, MixUp
from fastai.callback.core import (
    Callback,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
)
from fastai.data.all import DataBlock, RandomSplitter, SkipItemException, TfmdDL
from fastai.losses import CrossEntropyLossFlat
from fastai.vision.all import CategoryBlock, ColReader, ColSplitter, ImageBlock
from fastai_items import (
    VOCAB,
    DistributedDL,
    Witness,
    block,
    given_label,
    make_learner,
    make_soft,
    make_targets,
    write_images,
)

from softfold.fastai import SoftLabelCallback

N = 64


@pytest.fixture(scope="module")
def targets():
    return make_targets(N)


@pytest.fixture(scope="module")
def paths(tmp_path_factory, targets):
    return write_images(tmp_path_factory.mktemp("images"), targets)


@pytest.fixture
def soft(paths, targets):
    """Soft labels in another order than the items, so that position alone matches nothing."""
    order = np.random.default_rng(1).permutation(N)
    return make_soft([paths[i] for i in order], targets[order])


def train(dls, soft, epochs=2, cbs=(), **settings):
    """One fit with soft labels; gives the witness and the Learner."""
    witness = Witness()
    learn = make_learner(dls, [SoftLabelCallback(soft), witness, *cbs], **settings)
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs)
    return witness, learn


def assert_right(witness, least):
    assert witness.n_items() >= least, "too few items were trained on to tell"
    assert witness.wrong() == 0


class Skipping(TfmdDL):
    """A loader that leaves out what does not decode."""

    def create_item(self, s):
        try:
            return super().create_item(s)
        except OSError:
            raise SkipItemException from None


class OneOfTwo(DistributedDL):
    """fastai's distributed loader as rank `rank` of two; it broadcasts through CUDA otherwise."""

    def _broadcast(self, t, rank):
        return list(t)


class Distribute(Callback):
    """Deals the loaders out to two ranks as fastai's DistributedTrainer does, on a CPU."""

    order = 11

    def __init__(self, rank):
        super().__init__()
        self.rank = rank

    def wrap(self, dl):
        return dl if isinstance(dl, OneOfTwo) else OneOfTwo(dl, rank=self.rank, world_size=2)

    def before_fit(self):
        self.old = list(self.learn.dls.loaders)
        self.learn.dls.loaders = [self.wrap(dl) for dl in self.old]

    def before_train(self):
        self.learn.dl = self.wrap(self.learn.dl)

    def after_fit(self):
        self.learn.dls.loaders = self.old


def loaders(kind, paths):
    """DataLoaders over the same images, and how many items two epochs have at least."""
    if kind == "plain":
        return block().dataloaders(paths, bs=8, shuffle=False, drop_last=False), 2 * (N - 8)
    if kind == "shuffled":
        return block().dataloaders(paths, bs=8), 2 * (N - 8)
    if kind == "last batch dropped":
        return block().dataloaders(paths, bs=9, drop_last=True), 2 * 54
    if kind == "last batch kept":
        return block().dataloaders(paths, bs=9, drop_last=False), 2 * (N - 8)
    if kind == "workers":
        return block().dataloaders(paths, bs=8, num_workers=2), 2 * (N - 8)
    if kind == "persistent workers":
        workers = {"num_workers": 2, "persistent_workers": True, "pin_memory": False}
        return block().dataloaders(paths, bs=8, **workers), 2 * (N - 8)
    if kind == "weighted":
        weights = np.arange(N) % 5 + 0.1
        return block().weighted_dataloaders(paths, weights, bs=8, num_workers=2), 2 * (N - 8)
    if kind == "partial":
        data = block().datasets(paths)
        tfms = {"after_item": block().item_tfms, "after_batch": block().batch_tfms}
        return data.partial_dataloaders(24, bs=8, num_workers=2, **tfms), 2 * 24
    if kind == "fewer items":
        return block().dataloaders(paths, bs=8, n=24), 2 * 24
    if kind == "paths that repeat":
        twice = [*paths[:20], *paths[:20], *paths]
        return block().dataloaders(twice, bs=8), 2 * (N + 32 - 7)
    if kind == "random split":
        return block(splitter=RandomSplitter(0.25, seed=3)).dataloaders(paths, bs=8), 2 * 48
    if kind == "strings":
        return block().dataloaders([str(p) for p in paths], bs=8), 2 * (N - 8)
    if kind == "frame":
        frame = pd.DataFrame({"path": [str(p) for p in paths], "label": 0})
        frame["label"] = [given_label(p) for p in paths]
        frame["is_valid"] = np.arange(N) % 4 == 0
        rows = DataBlock(
            blocks=(ImageBlock, CategoryBlock(vocab=VOCAB)),
            get_x=ColReader("path"),
            get_y=ColReader("label"),
            splitter=ColSplitter(),
        )
        shuffled = frame.sample(frac=1, random_state=0)
        return rows.dataloaders(shuffled, bs=8, num_workers=2), 2 * 48
    raise AssertionError(kind)


KINDS = (
    "plain",
    "shuffled",
    "last batch dropped",
    "last batch kept",
    "workers",
    "persistent workers",
    "weighted",
    "partial",
    "fewer items",
    "paths that repeat",
    "random split",
    "strings",
    "frame",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_loader_delivers_each_item_its_own_target(kind, paths, soft):
    dls, least = loaders(kind, paths)
    assert_right(train(dls, soft)[0], least)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_of_a_distributed_loader_delivers_each_item_its_own_target(rank, paths, soft):
    dls = block().dataloaders(paths, bs=8, drop_last=False, num_workers=2 * rank)
    assert_right(train(dls, soft, cbs=[Distribute(rank)])[0], 2 * 28)


def test_loaders_that_were_distributed_before_deliver_too(paths, soft):
    dls = block().dataloaders(paths, bs=8)
    dls.loaders = [OneOfTwo(dl, rank=1, world_size=2) for dl in dls.loaders]
    assert_right(train(dls, soft)[0], 2 * 24)


@pytest.mark.parametrize("mix", [MixUp, CutMix])
def test_mixing_images_mixes_their_soft_targets_alike(mix, paths, soft):
    dls = block().dataloaders(paths, bs=8)
    witness, learn = train(dls, soft, epochs=3, cbs=[mix()])
    assert_right(witness, 3 * (N - 8))
    mixed = np.concatenate([y for _, y in witness.train])
    own = {tuple(np.round(t, 4)) for t in soft.targets}
    assert sum(tuple(np.round(y, 4)) not in own for y in mixed) > N, "nothing was mixed"
    assert isinstance(learn.loss_func, CrossEntropyLossFlat)


def skipping_loaders(folder, targets, workers=0):
    """An image in the middle of the data that does not decode, and a loader that skips it."""
    paths = write_images(folder, targets)
    paths[11].write_bytes(b"not an image")
    data = block(dl_type=Skipping).datasets(paths)
    tfms = {"after_item": block().item_tfms, "after_batch": block().batch_tfms}
    return data.dataloaders(bs=8, shuffle=True, num_workers=workers, **tfms), paths


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_that_is_skipped_shifts_no_target(workers, tmp_path, targets):
    dls, paths = skipping_loaders(tmp_path, targets, workers)
    witness, _ = train(dls, make_soft(paths, targets), epochs=3)
    assert_right(witness, 3 * 48)


class LookUpByBatch(Callback):
    """What the post's callback does: batch number b trains on shuffled indices b*bs to (b+1)*bs.

    It reads the loader's private list of indices and looks the images' names up in a frame.
    """

    run_valid = False

    def __init__(self, frame):
        super().__init__()
        self.frame = frame

    def before_train(self):
        self.names = [str(item) for item in self.learn.dl.items]

    def before_batch(self):
        start = self.learn.iter * self.learn.dl.bs
        rows = self.learn.dl._DataLoader__idxs[start : start + len(self.learn.xb[0])]
        found = self.frame.loc[[self.names[row] for row in rows]]
        self.learn.yb = (torch.tensor(found.to_numpy()),)


def train_by_batch_number(dls, paths, targets):
    def loss(pred, target):
        if target.ndim == 1:
            return torch.nn.functional.cross_entropy(pred, target)
        return -(target * pred.log_softmax(-1)).sum(-1).mean()

    witness, frame = Witness(), pd.DataFrame(targets, index=[str(p) for p in paths])
    learn = make_learner(dls, [LookUpByBatch(frame), witness], loss_func=loss)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    return witness


def test_the_posts_callback_mislabels_items_once_a_corrupt_image_is_skipped(tmp_path, targets):
    whole = write_images(tmp_path / "whole", targets)
    sound = train_by_batch_number(block().dataloaders(whole, bs=8), whole, targets)
    assert sound.wrong() == 0, "without a skipped item it is right"
    wrong = []
    for seed in range(3):  # how many depends on where in the epoch the image comes
        random.seed(seed)
        dls, paths = skipping_loaders(tmp_path / str(seed), targets)
        wrong.append(train_by_batch_number(dls, paths, targets).wrong())
        assert train(dls, make_soft(paths, targets), epochs=1)[0].wrong() == 0
    assert max(wrong) > 8, f"more than a batch of items had another item's label: {wrong}"


def test_batches_are_those_of_the_same_training_without_soft_labels(paths, soft):
    seen = []
    for cbs in ([], [SoftLabelCallback(soft)]):
        random.seed(5)
        torch.manual_seed(5)
        witness = Witness()
        dls = block().dataloaders(paths, bs=8, num_workers=2)
        learn = make_learner(dls, [*cbs, witness])
        with learn.no_bar(), learn.no_logging():
            learn.fit(2)
        seen.append(np.concatenate([x for x, _ in witness.train]))
    np.testing.assert_array_equal(*seen)


def test_validation_keeps_the_given_labels_and_the_learners_loss(paths, soft):
    dls = block().dataloaders(paths, bs=8)
    witness, learn = train(dls, soft)
    labels = np.concatenate([y for _, y in witness.valid])
    assert labels.ndim == 1
    assert labels[:8].tolist() == [VOCAB.index(given_label(p)) for p in paths[-8:]]
    before = learn.validate()
    learn.remove_cb(SoftLabelCallback)
    assert before == learn.validate()


def test_predictions_on_the_training_items_come_with_their_given_labels(paths, soft):
    _, learn = train(block().dataloaders(paths, bs=8), soft)
    with learn.no_bar():
        predictions, labels = learn.get_preds(ds_idx=0)
    assert labels.tolist() == [VOCAB.index(given_label(p)) for p in paths[:-8]]
    torch.testing.assert_close(predictions.sum(1), torch.ones(N - 8))


def test_lr_find_and_fine_tune_twice_deliver_and_leave_the_learner_as_it_was(paths, soft, tmp_path):
    dls = block().dataloaders(paths, bs=8, path=tmp_path, num_workers=2)
    witness = Witness()
    learn = make_learner(dls, [SoftLabelCallback(soft, root="/"), witness])
    loss, loader, dataset = learn.loss_func, dls.train, dls.train_ds
    with learn.no_bar(), learn.no_logging():
        learn.lr_find(num_it=20, show_plot=False)
        assert_right(witness, 20 * 8)
        for _ in range(2):
            learn.fine_tune(1)
            assert learn.loss_func is loss and learn.dls.train is loader
            assert loader.dataset is dataset
    assert_right(witness, 20 * 8 + 4 * (N - 8))
    _, y = dls.one_batch()
    assert y.ndim == 1
    dls.show_batch(show=False)


@pytest.mark.parametrize(
    "stop",
    [
        KeyboardInterrupt,
        RuntimeError,
        CancelBatchException,
        CancelTrainException,
        CancelEpochException,
        CancelFitException,
    ],
)
def test_training_that_stops_midway_leaves_the_learner_usable(stop, paths, soft):
    class Stop(Callback):
        order = 200

        def after_loss(self):
            if self.learn.training and self.learn.iter == 2:
                raise stop("enough")

    workers = 2 if stop is KeyboardInterrupt else 0
    dls = block().dataloaders(paths, bs=8, num_workers=workers)
    witness = Witness()
    learn = make_learner(dls, [SoftLabelCallback(soft), witness])
    loss = learn.loss_func
    with learn.no_bar(), learn.no_logging():
        if issubclass(stop, KeyboardInterrupt | RuntimeError):
            with pytest.raises(stop):
                learn.fit(1, cbs=Stop())
        else:
            learn.fit(1, cbs=Stop())
        assert dls.one_batch()[1].ndim == 1
        dls.show_batch(show=False)
        learn.validate()
        assert learn.loss_func is loss
        learn.fit(1)
    assert witness.wrong() == 0


def test_a_loader_can_be_derived_from_the_one_that_trains(paths, soft):
    class Derive(Callback):
        order = 50

        def before_train(self):
            twin = self.learn.dl.new(shuffle=False, bs=4)
            self.batch = twin.one_batch()

    derive = Derive()
    train(block().dataloaders(paths, bs=8), soft, epochs=1, cbs=[derive])
    x, y = derive.batch
    torch.testing.assert_close(
        x.mean((2, 3)).as_subclass(torch.Tensor), y.as_subclass(torch.Tensor)
    )


def test_a_shuffle_of_ones_own_is_followed(paths, soft):
    dls = block().dataloaders(paths, bs=8)
    dls.train.shuffle_fn = MethodType(lambda self, idxs: sorted(idxs, reverse=True), dls.train)
    witness, _ = train(dls, soft, epochs=1)
    assert_right(witness, N - 8)
    np.testing.assert_allclose(witness.train[0][1][0], train_target(soft, paths[N - 9]), atol=1e-6)


def train_target(soft, path):
    return soft.targets[list(soft.item).index(str(path))]


def test_classes_in_another_order_are_matched_by_name(paths, targets):
    soft = make_soft(paths, targets[:, [2, 0, 1]], vocab=("emu", "cat", "dog"))
    witness, _ = train(block().dataloaders(paths, bs=8), soft)
    assert_right(witness, 2 * (N - 8))


def test_workers_see_targets_that_came_from_a_file(paths, soft, tmp_path):
    soft.save(tmp_path / "soft.safetensors")
    again = type(soft).load(tmp_path / "soft.safetensors")
    dls = block().dataloaders(paths, bs=8, num_workers=1)
    assert_right(train(dls, again, epochs=1)[0], N - 8)
