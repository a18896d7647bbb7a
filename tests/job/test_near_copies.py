"""Near copies are said, and those with different labels are kept."""

import pandas as pd
from job.test_preparing import texts

from softfold.data.reading import read_table
from softfold.job.near_copies import note_near_copies
from softfold.job.opening import open_job
from softfold.runs.settings import Settings


def test_copies_with_different_labels_are_listed_as_pairs(tmp_path):
    frame = texts().assign(label=["yes", "no", "yes"] * 25)
    frame.loc[60, "label"] = "no"  # a near copy of row 0, which is "yes"
    job = open_job(Settings(), tmp_path / "run", table=read_table(frame), quiet=True)
    lines = note_near_copies(job)
    assert any("different labels, so that one of each is probably wrong" in line for line in lines)
    kept = pd.read_parquet(tmp_path / "run" / "conflicting_copies.parquet")
    assert (kept["given"] != kept["copy_given"]).all()
    assert {"0", "60"} in [{a, b} for a, b in zip(kept["item"], kept["copy"], strict=True)]
