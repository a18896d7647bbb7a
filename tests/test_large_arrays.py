"""Large arrays are on the disk."""

import numpy as np
import pytest

from softfold import large_arrays
from softfold.errors import InputError


def test_rows_are_taken_in_parts_and_stay_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(large_arrays, "LARGE", 1000)
    monkeypatch.setenv("SOFTFOLD_SCRATCH", str(tmp_path))
    array = np.random.default_rng(0).random((300, 7), dtype=np.float32)
    made = large_arrays.taken(array, np.arange(300)[::-1])
    assert isinstance(made, np.memmap) and np.array_equal(made, array[::-1])
    assert not large_arrays.scratch((400, 5)).any() and not list(tmp_path.iterdir())


def test_a_scratch_folder_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(large_arrays, "LARGE", 1000)
    monkeypatch.setenv("SOFTFOLD_SCRATCH", str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"absent: no room for .* give another folder in SOFTFOLD"):
        large_arrays.scratch((4000, 5))
