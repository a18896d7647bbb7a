"""A LightningModule and its DataModule as they are: folds by one call, what soft labels gain."""

from __future__ import annotations

from typing import ClassVar

import pytest

pytest.importorskip("lightning")
pytest.importorskip("sklearn")
import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import softfold
from softfold.errors import InputError
from softfold.lightning import LightningTrainer
from softfold.lightning.trainer import _of_this_fit
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


class Logging(Digits):
    def training_step(self, batch, _):
        loss = super().training_step(batch, _)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss


class Watching(Digits):
    """Notes how many items a fold trains and validates on."""

    seen: ClassVar[list] = []

    def on_fit_end(self):
        data = self.trainer.train_dataloader, self.trainer.val_dataloaders
        self.seen.append(tuple(len(loader.dataset) for loader in data))


class DigitsData(lightning.LightningDataModule):
    """The clean items are validated on; training items bring whatever target they have."""

    def __init__(self, train_set, valid_set):
        super().__init__()
        self.train_set, self.valid_set = train_set, valid_set

    def train_dataloader(self):
        return DataLoader(self.train_set, 64, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.valid_set, 256)


@pytest.fixture
def sets(monkeypatch, tmp_path):
    """Training and validation items; in a folder of its own, which stays empty."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x, truth = load_digits(return_X_y=True)
    x, truth = torch.tensor(x / 16, dtype=torch.float32), torch.from_numpy(truth)
    yield TensorDataset(x[:400], truth[:400]), TensorDataset(x[400:800], truth[400:800])
    torch.set_num_threads(threads)
    assert not list(tmp_path.iterdir()), "folds leave no files behind"


def test_folds_of_a_module_predict_what_they_did_not_see(sets):
    table = label_table(sets[0])
    trainer = LightningTrainer(Digits, max_epochs=8, accelerator="cpu")
    oof = softfold.cross_fit(table, trainer, n_folds=2)
    assert (oof.probabilities.argmax(1) == table.given).mean() > 0.7
    assert softfold.cross_fit(table, trainer, n_folds=2).probabilities == pytest.approx(
        oof.probabilities
    )


def test_a_datamodule_takes_soft_targets_as_it_is(sets):
    train_set, valid_set = sets
    soft = torch.full((400, 10), 0.02)
    soft[torch.arange(400), train_set.tensors[1]] = 0.82
    data = DigitsData(with_soft_targets(train_set, soft), valid_set)
    trainer = lightning.Trainer(
        max_epochs=8,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Digits()
    trainer.fit(module, data)
    assert trainer.callback_metrics["accuracy"] > 0.7
    p = module(train_set.tensors[0]).softmax(1)
    assert 0.5 < p.max(1).values.mean() < 0.9, "about as sure as the targets are"


def test_every_fold_has_callbacks_loggers_and_folders_of_its_own(sets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    patience = EarlyStopping("loss", patience=1, min_delta=1e6)
    trainer = LightningTrainer(
        Logging,
        max_epochs=4,
        accelerator="cpu",
        callbacks=[patience, ModelCheckpoint(folder / "models")],
        enable_checkpointing=True,
        logger=CSVLogger(folder, name="logs"),
    )
    softfold.cross_fit(label_table(sets[0]), trainer, n_folds=2)
    epochs = [
        pd.read_csv(folder / "logs" / f"version_{fold}" / "metrics.csv").epoch.nunique()
        for fold in range(2)
    ]
    assert epochs == [2, 2], "what one fold's callback saw is nothing to another's"
    assert len(list(folder.glob("models/fit-[12]/*.ckpt"))) == 2
    assert patience.wait_count == 0


def test_fits_that_begin_side_by_side_have_folders_of_their_own(tmp_path):
    settings = {"callbacks": [ModelCheckpoint(tmp_path / "models")]}
    folders = {_of_this_fit(settings)["callbacks"][0].dirpath for _ in range(2)}
    assert folders == {str(tmp_path / "models" / f"fit-{i}") for i in (1, 2)}


def test_what_monitors_a_validation_gets_one_or_says_so(sets):
    table = label_table(sets[0])
    how = dict(max_epochs=1, accelerator="cpu", callbacks=[EarlyStopping("accuracy")])
    with pytest.raises(InputError, match=r"which is not available.*valid_share=0\.1"):
        softfold.cross_fit(table, LightningTrainer(Digits, **how), n_folds=2)
    Watching.seen.clear()
    softfold.cross_fit(table, LightningTrainer(Watching, valid_share=0.2, **how), n_folds=2)
    (first, first_valid), (second, second_valid) = Watching.seen
    assert first_valid == second_valid == 40 and first == second == 160


def test_a_module_that_exists_already_is_refused():
    with pytest.raises(InputError, match="make_module is a Digits: want a function or class"):
        LightningTrainer(Digits())
    assert LightningTrainer(Digits, max_epochs=3).describe()["settings"] == {"max_epochs": 3}
