"""Nets are cross-fitted over datasets and arrays, by a loop of the user's or the plain one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

pytest.importorskip("sklearn")
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset, TensorDataset

import softfold
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.torch import ModuleTrainer, TrainingLoop, label_table, with_soft_targets
from softfold.trainers.estimator import Estimator


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps on small batches lose more time waiting than they compute
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    """Items of which 40% of each class are labelled as the next one, their truth, clean items."""
    x, truth = load_digits(return_X_y=True)
    given = softfold.corrupt(truth, rate=0.4, kind="pair", seed=0)
    x = torch.tensor(x / 16, dtype=torch.float32)
    train_set = TensorDataset(x[:1200], torch.from_numpy(given[:1200]))
    return train_set, truth[:1200], TensorDataset(x[1200:], torch.from_numpy(truth[1200:]))


def make_net():
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def train(dataset, epochs=10):
    """A loop as anybody writes it; targets may be class indices or probabilities."""
    net = make_net()
    adam = torch.optim.Adam(net.parameters(), lr=0.003)
    for _ in range(epochs):
        for x, y in DataLoader(dataset, 64, shuffle=True):
            loss = cross_entropy(net(x), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
    return net


def accuracy(net, dataset):
    x, y = dataset.tensors
    with torch.inference_mode():
        return (net(x).argmax(1) == y).float().mean().item()


def test_soft_labels_gain_in_a_loop_of_ones_own(digits):
    train_set, truth, test_set = digits
    table = label_table(train_set)
    fit = softfold.noise_aware_cross_fit(table, TrainingLoop(train))
    soft = softfold.soften(table, fit.oof, noise=fit.noise)
    torch.manual_seed(0)
    plain = accuracy(train(train_set), test_set)
    assert accuracy(train(with_soft_targets(train_set, soft)), test_set) > plain + 0.2
    assert (soft.targets.argmax(axis=1) == truth).mean() > (table.given == truth).mean() + 0.2


def test_a_net_alone_is_enough_over_a_dataset_and_over_an_array(digits):
    train_set, truth, _ = digits
    part = Subset(train_set, range(100, 700))
    x, given = (torch.stack(c) for c in zip(*(part[i] for i in range(600))))
    table = label_table(part)
    array = LabelTable(table.item, given.numpy(), table.vocab, table.valid, data=x.numpy())
    trainer = ModuleTrainer(make_net, epochs=10, lr=0.02)
    plan = softfold.plan_folds(array, 3)
    made = softfold.cross_fit(table, trainer, plan, seed=3)
    again = softfold.cross_fit(array, trainer, plan, seed=3)
    assert np.allclose(made.probabilities, again.probabilities, atol=1e-5)
    through = np.eye(10) * 0.6 + np.roll(np.eye(10), 1, axis=1) * 0.4
    aware = softfold.cross_fit(table, trainer, plan, seed=3, noise=through)
    right = truth[100:700]
    assert (aware.probabilities.argmax(1) == right).mean() > 0.75
    assert (aware.probabilities.argmax(1) == right).mean() > (
        made.probabilities.argmax(1) == right
    ).mean()


def test_folds_hold_out_what_they_predict_and_copies_of_it():
    x = torch.randn(60, 3).repeat(2, 1)
    dataset = TensorDataset(x, torch.arange(120) % 2)
    seen = []

    def remember(part):
        rows = {tuple(x.tolist()) for x, _ in part}
        assert all(t.shape == (2,) and t.dtype == torch.float32 for _, t in part)
        seen.append(rows)

        def predict(others):
            assert not rows & {tuple(x.tolist()) for x, _ in others}
            return np.full((len(others), 2), 0.5)

        return predict

    softfold.cross_fit(label_table(dataset), TrainingLoop(remember), n_folds=4)
    assert len(seen) == 4


class Shifted(torch.utils.data.Dataset):
    """Images that a random transform shifts, as in training."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return {"image": self.images[i] + torch.rand(()), "label": i % 3, "note": f"{i % 2}"}


def test_folds_predict_the_items_of_the_evaluation_dataset():
    """Training items are noise, which tells that they were not what is predicted."""
    given = torch.arange(80) % 2
    noisy = TensorDataset(torch.randn(80, 1), given)
    plain = TensorDataset(given[:, None] * 2.0 - 1, given)
    table = label_table(noisy, evaluation=plain)
    loop = TrainingLoop(lambda dataset: nn.Linear(1, 2))
    p = softfold.cross_fit(table, loop, n_folds=2).probabilities
    assert len(np.unique(p.round(4))) <= 8, "two kinds of items, two folds, two classes"
    with pytest.raises(InputError, match="evaluation has 79 items and the dataset 80"):
        label_table(noisy, evaluation=Subset(plain, range(79)))


def test_label_tables_find_labels_names_and_copies():
    images = torch.rand(30, 4)
    images[29] = images[17]
    before = torch.random.get_rng_state()
    table = label_table(Shifted(images), [f"im{i}" for i in range(30)], vocab=["a", "b", "c"])
    assert torch.equal(before, torch.random.get_rng_state())
    assert table.kind == "dataset" and table.vocab == ("a", "b", "c")
    assert (table.given == np.arange(30) % 3).all() and table.item[4] == "im4"
    plan = softfold.plan_folds(table, 3)
    assert plan.fold[29] == plan.fold[17]
    assert table.fingerprint == label_table(Shifted(images), table.item, vocab="abc").fingerprint
    images[3] += 1
    assert table.fingerprint != label_table(Shifted(images), table.item, vocab="abc").fingerprint


def test_dictionaries_and_logits_by_name(digits):
    train_set, _, _ = digits

    class Named(torch.utils.data.Dataset):
        def __len__(self):
            return 300

        def __getitem__(self, i):
            x, y = train_set[i]
            return {"pixels": x, "labels": y}

    class Output(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = make_net()

        def forward(self, pixels):
            return type("Out", (), {"logits": self.net(pixels)})()

    table = label_table(Named())
    oof = softfold.cross_fit(table, ModuleTrainer(Output, epochs=5, lr=0.02), n_folds=2)
    assert (oof.probabilities.argmax(1) == table.given).mean() > 0.3


CALLS = []


def once(dataset, seed):
    CALLS.append(seed)
    return make_net()


def test_finished_folds_are_kept_for_the_same_loop(digits, tmp_path):
    train_set, _, _ = digits
    table = label_table(Subset(train_set, range(200)))
    loop = TrainingLoop(once)
    first = softfold.cross_fit(table, loop, n_folds=2, out=tmp_path)
    again = softfold.cross_fit(table, loop, n_folds=2, out=tmp_path)
    assert len(CALLS) == 2 and CALLS[0] != CALLS[1]
    assert np.array_equal(first.probabilities, again.probabilities)


def test_what_cannot_be_is_one_line(digits):
    train_set, _, _ = digits
    table = label_table(Subset(train_set, range(100)))
    with pytest.raises(InputError, match="make_net is a Sequential: want a function or class"):
        ModuleTrainer(make_net())
    with pytest.raises(
        InputError, match=r"train is a Sequential: want a function train\(dataset\)"
    ):
        TrainingLoop(make_net())
    with pytest.raises(InputError, match="function 'nothing' gave a NoneType"):
        softfold.cross_fit(table, TrainingLoop(nothing), n_folds=2)
    with pytest.raises(
        InputError, match=r"logits of shape \(50, 3\) for targets of shape \(50, 10\)"
    ):
        softfold.cross_fit(table, ModuleTrainer(lambda: nn.Linear(64, 3)), n_folds=2)
    with pytest.raises(InputError, match="scikit-learn cannot read a Dataset"):
        softfold.cross_fit(table, Estimator(), n_folds=2)
    with pytest.raises(InputError, match="the probe takes images"):
        softfold.cross_fit(table, n_folds=2)
    with pytest.raises(InputError, match="item 0 brings no class index as its label but Tensor"):
        label_table(TensorDataset(torch.zeros(3, 2), torch.full((3, 2), 0.5)))
    with pytest.raises(InputError, match=r"1 label of 3 outside 0..1; the first is -1 at item 2"):
        label_table(TensorDataset(torch.zeros(3, 2), torch.tensor([0, 1, -1])))


def nothing(dataset):
    return None
