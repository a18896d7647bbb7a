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
