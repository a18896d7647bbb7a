"""Features that were made elsewhere reach the item of their key, or are refused in a line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from softfold.data.item_features import ItemFeatures, as_item_features, read_item_features
from softfold.errors import InputError

KEYS = [f"pictures/{i}.jpg" for i in range(6)]
VALUES = np.arange(18, dtype=np.float32).reshape(6, 3)


def in_file(folder, kind):
    """The features in a file of that kind, as other tools write it."""
    if kind == "npy":
        np.save(folder / "f.npy", VALUES.astype(np.float64))
        return folder / "f.npy"
    pytest.importorskip("pyarrow")
    if kind == "columns":
        frame = pd.DataFrame(VALUES, columns=["a", "b", "c"]).assign(item=KEYS)
        frame.to_parquet(folder / "f.parquet")
        return folder / "f.parquet"
    if kind == "lists":
        pd.DataFrame({"item": KEYS, "embedding": list(VALUES)}).to_parquet(folder / "f.parquet")
        return folder / "f.parquet"
    save_file = pytest.importorskip("safetensors.numpy").save_file
    header = {"item": json.dumps(KEYS)}
    save_file({"embedding": VALUES.astype(np.float16)}, folder / "f.safetensors", metadata=header)
    return folder / "f.safetensors"


@pytest.mark.parametrize("kind", ["npy", "columns", "lists", "header"])
def test_every_kind_of_file_gives_each_item_its_own_row(tmp_path, kind):
    features = read_item_features(in_file(tmp_path, kind), KEYS)
    wanted = [KEYS[4], KEYS[0], KEYS[5]]
    np.testing.assert_array_equal(features.of(wanted), VALUES[[4, 0, 5]])
    assert features.of(wanted).dtype == np.float32


@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".safetensors"])
def test_what_was_written_is_read_again_with_the_same_digest(tmp_path, suffix):
    pytest.importorskip("pyarrow")
    features = ItemFeatures(KEYS, VALUES)
    features.save(tmp_path / f"f{suffix}")
    assert read_item_features(tmp_path / f"f{suffix}", KEYS).digest == features.digest


def test_the_digest_is_that_of_keys_and_values():
    one = ItemFeatures(KEYS, VALUES)
    assert one.digest == ItemFeatures(KEYS, VALUES.astype(np.float64)).digest
    assert one.take(KEYS[::-1]).take(KEYS).digest == one.digest
    assert one.digest != ItemFeatures(KEYS[::-1], VALUES).digest
    assert one.digest != ItemFeatures(KEYS, VALUES + 1).digest


def test_a_data_frame_has_its_keys_in_the_index_or_in_a_column():
    indexed = pd.DataFrame(VALUES, index=KEYS)
    np.testing.assert_array_equal(as_item_features(indexed).of(KEYS[2:3]), VALUES[2:3])
    column = indexed.reset_index(names="item")
    assert as_item_features(column).digest == as_item_features(indexed).digest


def spoiled(row, value):
    values = VALUES.copy()
    values[row, 1] = value
    return values


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (lambda: ItemFeatures(KEYS, spoiled(2, np.nan)), "of 1 of 6 items are missing or infinite"),
        (lambda: ItemFeatures(KEYS, spoiled(2, np.inf)), "the first is 'pictures/2.jpg'"),
        (lambda: ItemFeatures(KEYS, VALUES.astype(float) * 1e300), "of 6 of 6 items are missing"),
        (lambda: ItemFeatures(KEYS, VALUES).of(["x.jpg"]), "1 item of 1 without features; the"),
        (lambda: ItemFeatures(KEYS[:5], VALUES), "6 rows of features for 5 items"),
        (lambda: ItemFeatures([*KEYS[:5], KEYS[0]], VALUES), "1 of 6 repeat an earlier one"),
        (lambda: ItemFeatures(KEYS, VALUES[0]), r"features have shape \(3,\); want \(N, D\)"),
        (lambda: ItemFeatures(KEYS, VALUES.astype(str)), "of type <U32, not numbers"),
        (lambda: as_item_features(VALUES), r"pd.DataFrame\(features, index=table.item\)"),
        (lambda: read_item_features("none.npy", KEYS), "none.npy: no such file of features"),
    ],
)
def test_bad_features_are_refused_in_one_line(made, line):
    with pytest.raises(InputError, match=line) as refused:
        made()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (VALUES[:5], "f.npy: 5 rows, and the label table has 6 items"),
        (np.array([[{}]] * 6, dtype=object), "array of objects, which only running code could"),
    ],
)
def test_a_npy_file_that_is_not_one_row_an_item_is_refused(tmp_path, array, line):
    np.save(tmp_path / "f.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=line):
        read_item_features(tmp_path / "f.npy", KEYS)
    with pytest.raises(InputError, match="no item keys, and here is no label table"):
        read_item_features(tmp_path / "f.npy")


def test_files_that_lack_keys_or_hold_no_matrix_are_refused(tmp_path):
    pytest.importorskip("pyarrow")
    save_file = pytest.importorskip("safetensors.numpy").save_file
    ragged = pd.DataFrame({"item": KEYS, "e": [[1.0, 2.0]] * 5 + [[1.0]]})
    words = pd.DataFrame({"item": KEYS, "a": 1.0, "colour": "red"})
    no_keys = pd.DataFrame(VALUES, columns=["a", "b", "c"])
    for frame, line in (
        (ragged, "1 item are of another length than the 2 of the first; .*5.jpg' with 1"),
        (words, "1 column beside `item` not of numbers; the first is 'colour'"),
        (no_keys, "no column 'item' with the items' keys: add one; it has: a, b, c"),
        (no_keys.assign(path=KEYS), "rename the column 'path' to 'item'; it has: path, a, b, c"),
        (no_keys.assign(key=KEYS), "rename the column 'key' to 'item'; it has: key, a, b, c"),
        (no_keys.assign(x=KEYS, y=KEYS), "rename the one that holds them; it has: x, y, a, b, c"),
        (no_keys.set_axis(KEYS), r"frame.reset_index\(names='item'\) makes it a column"),
        (
            pd.DataFrame(np.zeros((6, 30))).rename(columns=str).assign(name=KEYS),
            r"rename the column 'name' to 'item'; it has: name, 0, 1, .*\(31 in all\)",
        ),
    ):
        frame.to_parquet(tmp_path / "f.parquet")
        with pytest.raises(InputError, match=line):
            read_item_features(tmp_path / "f.parquet")
    for tensors, line in (
        ({"features": VALUES}, "no item keys: put a tensor 'item' beside"),
        ({"a": VALUES, "b": VALUES}, r"no matrix 'features' \(N, D\); it holds: a, b"),
        ({"features": VALUES.astype(np.int32)}, "is of type I32"),
    ):
        save_file(tensors, tmp_path / "f.safetensors")
        with pytest.raises(InputError, match=line):
            read_item_features(tmp_path / "f.safetensors")
    (tmp_path / "f.safetensors").write_bytes(b"no such thing")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        read_item_features(tmp_path / "f.safetensors")
