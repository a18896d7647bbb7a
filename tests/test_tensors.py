"""Tensors are what was written, and are not taken for what they were not made from."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from softfold import large_arrays
from softfold.files import Damaged
from softfold.tensors import memory_map, pack_keys, read_tensors, read_tensors_of, write_tensors


def test_tensors_made_from_something_else_are_not_read(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "fold.safetensors"
    made = {"rows": np.arange(3), "turned": np.arange(6.0).reshape(2, 3).T}
    write_tensors(path, made, fingerprint="these items", metadata={"vocab": "[]"})
    assert read_tensors_of(path, "other items") is None
    assert read_tensors_of(tmp_path / "absent.safetensors", "these items") is None
    kept, about = read_tensors(path)
    for found in (kept, read_tensors_of(path, "these items")):
        for name, array in made.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    assert about["vocab"] == "[]"
    np.testing.assert_array_equal(memory_map(path, "rows"), made["rows"])


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
def test_others_may_read_a_tensor_file_as_any_other(tmp_path):
    pytest.importorskip("safetensors")
    before = os.umask(0o027)
    try:
        write_tensors(tmp_path / "a.safetensors", {"rows": np.arange(3)})
        (tmp_path / "a.txt").touch()
    finally:
        os.umask(before)
    modes = {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {0o640}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_a_memory_map_is_what_safetensors_reads(tmp_path, dtype):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    path = tmp_path / "oof.safetensors"
    made = {"fold": np.zeros((7, 1), np.int64), "p": np.arange(21).reshape(7, 3).astype(dtype)}
    write_tensors(path, made)
    mapped = memory_map(path, "p")
    assert isinstance(mapped, np.memmap) and mapped.dtype == dtype
    np.testing.assert_array_equal(mapped, load_file(str(path))["p"])


def test_the_same_tensors_give_the_same_bytes_in_every_process(tmp_path):
    pytest.importorskip("safetensors")
    code = (
        "import sys, numpy as np; from softfold.tensors import write_tensors; "
        "write_tensors(sys.argv[1], {'a': np.arange(5), 'é': np.eye(2, dtype='f4')}, "
        "metadata={'vocab': '[]', 'strategy': 'auto', 'settings': '{}', 'z': 'é'})"
    )
    paths = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for path in paths:
        subprocess.run([sys.executable, "-c", code, path], check=True)
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize("damage", ["one bit", "half", "nothing", "junk"])
def test_every_damage_of_a_tensor_file_is_told(tmp_path, damage):
    pytest.importorskip("safetensors")
    path = tmp_path / "fold.safetensors"
    write_tensors(path, {"rows": np.arange(50)}, fingerprint="these items")
    whole = path.read_bytes()
    places = range(len(whole)) if damage == "one bit" else [0]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1
        broken = {"one bit": bytes(content), "half": whole[: len(whole) // 2], "nothing": b""}
        path.write_bytes(broken.get(damage, b"junk" * 100))
        with pytest.raises(Damaged, match=r"fold\.safetensors: damaged"):
            read_tensors(path)
        with pytest.warns(UserWarning, match="it is made again"):
            assert read_tensors_of(path, "these items") is None
        with pytest.raises(Damaged):
            memory_map(path, "rows")
    path.write_bytes(whole)
    assert read_tensors_of(path, "these items") is not None


@pytest.mark.parametrize("tensor", [{"data_offsets": [0, 10**9]}, {"dtype": "Q9"}, {"shape": "no"}])
def test_a_header_that_promises_what_is_not_there_is_damaged(tmp_path, tensor):
    path = tmp_path / "soft.safetensors"
    about = {"dtype": "F32", "shape": [10**6, 2], "data_offsets": [0, 8]} | tensor
    header = json.dumps({"targets": about}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(Damaged, match="cannot be read"):
        memory_map(path, "targets")


def test_large_arrays_are_on_the_disk_and_give_the_same_files(tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    rng = np.random.default_rng(0)
    kinds = ("?", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "c8", "f8", "i8", "u8")
    tensors = {f"{kind} here": np.arange(3).astype(kind) for kind in kinds} | {
        "probabilities": rng.random((300, 7), dtype=np.float32),
        "fold": np.arange(300, dtype=np.int16)[:, None],
        "item": pack_keys(np.array([f"i{i}" for i in range(300)], object)),
    }
    write_tensors(tmp_path / "small", tensors, metadata={"vocab": "é"})
    monkeypatch.setattr(large_arrays, "LARGE", 1000)
    write_tensors(tmp_path / "large", tensors, metadata={"vocab": "é"})
    assert (tmp_path / "large").read_bytes() == (tmp_path / "small").read_bytes()
    read, about = read_tensors(tmp_path / "large")
    assert isinstance(read["probabilities"], np.memmap) and about == {"vocab": "é"}
    assert all(np.array_equal(read[name], tensors[name]) for name in tensors)
