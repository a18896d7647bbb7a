"""Near copies are said, and those with different labels are kept."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from job.test_preparing import texts
from small_tables import random_pictures

from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.job.near_copies import NO_INDEX, near_pairs, note_near_copies
from softfold.job.opening import open_job
from softfold.pixels.images import Images
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.trainers import BaseTrainer


def test_copies_with_different_labels_are_listed_as_pairs(tmp_path):
    frame = texts().assign(label=["yes", "no", "yes"] * 25)
    frame.loc[60, "label"] = "no"  # a near copy of row 0, which is "yes"
    job = open_job(Settings(), tmp_path / "run", table=read_table(frame), quiet=True)
    lines = note_near_copies(job)
    assert any("different labels, so that one of each is probably wrong" in line for line in lines)
    kept = pd.read_parquet(tmp_path / "run" / "conflicting_copies.parquet")
    assert (kept["given"] != kept["copy_given"]).all()
    assert {"0", "60"} in [{a, b} for a, b in zip(kept["item"], kept["copy"], strict=True)]


class Alike(BaseTrainer):
    """Sees the first two images as near copies."""

    def features(self, table):
        return np.eye(len(table), dtype=np.float32)[[1, 1, *range(2, len(table))]]


@pytest.mark.parametrize("few", [True, False])
def test_what_takes_too_long_without_an_index_is_left_out_and_said(tmp_path, monkeypatch, few):
    pytest.importorskip("torch")
    item = np.array([f"i{i}" for i in range(40)], dtype=object)
    images = Images(encoded=random_pictures(40))
    table = LabelTable(item, np.arange(40) % 2, ("a", "b"), np.arange(40) >= 30, data=images)
    job = open_job(Settings(trainer="probe"), tmp_path / "run", table=table, quiet=True)
    monkeypatch.setattr("softfold.vision.near_copies.can_be_compared", lambda n: few or n < 40)
    lines = note_near_copies(replace(job, oof_trainer=Alike()))
    if few:
        assert lines[0].startswith("1 pair of near copies by features") and "i0 and i1" in lines[0]
    else:
        assert lines == [NO_INDEX.format("40 images")]
    assert Run(tmp_path / "run").config["notes"][-len(lines) :] == lines


def test_an_index_is_wanted_where_comparing_all_would_take_long(monkeypatch):
    module = pytest.importorskip("softfold.vision.near_copies")
    for has, expected in ((True, True), (False, False)):
        monkeypatch.setattr(module, "has_index", lambda has=has: has)
        assert module.can_be_compared(module.EXACT_ITEMS)
        assert module.can_be_compared(module.EXACT_ITEMS + 1) is expected


def test_too_many_images_to_compare_are_refused_before_anything_is_computed(monkeypatch):
    module = pytest.importorskip("softfold.vision.near_copies")
    monkeypatch.setattr(module, "has_index", lambda: False)
    monkeypatch.setattr(module, "MOST_COMPARED", 2)
    data = Images(encoded=[b""] * 3)  # nothing that could be decoded
    items = np.array(["a", "b", "c"], dtype=object)
    table = LabelTable(items, np.zeros(3, int), ("one",), np.zeros(3, bool), data=data)
    with pytest.raises(InputError, match="3 images are too many"):
        near_pairs(table, Settings(group_near_copies=True))
