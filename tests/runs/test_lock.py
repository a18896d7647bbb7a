"""One process writes a run folder at a time, and is told from a second one."""

import json
import os
import subprocess
import sys

import pytest

from softfold.errors import InputError
from softfold.runs.lock import HOLDER, LOCK, is_empty, locked

pytest.importorskip("filelock")
HOLD = (
    "import sys, time; from softfold.runs.lock import locked\n"
    "with locked(sys.argv[1]):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def held(tmp_path):
    """A run folder that another process writes."""
    path = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield path, other
        other.kill()


def test_a_second_process_is_told_who_writes(held):
    path, other = held
    wanted = rf"another process writes .*process {other.pid} on"
    with pytest.raises(InputError, match=wanted), locked(path):
        pass


def test_the_lock_goes_with_the_process_that_was_killed(held):
    path, other = held
    other.kill()
    other.wait()
    with locked(path):
        assert json.loads((path / HOLDER).read_text())["process"] == os.getpid()


def test_a_folder_that_stays_empty_is_not_left_behind(tmp_path):
    with locked(tmp_path / "run"):
        assert is_empty(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_stays_and_the_lock_is_free_again(tmp_path):
    for _ in range(2):
        with locked(tmp_path):
            (tmp_path / "config.json").write_text("{}")
    assert sorted(file.name for file in tmp_path.iterdir()) == [LOCK, "config.json"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match="a file is there"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "run").read_text() == "mine"
