"""What a run writes, the run folder reads."""

import numpy as np
import pandas as pd
import pytest
from made_noise import pair
from small_tables import random_pictures, soft_of, table_of

from softfold.crossfit.oof import OutOfFold
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.noise.model import as_noise_model
from softfold.pixels.images import Images
from softfold.runs.folder import Run
from softfold.runs.writing import RunWriter
from softfold.tensors import read_tensors

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
TABLE = table_of(30)


@pytest.fixture
def writer(tmp_path):
    writer = RunWriter(tmp_path / "runs" / "new")
    writer.config(
        {"name": "toy", "kind": "table", "settings": {"labels": "toy.csv"}}
        | {"trainer": "probe", "trainer_settings": {}, "seeds": [0], "notes": [], "versions": {}}
        | {"oof_trainer": "probe", "oof_trainer_settings": {}}
    )
    return writer


def items(table=TABLE):
    names = np.array(table.vocab, dtype=object)
    split = np.where(table.valid, "valid", "train")
    return pd.DataFrame({"item": table.item, "given": names[table.given], "split": split})


def test_the_folder_is_made_with_the_first_file(writer):
    assert sorted(p.name for p in writer.path.iterdir()) == ["config.json", "manifest.json"]
    assert Run.open(writer.path).name == "toy"


def test_decisions_come_first_and_make_the_folder_too(tmp_path):
    frame = pd.DataFrame({"item": ["i1"], "state": ["confirmed"], "label": ["b"]})
    RunWriter(tmp_path / "new").decisions(frame)
    pd.testing.assert_frame_equal(Run(tmp_path / "new").decisions, frame)


def test_predictions_noise_model_and_class_names_come_back(writer):
    p = np.random.default_rng(0).dirichlet(np.ones(3), len(TABLE.train)).astype(np.float32)
    fold = np.zeros((len(p), 1), np.int16)
    noise = as_noise_model(pair(3, 0.2), 3)
    writer.cross_fit(OutOfFold(TABLE.train.item, p, fold, TABLE.vocab), noise)
    writer.items(items())
    run = Run.open(writer.path)
    assert run.vocab == TABLE.vocab and run.oof.item.tolist() == TABLE.train.item.tolist()
    np.testing.assert_array_equal(run.probabilities, p)
    np.testing.assert_allclose(run.noise.transition, noise.transition, atol=1e-6)
    assert run.noise.rate == pytest.approx(0.2)


def test_soft_labels_hold_out_predictions_and_figures_come_back(writer):
    soft = soft_of(TABLE, 0.8)
    both = {"baseline": np.zeros((2, 4, 3), np.float32), "soft": np.ones((2, 4, 3), np.float32)}
    writer.soft_labels(soft)
    writer.holdout(**both)
    writer.metrics({"difference": {"mean": np.float64(0.25)}})
    run = Run.open(writer.path)
    np.testing.assert_array_equal(run.soft_labels.targets, soft.targets)
    assert run.soft_labels.strategy == soft.strategy
    for name, values in run.holdout_predictions().items():
        np.testing.assert_array_equal(values, both[name])
    assert run.metrics == {"difference": {"mean": 0.25}}


def test_models_without_learning_curves_leave_a_history_without_rows(writer):
    writer.history(None)
    history = Run.open(writer.path).history
    assert len(history) == 0
    assert list(history) == ["model", "seed", "epoch", "train_loss", "valid_loss", "accuracy"]
    assert history["epoch"].dtype == np.int64 and history["accuracy"].dtype == np.float64


def table_with(data):
    n = len(data)
    item = np.array([f"i{i}" for i in range(n)], dtype=object)
    return LabelTable(item, np.arange(n) % 2, ("a", "b"), np.zeros(n, bool), data=data)


FRAME = pd.DataFrame({"x": [1.5, np.nan], "word": ["é", None], "n": [2**53, 1]})


@pytest.mark.parametrize("can_be_read", [False, True])
def test_the_columns_of_a_table_are_kept_as_they_are(writer, can_be_read):
    writer.data(table_with(FRAME), can_be_read=can_be_read)
    pd.testing.assert_frame_equal(pd.read_parquet(writer.path / "data.parquet"), FRAME)


def test_a_feature_matrix_is_kept(writer):
    features = np.arange(6.0).reshape(2, 3)
    writer.data(table_with(features), can_be_read=False)
    kept = read_tensors(writer.path / "data.safetensors")[0]
    np.testing.assert_array_equal(kept["features"], features)


def test_images_handed_over_in_memory_are_kept_where_nothing_else_has_them(writer):
    encoded = random_pictures(2)
    writer.data(table_with(Images(encoded=encoded)), can_be_read=False)
    assert pd.read_parquet(writer.path / "data.parquet")["image"].tolist() == encoded


@pytest.mark.parametrize(
    ("data", "can_be_read"),
    [
        (lambda: Images(encoded=random_pictures(2)), True),
        (lambda: Images(["a.png", "b.png"]), False),
        (lambda: Images(encoded=[]), False),
    ],
    ids=["can be read again", "files", "no images"],
)
def test_images_that_are_elsewhere_are_not_copied(writer, data, can_be_read):
    before = set(writer.path.iterdir())
    writer.data(table_with(data()), can_be_read=can_be_read)
    assert set(writer.path.iterdir()) == before


def test_labels_alone_leave_no_data(writer):
    item = np.array(["x", "y"], dtype=object)
    table = LabelTable(item, np.array([0, 1]), ("a", "b"), np.zeros(2, bool))
    writer.data(table, can_be_read=False)
    assert sorted(p.name for p in writer.path.iterdir()) == ["config.json", "manifest.json"]


def test_what_was_not_written_yet_is_said_to_be_absent(writer):
    with pytest.raises(InputError, match=r"no soft_labels\.safetensors yet"):
        Run.open(writer.path).soft_labels  # noqa: B018
