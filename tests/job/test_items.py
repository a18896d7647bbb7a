"""items.parquet: one row an item, in words, and nothing said of what no model predicted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_noise import pair
from small_tables import random_pictures, table_of

from softfold.crossfit.oof import OutOfFold
from softfold.data.folds import plan_folds
from softfold.job.items import items_frame
from softfold.noise.model import as_noise_model
from softfold.pixels.images import Images

TABLE = table_of(40)
NOISE = as_noise_model(pair(3, 0.3), 3)


def oof_of(table=TABLE, repeats=2):
    p = np.random.default_rng(0).dirichlet(np.ones(3), len(table.train)).astype(np.float32)
    fold = plan_folds(table, 4, repeats=repeats).fold
    return OutOfFold(table.train.item, p, fold, table.vocab)


def frame_of(table=TABLE, decisions=None):
    return items_frame(table, oof_of(table), NOISE, decisions)


def test_every_item_is_there_in_its_place_with_names_for_classes():
    frame = frame_of()
    assert frame["item"].tolist() == TABLE.item.tolist()
    assert frame["given"].tolist() == [TABLE.vocab[k] for k in TABLE.given]
    assert ((frame["split"] == "valid") == TABLE.valid).all()
    assert {"truth", "group", "file"}.isdisjoint(frame.columns)


def test_training_items_have_what_their_own_row_of_the_predictions_says():
    oof, train = oof_of(), TABLE.train
    rows = frame_of().set_index("item").loc[train.item]
    best = np.array(TABLE.vocab)[oof.probabilities.argmax(1)]
    assert rows["predicted"].tolist() == best.tolist()
    own = oof.probabilities[np.arange(len(train)), train.given]
    np.testing.assert_array_equal(rows["self_confidence"], own)
    assert rows["fold"].tolist() == oof.fold.tolist()
    assert rows["suspicion"].between(0, 1).all()
    assert (rows["suggested"] != rows["given"]).all()
    joint = oof.probabilities * NOISE.transition[:, train.given].T
    expected = 1 - joint[np.arange(len(train)), train.given] / joint.sum(1)
    np.testing.assert_allclose(rows["suspicion"], expected, atol=1e-4)


def test_the_hold_out_has_no_fold_no_prediction_and_no_suspicion():
    held = frame_of().loc[TABLE.valid]
    assert all(len(fold) == 0 for fold in held["fold"])
    assert held["predicted"].isna().all() and held["suggested"].isna().all()
    assert held["suspicion"].isna().all() and held["self_confidence"].isna().all()


def test_a_table_without_a_hold_out_is_whole():
    table = replace(TABLE, valid=np.zeros(len(TABLE), bool))
    assert frame_of(table).notna().all(axis=None)


def test_a_label_that_was_confirmed_is_under_no_suspicion_and_others_stay_as_they_were():
    confirmed, excluded = TABLE.train.item[[0, 3]], TABLE.train.item[5:6]
    decisions = pd.DataFrame(
        {
            "item": [*confirmed, *excluded],
            "state": ["confirmed", "confirmed", "excluded"],
            "label": ["a", "b", None],
        }
    )
    before = frame_of().set_index("item")["suspicion"]
    after = frame_of(decisions=decisions).set_index("item")["suspicion"]
    assert (after[confirmed] == 0).all() and (before[confirmed] > 0).all()
    rest = before.index.difference(confirmed)
    pd.testing.assert_series_equal(before[rest], after[rest])


def test_truth_is_named_where_it_is_known():
    truth = np.where(np.arange(40) % 2 == 0, 1, -1)
    frame = frame_of(replace(TABLE, truth=truth))
    assert frame["truth"].isna().tolist() == [False, True] * 20
    assert set(frame["truth"].dropna()) == {"b"}


def test_groups_and_files_are_those_of_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    group = np.array([f"g{i % 7}" for i in range(40)], dtype=object)
    images = Images([f"pictures/{i}.png" for i in range(40)])
    plain = items_frame(replace(TABLE, data=images), oof_of(), NOISE, None)
    assert plain["file"].tolist() == [str(tmp_path / f"pictures/{i}.png") for i in range(40)]
    assert all(Path(file).is_absolute() for file in plain["file"])
    frame = items_frame(replace(TABLE, group=group), oof_of(), NOISE, None)
    assert frame["group"].tolist() == group.tolist()


def test_images_that_came_as_bytes_have_no_file():
    table = replace(TABLE, data=Images(encoded=random_pictures(40)))
    assert "file" not in items_frame(table, oof_of(), NOISE, None)


def test_parquet_gives_back_the_same(tmp_path):
    pytest.importorskip("pyarrow")
    frame = frame_of(replace(TABLE, truth=np.where(np.arange(40) % 2 == 0, 1, -1)))
    frame.to_parquet(tmp_path / "items.parquet")
    again = pd.read_parquet(tmp_path / "items.parquet")
    assert [list(fold) for fold in again["fold"]] == frame["fold"].tolist()
    columns = [c for c in frame if c != "fold"]
    pd.testing.assert_frame_equal(
        again[columns].astype(object).where(again[columns].notna(), None),
        frame[columns].astype(object).where(frame[columns].notna(), None),
    )
