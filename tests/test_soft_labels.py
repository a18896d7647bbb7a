"""Soft labels in memory and in a file: matched by key and class name, kept whole."""

import numpy as np
import pytest

from softfold.errors import InputError
from softfold.soft_labels import SoftLabels

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.85, 0.05], [0.3, 0.3, 0.4]], np.float32)


def test_aligned_matches_rows_by_key_and_columns_by_name():
    soft = SoftLabels(np.array(["x", "y", "z"]), P, ("a", "b", "c"), "blend")
    np.testing.assert_array_equal(
        soft.aligned(["z", "x"], ["c", "a", "b"]), P[[2, 0]][:, [2, 0, 1]]
    )
    with pytest.raises(InputError, match=r"1 item of 2 without a soft label; the first is 'q'"):
        soft.aligned(["x", "q"], ["a", "b", "c"])
    with pytest.raises(InputError, match="soft labels lack 'd'"):
        soft.aligned(["x"], ["a", "b", "d"])
    with pytest.raises(InputError, match="vocab asked for lacks 'c'"):
        soft.aligned(["x"], ["a", "b"])


def test_save_and_load_keep_keys_names_and_settings(tmp_path):
    soft = SoftLabels(np.array(["x", "y", "ž"]), P, ("a", "b", "c"), "gate", {"threshold": 0.6})
    soft.save(tmp_path / "s.safetensors")
    again = SoftLabels.load(tmp_path / "s.safetensors")
    assert list(again.item) == list(soft.item)
    assert (again.vocab, again.strategy, again.settings) == (soft.vocab, "gate", soft.settings)
    np.testing.assert_array_equal(again.targets, soft.targets)
