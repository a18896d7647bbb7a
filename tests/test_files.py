"""What is kept is written whole, and is not taken for what it was not made from."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from softfold import files
from softfold.errors import InputError


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "kept.json"
    files.write_json(path, {"fold": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as part:
        part.write_text('{"fold":')
        raise RuntimeError("the process was stopped")
    assert json.loads(path.read_text()) == {"fold": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_bytes(path, b"new"),
        lambda path: files.write_text(path, "new"),
        lambda path: files.write_json(path, ["new"]),
        lambda path: files.write_parquet(path, pd.DataFrame({"item": ["new"]})),
        lambda path: files.write_tensors(path, {"new": np.zeros(2)}),
    ],
)
def test_no_file_is_in_its_place_before_it_is_whole(tmp_path, monkeypatch, write):
    pytest.importorskip("pyarrow")
    pytest.importorskip("safetensors")
    path = tmp_path / "kept"
    path.write_text("old")

    def power_cut(*args):
        raise OSError("power cut")

    monkeypatch.setattr(files.os, "replace", power_cut)
    with pytest.raises(OSError, match="power cut"):
        write(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_new_file_can_be_read_by_whom_the_system_lets(tmp_path):
    (tmp_path / "plain").write_text("")
    files.write_text(tmp_path / "kept", "")
    assert (tmp_path / "kept").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_text_keeps_its_line_ends(tmp_path):
    files.write_text(tmp_path / "table.csv", "é\r\nb\n")
    assert (tmp_path / "table.csv").read_bytes() == "é\r\nb\n".encode()


def test_json_holds_arrays_numbers_and_paths(tmp_path):
    files.write_json(tmp_path / "a.json", {"m": np.eye(2), "n": np.float32(0.5), "p": tmp_path})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "m": [[1, 0], [0, 1]],
        "n": 0.5,
        "p": str(tmp_path),
    }


def test_tensors_made_from_something_else_are_not_read(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "fold.safetensors"
    made = {"rows": np.arange(3), "turned": np.arange(6.0).reshape(2, 3).T}
    files.write_tensors(path, made, fingerprint="these items", metadata={"vocab": "[]"})
    assert files.read_tensors_of(path, "other items") is None
    assert files.read_tensors_of(tmp_path / "absent.safetensors", "these items") is None
    kept, about = files.read_tensors(path)
    for found in (kept, files.read_tensors_of(path, "these items")):
        for name, array in made.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    assert about["vocab"] == "[]"
    np.testing.assert_array_equal(files.memory_map(path, "rows"), made["rows"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_a_memory_map_is_what_safetensors_reads(tmp_path, dtype):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    path = tmp_path / "oof.safetensors"
    made = {"fold": np.zeros((7, 1), np.int64), "p": np.arange(21).reshape(7, 3).astype(dtype)}
    files.write_tensors(path, made)
    mapped = files.memory_map(path, "p")
    assert isinstance(mapped, np.memmap) and mapped.dtype == dtype
    np.testing.assert_array_equal(mapped, load_file(str(path))["p"])


def test_a_checksum_changes_with_one_bit(tmp_path):
    path = tmp_path / "large"
    content = bytearray(3 << 20)
    path.write_bytes(content)
    before = files.checksum(path)
    content[2 << 20] ^= 1
    path.write_bytes(content)
    assert len(before) == 64 and files.checksum(path) != before


def test_the_same_tensors_give_the_same_bytes_in_every_process(tmp_path):
    pytest.importorskip("safetensors")
    code = (
        "import sys, numpy as np; from softfold.files import write_tensors; "
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
    files.write_tensors(path, {"rows": np.arange(50)}, fingerprint="these items")
    whole = path.read_bytes()
    places = range(len(whole)) if damage == "one bit" else [0]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1
        broken = {"one bit": bytes(content), "half": whole[: len(whole) // 2], "nothing": b""}
        path.write_bytes(broken.get(damage, b"junk" * 100))
        with pytest.raises(files.Damaged, match=r"fold\.safetensors: damaged"):
            files.read_tensors(path)
        with pytest.warns(UserWarning, match="it is made again"):
            assert files.read_tensors_of(path, "these items") is None
        with pytest.raises(files.Damaged):
            files.memory_map(path, "rows")
    path.write_bytes(whole)
    assert files.read_tensors_of(path, "these items") is not None


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    left = [f".{'0a' * 16}.tmp", ".tmpeM0Nea"]
    mine = [".tmp", ".tmp-notes", "a.tmp", ".lock", "x.tmpabcdef"]
    (tmp_path / "seeds").mkdir()
    for name in left + mine:
        (tmp_path / "seeds" / name).write_text("")
    files.remove_unfinished(tmp_path)
    assert sorted(file.name for file in (tmp_path / "seeds").iterdir()) == sorted(mine)


@pytest.mark.parametrize("tensor", [{"data_offsets": [0, 10**9]}, {"dtype": "Q9"}, {"shape": "no"}])
def test_a_header_that_promises_what_is_not_there_is_damaged(tmp_path, tensor):
    path = tmp_path / "soft.safetensors"
    about = {"dtype": "F32", "shape": [10**6, 2], "data_offsets": [0, 8]} | tensor
    header = json.dumps({"targets": about}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(files.Damaged, match="cannot be read"):
        files.memory_map(path, "targets")


def test_large_arrays_are_on_the_disk_and_give_the_same_files(tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    rng = np.random.default_rng(0)
    tensors = {
        "probabilities": rng.random((300, 7), dtype=np.float32),
        "fold": np.arange(300, dtype=np.int16)[:, None],
        "item": files.pack_keys(np.array([f"i{i}" for i in range(300)], object)),
    }
    files.write_tensors(tmp_path / "small", tensors, metadata={"vocab": "é"})
    monkeypatch.setattr(files, "LARGE", 1000)
    monkeypatch.setenv("SOFTFOLD_SCRATCH", str(tmp_path))
    files.write_tensors(tmp_path / "large", tensors, metadata={"vocab": "é"})
    assert (tmp_path / "large").read_bytes() == (tmp_path / "small").read_bytes()
    read, about = files.read_tensors(tmp_path / "large")
    assert isinstance(read["probabilities"], np.memmap) and about == {"vocab": "é"}
    assert all(np.array_equal(read[name], tensors[name]) for name in tensors)
    made = files.taken(tensors["probabilities"], np.arange(300)[::-1])
    assert isinstance(made, np.memmap) and np.array_equal(made, tensors["probabilities"][::-1])
    assert not files.scratch((400, 5)).any() and len(list(tmp_path.iterdir())) == 2


def test_a_scratch_folder_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGE", 1000)
    monkeypatch.setenv("SOFTFOLD_SCRATCH", str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"absent: no room for .* give another folder in SOFTFOLD"):
        files.scratch((4000, 5))
