"""A training that was stopped after an epoch ends with the bytes of one that was not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from softfold.arrays import one_hot
from softfold.data.table import LabelTable
from softfold.pixels.images import Images
from softfold.trainers.checkpoints import checkpoints_in
from softfold.trainers.finetune import FineTune, epochs


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def squares():
    rng = np.random.default_rng(0)
    given = np.arange(24) % 3
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])
    encoded = []
    for colour in colours[given]:
        file = io.BytesIO()
        pixels = colour + rng.integers(-60, 60, (32, 32, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
        encoded.append(file.getvalue())
    return LabelTable(
        item=np.array([f"square {i}" for i in range(24)], dtype=object),
        given=given,
        vocab=("red", "green", "blue"),
        valid=np.arange(24) % 4 == 3,
        data=Images(encoded=encoded),
    )


TRAINERS = {
    "small net": {"arch": "small_cnn", "size": 16, "epochs": 3, "batch_size": 8},
    "maps of a pretrained one": {"arch": "efficientnet_lite0", "size": 32, "epochs": 3},
}


def fitted(table, settings, folder=None, seed=5):
    train = table.train
    torch.manual_seed(seed)
    with checkpoints_in(folder):
        trainer = FineTune(**settings, device="cpu")
        made = trainer.fit(train, one_hot(train.given, 3), seed=seed, holdout=table.holdout)
    return made.predict(table), made.history


@pytest.mark.parametrize("settings", TRAINERS.values(), ids=TRAINERS)
def test_a_stop_after_any_epoch_changes_no_byte(squares, settings, tmp_path, monkeypatch):
    expected, curve = fitted(squares, settings)
    stops = 0

    def stop():
        nonlocal stops
        stops += 1
        raise KeyboardInterrupt

    monkeypatch.setattr(epochs, "stop_here", stop)
    for _ in range(10):
        try:
            found, history = fitted(squares, settings, tmp_path)
            break
        except KeyboardInterrupt:
            assert len(list(tmp_path.rglob("*.epoch"))) == 1
    assert stops == (3 if settings["arch"] == "small_cnn" else 2)
    assert found.tobytes() == expected.tobytes()
    assert history.equals(curve)
    assert not list(tmp_path.rglob("*.epoch"))


def test_other_settings_begin_anew(squares, tmp_path, monkeypatch):
    settings = TRAINERS["small net"]
    expected, _ = fitted(squares, settings, seed=6)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(epochs, "stop_here", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        fitted(squares, settings, tmp_path, seed=5)
    assert fitted(squares, settings, tmp_path, seed=6)[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("damage", [b"", b"junk" * 20])
def test_a_damaged_epoch_is_trained_again_and_said(squares, tmp_path, monkeypatch, damage):
    settings = TRAINERS["small net"]
    expected, _ = fitted(squares, settings)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(epochs, "stop_here", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        fitted(squares, settings, tmp_path)
    next(tmp_path.rglob("*.epoch")).write_bytes(damage)
    with pytest.warns(UserWarning, match="damaged; the epochs are trained again"):
        found, _ = fitted(squares, settings, tmp_path)
    assert found.tobytes() == expected.tobytes()
