"""A LightningModule and its DataModule as they are: folds by one call, and what soft labels gain."""

from __future__ import annotations

import pytest

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import softfold
from softfold.errors import InputError
from softfold.lightning import LightningTrainer
from softfold.torch import label_table, with_soft_targets

# what Lightning says of few workers and few steps
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Digits(lightning.LightningModule):
    """As anybody writes it; `training_step` knows nothing of soft labels."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        x, y = batch
        return cross_entropy(self(x), y)

    def validation_step(self, batch, _):
        x, y = batch
        self.log("accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.003)


class DigitsData(lightning.LightningDataModule):
    """The clean items are validated on; training items bring whatever target they have."""

    def __init__(self, train_set, valid_set):
        super().__init__()
        self.train_set, self.valid_set = train_set, valid_set

    def train_dataloader(self):
        return DataLoader(self.train_set, 64, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.valid_set, 256)


def accuracy(train_set, valid_set):
    """Of a module that was trained by Lightning's own Trainer, with its DataModule."""
    torch.manual_seed(0)
    trainer = lightning.Trainer(
        max_epochs=10,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(), DigitsData(train_set, valid_set))
    return trainer.callback_metrics["accuracy"].item()


def test_soft_labels_gain_with_module_and_datamodule_unchanged(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    x, truth = load_digits(return_X_y=True)
    given = softfold.corrupt(truth, rate=0.4, kind="pair", seed=0)
    x = torch.tensor(x / 16, dtype=torch.float32)
    train_set = TensorDataset(x[:1200], torch.from_numpy(given[:1200]))
    valid_set = TensorDataset(x[1200:], torch.from_numpy(truth[1200:]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        table = label_table(train_set)
        trainer = LightningTrainer(Digits, max_epochs=10, accelerator="cpu")
        fit = softfold.noise_aware_cross_fit(table, trainer)
        soft = softfold.soften(table, fit.oof, noise=fit.noise)
        plain = accuracy(train_set, valid_set)
        assert accuracy(with_soft_targets(train_set, soft), valid_set) > plain + 0.2
    finally:
        torch.set_num_threads(threads)
    assert not list(tmp_path.iterdir()), "folds leave no files behind"


def test_a_module_that_exists_already_is_refused():
    with pytest.raises(InputError, match="make_module is a Digits: want a function or class"):
        LightningTrainer(Digits())
    assert LightningTrainer(Digits, max_epochs=3).describe()["settings"] == {"max_epochs": 3}
