"""The cells of a fastai notebook, in order: images, texts, a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fastai.callback.core import Callback
from fastai.tabular.all import (
    Categorify,
    IndexSplitter,
    Normalize,
    TabularPandas,
    range_of,
    tabular_learner,
)
from fastai.text.all import (
    AWD_LSTM,
    BaseTokenizer,
    TextBlock,
    awd_lstm_clas_config,
    text_classifier_learner,
)
from fastai.vision.all import (
    CategoryBlock,
    ColReader,
    ColSplitter,
    DataBlock,
    ImageBlock,
    L,
    Learner,
    Resize,
    RocAuc,
    accuracy,
    params,
)
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from torch import nn

import softfold
from softfold.fastai import SoftLabelCallback
from softfold.soft_labels import SoftLabels
from softfold.trainers.finetune import FineTune


def exported(learn, folder):
    """The file of the exported Learner."""
    learn.export(folder / "model.pkl")
    return folder / "model.pkl"


def predicted_here(learn, frame):
    with learn.no_bar(), learn.no_logging():
        return learn.get_preds(dl=learn.dls.test_dl(frame))[0].argmax(1).tolist()


def small_net(n_classes):
    body = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(body, nn.Flatten(), nn.Linear(16 * 9, n_classes))


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    folder, digits = tmp_path_factory.mktemp("digits"), load_digits(n_class=3)
    rng = np.random.default_rng(0)
    rows = []
    for i, (image, label) in enumerate(zip(digits.images[:300], digits.target)):
        name = f"digit{i:03d}.png"
        Image.fromarray((image * 15).astype(np.uint8)).convert("RGB").save(folder / name)
        given = rng.integers(3) if i >= 60 and rng.random() < 0.3 else label
        rows.append((name, f"n{given}", i < 60))
    frame = pd.DataFrame(rows, columns=["path", "label", "is_valid"])
    frame.to_csv(folder / "labels.csv", index=False)
    return folder, frame


def test_images(digit_files, tmp_path, predicted_without_softfold):
    folder, frame = digit_files

    table = softfold.read_table(folder / "labels.csv")
    oof = softfold.cross_fit(table, FineTune(arch="small_cnn", epochs=2), n_folds=3)
    soft = softfold.soften(table, oof, "blend")

    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=ColReader("path", pref=folder),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
        item_tfms=Resize(8),
    )
    dls = block.dataloaders(frame, bs=16, path=tmp_path)
    learn = Learner(
        dls,
        small_net(3),
        splitter=lambda model: L(model[0], model[1:]).map(params),
        metrics=[accuracy, RocAuc()],
        cbs=SoftLabelCallback(soft),
    )
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(3, base_lr=2e-2)
    right = learn.recorder.values[-1][2]
    assert right > 0.8, "clean validation digits of three classes"
    here = predicted_here(learn, frame[:20])
    there = predicted_without_softfold(exported(learn, tmp_path), frame[:20])
    assert there["classes"] == here


def sentences():
    """Lines of two of scikit-learn's data set descriptions, 40 letters or more."""
    rows = []
    for name, data in (("wine", load_wine()), ("cancer", load_breast_cancer())):
        lines = [" ".join(part.split()) for part in data.DESCR.replace(".", "\n").split("\n")]
        rows += [(line, name) for line in lines if len(line) >= 30]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.insert(0, "name", [f"line {i}" for i in range(len(frame))])
    frame["is_valid"] = np.arange(len(frame)) % 5 == 0
    return frame


def soft_from(frame, key, rng, vocab):
    """Soft labels of the training rows: most weight on the label, the rest at random."""
    rows = frame[~frame["is_valid"]]
    targets = rng.dirichlet(np.ones(len(vocab)), size=len(rows)).astype(np.float32) * 0.3
    targets[np.arange(len(rows)), [vocab.index(name) for name in rows["label"]]] += 0.7
    return SoftLabels(rows[key].to_numpy(dtype=object), targets, tuple(vocab), "blend", {})


def text_loaders(frame, path="."):
    block = DataBlock(
        blocks=(TextBlock.from_df("text", tok=BaseTokenizer(), min_freq=1), CategoryBlock),
        get_x=ColReader("text"),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
    )
    return block.dataloaders(frame, bs=8, path=path, num_workers=0)


def text_learner(dls, **settings):
    config = {**awd_lstm_clas_config, "emb_sz": 16, "n_hid": 16, "n_layers": 1}
    return text_classifier_learner(
        dls, AWD_LSTM, config=config, pretrained=False, drop_mult=0.1, **settings
    )


def test_texts(tmp_path, predicted_without_softfold):
    frame = sentences()
    soft = soft_from(frame, "name", np.random.default_rng(0), ["cancer", "wine"])
    dls = text_loaders(frame, tmp_path)
    seen = Seen(soft)
    learn = text_learner(dls, metrics=accuracy, cbs=[SoftLabelCallback(soft, key="name"), seen])
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(2, base_lr=2e-2)
    assert seen.n > 2 * 8
    learn.remove_cb(seen)
    here = predicted_here(learn, frame[:10])
    there = predicted_without_softfold(exported(learn, tmp_path), frame[:10])
    assert there["classes"] == here


class Seen(Callback):
    """Checks that every target of a batch is one of the soft labels, and counts them."""

    order = 100
    run_valid = False

    def __init__(self, soft):
        super().__init__()
        self.known, self.n = {tuple(np.round(t, 4)) for t in soft.targets}, 0

    def before_batch(self):
        rows = {tuple(np.round(t, 4)) for t in self.learn.yb[0].cpu().numpy()}
        assert rows <= self.known
        self.n += len(self.learn.yb[0])


def test_texts_of_a_learner_of_ones_own_are_cross_fitted():
    frame = sentences()
    table = softfold.read_table(frame[["text", "label"]], label="label")
    trainer = FineTune(dls=text_loaders, learner=text_learner, epochs=1)
    model = trainer.fit(table, softfold.arrays.one_hot(table.given, 2), seed=0, holdout=table)
    p = model.predict(table)
    assert p.shape == (len(table), 2)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-4)
    assert len(model.history) == 1


def wine():
    data = load_wine(as_frame=True)
    frame = data.frame.drop(columns="target")
    frame.columns = [c.replace("/", "_") for c in frame.columns]
    frame["label"] = [f"grower {t}" for t in data.target]
    frame["is_valid"] = np.arange(len(frame)) % 4 == 0
    return frame


def wine_loaders(frame, path="."):
    columns = [c for c in frame.columns if c not in ("label", "is_valid", "item", "colour")]
    valid = np.flatnonzero(frame["is_valid"])
    table = TabularPandas(
        frame,
        procs=[Categorify, Normalize],
        cont_names=columns,
        y_names="label",
        y_block=CategoryBlock(),
        splits=IndexSplitter(valid)(range_of(frame)),
    )
    return table.dataloaders(bs=16, path=path)


def wine_learner(dls, **settings):
    return tabular_learner(dls, layers=[16], metrics=accuracy, **settings)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # fastai's tables
@pytest.mark.parametrize("key", [None, "item"])
def test_a_table(tmp_path, key, predicted_without_softfold):
    frame = wine()
    frame["item"] = [str(i) if key is None else f"bottle {i}" for i in frame.index]
    vocab = sorted(set(frame["label"]))
    soft = soft_from(frame, "item", np.random.default_rng(0), vocab)
    seen = Seen(soft)
    learn = wine_learner(
        wine_loaders(frame, tmp_path), cbs=[SoftLabelCallback(soft, key=key), seen]
    )
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(8, base_lr=2e-2)
    assert seen.n >= 9 * 128
    learn.remove_cb(seen)
    assert learn.recorder.values[-1][2] > 0.85
    if key is None:
        here = predicted_here(learn, frame[:10])
        there = predicted_without_softfold(exported(learn, tmp_path), frame[:10])
        assert there["classes"] == here


def test_a_tables_rows_get_their_own_targets():
    """The first feature of every row is its own soft target, before and after any shuffle."""
    frame = wine().iloc[:, :2]
    rng = np.random.default_rng(0)
    targets = rng.dirichlet(np.ones(2), size=len(frame)).astype(np.float32)
    frame = pd.DataFrame({"a": targets[:, 0], "b": targets[:, 1]})
    frame["label"], frame["is_valid"] = np.where(rng.random(len(frame)) < 0.5, "x", "y"), False
    frame.loc[:20, "is_valid"] = True
    keys = np.array([str(i) for i in frame.index], dtype=object)
    soft = SoftLabels(keys[::-1], targets[::-1], ("x", "y"), "blend", {})
    table = TabularPandas(
        frame,
        cont_names=["a", "b"],
        y_names="label",
        y_block=CategoryBlock(),
        splits=IndexSplitter(np.arange(21))(range_of(frame)),
    )
    wrong, n = 0, 0

    class Compare(Callback):
        order, run_valid = 100, False

        def before_batch(self):
            nonlocal wrong, n
            features, target = self.learn.xb[1], self.learn.yb[0]
            wrong += int(((features - target).abs() > 1e-5).any(1).sum())
            n += len(target)

    learn = tabular_learner(
        table.dataloaders(bs=16), layers=[4], cbs=[SoftLabelCallback(soft), Compare()]
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    assert n > 200 and wrong == 0


def test_a_table_of_a_learner_of_ones_own_is_cross_fitted():
    frame = wine()
    table = softfold.read_table(frame.drop(columns="is_valid"), label="label")
    trainer = FineTune(
        dls=wine_loaders, learner=wine_learner, fit=lambda learn: learn.fit_one_cycle(10, 2e-2)
    )
    oof = softfold.cross_fit(table, trainer, n_folds=2)
    assert (oof.probabilities.argmax(1) == table.given).mean() > 0.85
