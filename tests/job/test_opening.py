"""Opening a job: copies, groups and the hold-out are settled before anything is trained."""

import numpy as np
import pytest
from small_tables import random_pictures, table_of

from softfold.data.table import LabelTable
from softfold.job.opening import open_job
from softfold.pixels.images import Images
from softfold.runs.settings import Settings

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")


def test_copies_and_groups_that_the_holdout_shares_are_left_out_and_named(tmp_path):
    pytest.importorskip("PIL")
    encoded = random_pictures(60)
    encoded[40] = encoded[3]  # a copy in the hold-out
    encoded[11] = encoded[10]  # a copy within training
    group = np.array([f"g{i}" for i in range(60)], dtype=object)
    group[5] = group[50]
    table = LabelTable(
        item=np.array([f"i{i}" for i in range(60)], dtype=object),
        given=np.arange(60) % 2,
        vocab=("a", "b"),
        valid=np.arange(60) >= 40,
        group=group,
        data=Images(encoded=encoded),
    )
    job = open_job(Settings(labels="t"), tmp_path / "run", table=table, quiet=True)
    assert set(table.item) - set(job.table.item) == {"i3", "i5"}
    notes = " ".join(job.notes)
    assert "1 training item has an exact copy in the hold-out" in notes
    assert "the first is i3" in notes and "the first is i5" in notes
    plan = job.plan(0)
    fold = dict(zip(plan.item, plan.fold[:, 0], strict=True))
    assert fold["i10"] == fold["i11"]


def test_without_a_split_the_same_stratified_fifth_is_held_out_for_every_seed(tmp_path):
    table = table_of(300)
    table = LabelTable(
        table.item, table.given, table.vocab, np.zeros(300, bool), data=table.data, name="t"
    )
    jobs = [
        open_job(Settings(labels="t", seed=s), tmp_path / str(s), table=table, quiet=True)
        for s in (0, 5)
    ]
    one, two = (job.table for job in jobs)
    assert (one.valid == two.valid).all() and one.valid.sum() == 60
    assert np.bincount(one.given[one.valid]).tolist() == [20, 20, 20]
    assert (jobs[0].plan(0).fold != jobs[1].plan(0).fold).any()
    assert any("a stratified fifth" in note for note in jobs[0].notes)
    assert any("names items whose labels were checked" in note for note in jobs[0].notes)


def test_a_hold_out_of_ones_own_is_not_told_to_be_wrong(tmp_path):
    job = open_job(Settings(labels="t"), tmp_path / "run", table=table_of(300), quiet=True)
    assert any("unless those were checked, some may be wrong" in note for note in job.notes)
