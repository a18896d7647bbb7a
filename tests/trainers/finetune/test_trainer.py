"""The fine-tune trainer: what it learns, keeps, reproduces and refuses."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from softfold.arrays import one_hot
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.machine import runtime
from softfold.pixels.images import Images
from softfold.trainers import create_trainer
from softfold.trainers.finetune import FineTune, load
from softfold.trainers.probe import Probe


def encode(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTFOLD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    images = [encode((image * 15).astype(np.uint8)) for image in data.images]
    return LabelTable(
        item=np.array([f"digit-{i}" for i in range(len(images))], dtype=object),
        given=data.target.astype(np.int64),
        vocab=tuple("0123456789"),
        valid=np.arange(len(images)) % 5 == 0,
        data=Images(encoded=images),
    )


@pytest.fixture(scope="module")
def squares():
    """32 x 32 images of three colours with noise: enough for a pretrained network."""
    rng = np.random.default_rng(0)
    given = np.arange(60) % 3
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])
    pixels = colours[given][:, None, None] + rng.integers(-50, 50, (60, 32, 32, 3))
    return LabelTable(
        item=np.array([f"square {i}" for i in range(60)], dtype=object),
        given=given,
        vocab=("red", "green", "blue"),
        valid=np.arange(60) % 4 == 3,
        data=Images(encoded=[encode(p.clip(0, 255).astype(np.uint8)) for p in pixels]),
    )


def right(model, table):
    return float((model.predict(table).argmax(1) == table.given).mean())


# -- the small net ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(digits):
    train = digits.train
    targets = one_hot(train.given, 10)
    return FineTune("small_cnn").fit(train, targets, seed=0, holdout=digits.holdout)


def test_the_small_net_learns_digits(trained, digits):
    assert right(trained, digits.holdout) > 0.97


def test_the_history_is_the_learning_curve(trained, digits):
    curve = trained.history
    assert list(curve.columns) == ["epoch", "train_loss", "valid_loss", "accuracy", "roc_auc"]
    assert curve["epoch"].tolist() == list(range(10)), "--epochs 9 are 10 in all"
    assert curve["accuracy"].iloc[-1] == pytest.approx(right(trained, digits.holdout))


def test_a_saved_model_predicts_the_same(trained, digits, tmp_path):
    trained.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.vocab == trained.vocab
    np.testing.assert_array_equal(again.predict(digits.holdout), trained.predict(digits.holdout))


def test_a_seed_gives_the_same_model_and_another_seed_another(digits):
    small = digits.train.take(np.arange(200))
    targets = one_hot(small.given, 10)
    fits = [FineTune("small_cnn", epochs=0).fit(small, targets, seed=s) for s in (1, 1, 2)]
    first, same, other = (model.predict(small) for model in fits)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0.01


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    runtime.setup(threads=2)
    yield
    runtime.setup(threads=before)


@pytest.mark.usefixtures("two_threads")
def test_training_leaves_random_numbers_and_threads_as_they_were(digits):
    small = digits.train.take(np.arange(100))
    torch.manual_seed(3)
    np.random.seed(3)
    wanted = (torch.rand(1), np.random.rand())
    torch.manual_seed(3)
    np.random.seed(3)
    FineTune("small_cnn", epochs=0).fit(small, one_hot(small.given, 10), seed=0)
    assert (torch.rand(1), np.random.rand()) == wanted
    assert torch.get_num_threads() == 2


def test_soft_targets_are_what_is_learned(digits):
    """Targets that say the next class teach the next class: no given label is looked at."""
    train = digits.train
    model = FineTune("small_cnn", epochs=4).fit(train, one_hot((train.given + 1) % 10, 10), seed=0)
    moved = (model.predict(digits.holdout).argmax(1) == (digits.holdout.given + 1) % 10).mean()
    assert moved > 0.9


def test_training_through_a_noise_model_predicts_the_truth(digits):
    """45% of each class carries the next class's label; T says so."""
    train, rng = digits.train, np.random.default_rng(0)
    moved = rng.random(len(train)) < 0.45
    given = np.where(moved, (train.given + 1) % 10, train.given)
    transition = 0.55 * np.eye(10) + 0.45 * np.roll(np.eye(10), 1, axis=1)
    fits = {}
    for name, noise in (("plain", None), ("forward", transition)):
        model = FineTune("small_cnn").fit(train, one_hot(given, 10), seed=0, noise=noise)
        fits[name] = right(model, digits.holdout)
    assert fits["forward"] > 0.93
    assert fits["forward"] > fits["plain"]


def test_progress_counts_the_batches(digits):
    small, seen = digits.train.take(np.arange(128)), []
    trainer = FineTune("small_cnn", epochs=1, batch_size=32)
    trainer.progress = lambda done, total: seen.append((done, total))
    trainer.fit(small, one_hot(small.given, 10), seed=0)
    assert seen == [(i + 1, 8) for i in range(8)]


# -- pretrained --------------------------------------------------------------------------------


def test_training_starts_from_the_probe(squares, tmp_path, monkeypatch):
    # in one precision: a barely regularised head on 45 images magnifies bfloat16's rounding
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    for module in (
        "softfold.machine.runtime",
        "softfold.vision.features",
        "softfold.trainers.finetune.maps",
    ):
        monkeypatch.setattr(f"{module}.precision", lambda *args, **kwargs: torch.float32)
    train, holdout = squares.train, squares.holdout
    targets = one_hot(train.given, 3)
    tuned = FineTune(size=32, epochs=0).fit(train, targets, seed=0, holdout=holdout)
    probe = Probe(size=32, stages=False).fit(train, targets, seed=0)
    np.testing.assert_allclose(tuned.predict(holdout), probe.predict(holdout), atol=0.005)
    assert len(tuned.history) == 1


@pytest.mark.parametrize(("epochs", "made"), [(0, {0}), (1, {0}), (2, {0, 1})])
def test_no_more_crops_are_made_than_there_are_epochs(squares, monkeypatch, epochs, made):
    from softfold.trainers.finetune.maps import MapMaker

    views, view = set(), MapMaker.view
    monkeypatch.setattr(MapMaker, "view", lambda self, i, v: (views.add(v), view(self, i, v))[1])
    train = squares.train
    FineTune(size=32, epochs=epochs, batch_size=8).fit(train, one_hot(train.given, 3), seed=0)
    assert views == made


@pytest.mark.parametrize("views", [0, 2])
def test_fine_tuning_keeps_batchnorm_statistics_and_learns(squares, views):
    train, holdout = squares.train, squares.holdout
    trainer = FineTune(size=32, epochs=2, batch_size=8, views=views)
    model = trainer.fit(train, one_hot(train.given, 3), seed=0, holdout=holdout)
    fresh = FineTune(size=32, epochs=0).fit(train, one_hot(train.given, 3), seed=0)
    before, after = fresh.net.state_dict(), model.net.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert not {k for k in moved if "running" in k}, "statistics stay as pretrained"
    assert {k for k in moved if k.startswith("body")}, "the body is trained"
    assert ("body.conv_stem.weight" in moved) == (views == 0)
    assert len(model.history) == 3
    assert np.isfinite(model.history["valid_loss"]).all()


# -- refusals ----------------------------------------------------------------------------------


def test_items_that_are_no_images_need_a_learner():
    table = LabelTable(
        item=np.array(["a", "b"], dtype=object),
        given=np.array([0, 1]),
        vocab=("x", "y"),
        valid=np.zeros(2, bool),
        data=np.zeros((2, 3)),
    )
    with pytest.raises(InputError, match="finetune trains images by itself"):
        FineTune().fit(table, one_hot(table.given, 2), seed=0)


def test_loaders_without_a_learner_are_refused():
    with pytest.raises(InputError, match="give both dls= and learner="):
        FineTune(dls=lambda frame: frame)


def test_files_of_other_models_are_refused(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(InputError, match="no such model file"):
        load(tmp_path / "none.safetensors")
    save_file({"a": np.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="not the file of a fine-tuned model"):
        load(tmp_path / "other.safetensors")


def test_settings_by_name_are_the_trainers_own():
    trainer = create_trainer("finetune", size=64, epochs=1, device=None)
    assert trainer.describe()["size"] == 64
    assert trainer.describe()["arch"] == "efficientnet_lite0"
