"""Several labels an item in PyTorch: datasets, targets, and nets that are cross-fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from several_labels import digits
from torch import nn
from torch.utils.data import TensorDataset

import softfold
from softfold import multilabel
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.torch import ModuleTrainer, TrainingLoop, label_table, with_soft_targets

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def table():
    return digits(n=500, n_holdout=200)


def dataset_of(table):
    return TensorDataset(torch.from_numpy(table.data), torch.from_numpy(table.given).float())


def test_the_target_is_the_item_s_and_need_not_sum_to_1(table):
    train = table.train
    soft = multilabel.MultiSoftLabels(
        train.item[::-1].copy(), np.random.default_rng(0).random((500, 4)), train.vocab, "test"
    )
    dataset = with_soft_targets(dataset_of(train), soft, train.item, vocab=train.vocab)
    assert torch.equal(dataset[3][1], torch.from_numpy(soft.targets[496]))
    plain = with_soft_targets(dataset_of(train), soft.targets, multi_label=True)
    assert torch.equal(plain[3][1], torch.from_numpy(soft.targets[3]))
    with pytest.raises(InputError, match="say multi_label=True where items may have several"):
        with_soft_targets(dataset_of(train), soft.targets)
    with pytest.raises(InputError, match="hold what is outside 0"):
        with_soft_targets(dataset_of(train), soft.targets * 2, multi_label=True)


def test_a_dataset_of_0_and_1_becomes_a_table_of_several_labels(table):
    train = table.train
    made = label_table(dataset_of(train), vocab=train.vocab)
    assert isinstance(made, multilabel.MultiLabelTable) and (made.given == train.given).all()
    with pytest.raises(InputError, match="item 1 brings a label of shape"):
        label_table([(torch.zeros(2), torch.zeros(2)), (torch.zeros(2), torch.zeros(3))])


def test_one_hot_labels_are_one_label_an_item_unless_said_otherwise():
    data = TensorDataset(torch.rand(6, 2), torch.eye(3)[[0, 1, 2, 2, 1, 0]])
    with pytest.warns(UserWarning, match=r"read as one label an item \(multi_label=True"):
        made = label_table(data)
    assert made.given.tolist() == [0, 1, 2, 2, 1, 0] and made.vocab == ("0", "1", "2")
    assert label_table(data, multi_label=False).given.tolist() == made.given.tolist()
    assert label_table(data, multi_label=True).multi_label
    with pytest.raises(InputError, match="item 1 has 2 labels, not one"):
        several = TensorDataset(torch.rand(2, 2), torch.tensor([[1, 0], [1, 1]]))
        label_table(several, multi_label=False)


def loop(dataset):
    net = nn.Linear(64, 4)
    steps = torch.optim.Adam(net.parameters(), lr=0.02)
    loader = torch.utils.data.DataLoader(dataset, 50, shuffle=True)
    for _ in range(40):
        for x, y in loader:
            steps.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
            steps.step()
    return net


def make_net():
    return nn.Linear(64, 4)


@pytest.mark.parametrize(
    "trainer", [TrainingLoop(loop), ModuleTrainer(make_net, epochs=40, lr=0.02)]
)
def test_nets_are_cross_fitted_by_a_binary_cross_entropy_and_gain(table, trainer):
    own = label_table(dataset_of(table.train), table.train.item, vocab=table.vocab)
    made = softfold.noise_aware_cross_fit(own, trainer, n_folds=3)
    assert np.abs(made.plain.probabilities.sum(1) - 1).max() > 0.1
    soft = multilabel.soften(own, made.oof, noise=made.noise)
    truth = table.train.truth
    assert ((soft.targets > 0.5) == truth).mean() > (own.given == truth).mean() + 0.02
    score = {}
    for name, targets in (("given", own.given.astype(np.float32)), ("soft", soft.targets)):
        torch.manual_seed(0)
        net = loop(with_soft_targets(dataset_of(table.train), targets, multi_label=True))
        with torch.no_grad():
            p = net(torch.from_numpy(table.holdout.data)).sigmoid().numpy()
        score[name] = multilabel.micro_f1(p, table.holdout.truth)
    assert score["soft"] > score["given"] + 0.02


@pytest.mark.parametrize("trainer", [TrainingLoop(loop), ModuleTrainer(make_net, epochs=2)])
def test_what_a_net_was_trained_on_says_what_its_logits_mean(table, trainer):
    train = table.train
    model = trainer.fit(train, train.given.astype(np.float32), seed=0)
    other = LabelTable(
        train.item, train.given.argmax(axis=1), train.vocab, train.valid, data=train.data
    )
    assert np.array_equal(model.predict(other), model.predict(train))
    single = trainer.fit(other, np.eye(4, dtype=np.float32)[other.given], seed=0)
    assert np.allclose(single.predict(train).sum(axis=1), 1, atol=1e-5)


def test_a_noise_model_of_classes_that_exclude_each_other_is_refused(table):
    trainer = ModuleTrainer(make_net, epochs=1)
    with pytest.raises(InputError, match="items of this table have several"):
        softfold.cross_fit(table, trainer, n_folds=2, noise=np.eye(4))
    with pytest.raises(InputError, match="items of this table have several"):
        targets = table.train.given.astype(np.float32)
        trainer.fit(table.train, targets, seed=0, noise=np.eye(4))
