"""What the manifest lists is what was written, whenever the process is killed."""

import json

import pytest

from softfold.files import Damaged
from softfold.runs import manifest


def written(run, **files):
    for name, content in files.items():
        with manifest.written(run, name):
            (run / name).write_text(content)


def test_files_are_listed_with_size_and_checksum(tmp_path):
    written(tmp_path, b="two", a="1")
    listed = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert list(listed) == ["a", "b"] and listed["b"]["bytes"] == 3
    assert len(listed["a"]["sha256"]) == 64
    manifest.check(tmp_path, "a")


@pytest.mark.parametrize("content", ["", "twO", "two "])
def test_a_file_that_was_changed_is_damaged(tmp_path, content):
    written(tmp_path, b="two")
    (tmp_path / "b").write_text(content)
    with pytest.raises(Damaged, match="not what softfold wrote"):
        manifest.check(tmp_path, "b")


def test_a_file_is_off_the_list_while_it_is_written(tmp_path):
    written(tmp_path, a="old")
    with pytest.raises(KeyboardInterrupt), manifest.written(tmp_path, "a"):
        assert manifest.entries(tmp_path) == {}
        (tmp_path / "a").write_text("new")
        raise KeyboardInterrupt
    manifest.check(tmp_path, "a")  # not known: neither old nor new is called damaged


def test_files_of_others_are_not_known(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    manifest.check(tmp_path, "notes.txt")
    written(tmp_path, a="1")
    manifest.check(tmp_path, "notes.txt")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {"a": 1}}', "\x00"])
def test_a_damaged_manifest_is_said_and_begun_anew(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(Damaged, match=r"manifest\.json: damaged"):
        manifest.entries(tmp_path)
    with pytest.warns(UserWarning, match="are not compared with it"):
        manifest.check(tmp_path, "a")
    written(tmp_path, a="1")
    assert list(manifest.entries(tmp_path)) == ["a"]


def test_a_file_that_is_gone_is_taken_off_the_list(tmp_path):
    written(tmp_path, a="1")
    with manifest.written(tmp_path, "a"):
        (tmp_path / "a").unlink()
    assert manifest.entries(tmp_path) == {}
