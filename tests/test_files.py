"""What is kept is written whole."""

import json

import numpy as np
import pandas as pd
import pytest

from softfold import files, tensors


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
        lambda path: tensors.write_tensors(path, {"new": np.zeros(2)}),
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


def test_a_checksum_changes_with_one_bit(tmp_path):
    path = tmp_path / "large"
    content = bytearray(3 << 20)
    path.write_bytes(content)
    before = files.checksum(path)
    content[2 << 20] ^= 1
    path.write_bytes(content)
    assert len(before) == 64 and files.checksum(path) != before


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    left = [f".{'0a' * 16}.tmp", ".tmpeM0Nea"]
    mine = [".tmp", ".tmp-notes", "a.tmp", ".lock", "x.tmpabcdef"]
    (tmp_path / "seeds").mkdir()
    for name in left + mine:
        (tmp_path / "seeds" / name).write_text("")
    files.remove_unfinished(tmp_path)
    assert sorted(file.name for file in (tmp_path / "seeds").iterdir()) == sorted(mine)
