"""What the machine refuses is one line that says how to go on, and the run goes on after it."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softfold.errors import InputError
from softfold.job.running import run
from softfold.runs.folder import Run
from softfold.runs.lock import locked
from softfold.runs.verifying import verify

pytest.importorskip("sklearn")
pytest.importorskip("filelock")
LOGISTIC = "sklearn.linear_model.LogisticRegression"  # a tenth of the usual classifier's time


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A CSV of 600 flowers, a fifth with wrong labels."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 600)
    given = np.where(rng.random(600) < 0.2, (truth + 1) % 3, truth)
    frame = pd.DataFrame(rng.normal(truth[:, None], 0.7, (600, 6))).add_prefix("petal")
    frame["label"] = np.array(["iris", "rose", "tulip"])[given]
    frame["is_valid"] = np.arange(600) % 3 == 0
    file = tmp_path_factory.mktemp("data") / "labels.csv"
    frame.to_csv(file, index=False)
    return file


@pytest.fixture
def disk(tmp_path):
    """A file system of its own: a folder, and what mounts it anew with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "softfold-test", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    try:
        able = os.name == "posix" and os.geteuid() == 0 and mount("size=300k")
    except OSError:
        able = False
    if not able:
        pytest.skip("no right to mount a file system")
    yield folder, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def softfold(commands):
    """A command in a process of its own: its exit status and what it said."""

    def start(*arguments):
        status, _, said = commands.run(*arguments)
        return status, said

    return start


def job(labels, out):
    return ("run", labels, "--out", out, "--seeds", 2, "--folds", 3, "--arch", LOGISTIC, "--quiet")


@pytest.fixture(scope="module")
def expected(labels, tmp_path_factory, commands):
    """The hold-out predictions of the job where nothing is refused."""
    out = tmp_path_factory.mktemp("whole") / "run"
    status, _, said = commands.run(*job(labels, out))
    assert (status, said) == (0, "")
    return out


def same(path, expected):
    for name in ("soft_labels.safetensors", "holdout.safetensors", "items.parquet", "noise.json"):
        assert (path / name).read_bytes() == (expected / name).read_bytes()
    assert verify(path) == []


def test_a_full_disk(labels, disk, expected, softfold):
    folder, remount = disk
    (folder / "photos.tar").write_bytes(bytes(220 << 10))
    status, said = softfold(*job(labels, folder / "run"))
    assert status == 2 and said.count("\n") == 1
    assert "no room on the disk; make some: go on with softfold run" in said
    assert said.rstrip().endswith("--resume")
    assert (folder / "photos.tar").stat().st_size == 220 << 10
    remount("size=64m")
    assert softfold(*job(labels, folder / "run"), "--resume") == (0, "")
    same(folder / "run", expected)


def test_a_folder_that_cannot_be_written(labels, disk, expected, softfold):
    folder, remount = disk
    remount("size=64m")
    assert softfold(*job(labels, folder / "run")) == (0, "")
    remount("ro,size=64m")
    for arguments in (
        (*job(labels, folder / "run"), "--resume"),
        ("report", folder / "run"),
        ("soften", folder / "run", "--quiet"),
        ("audit", folder / "run"),
        ("issues", folder / "run", "--out", folder / "list.csv"),
        ("predict", folder / "run", labels, "--out", folder / "new.csv"),
        ("export", folder / "run", "--out", folder / "labels.csv"),
        ("review", folder / "run", "--port", 0),
    ):
        status, said = softfold(*arguments)
        assert status == 2, arguments
        assert said.count("\n") == 1, (arguments, said)
        assert "Read-only file system" in said or "cannot be written" in said, (arguments, said)
    remount("rw,size=64m")
    assert softfold(*job(labels, folder / "run"), "--resume") == (0, "")
    same(folder / "run", expected)


def test_a_second_process_on_one_run(labels, tmp_path, expected, softfold):
    with locked(tmp_path / "run"):
        status, said = softfold(*job(labels, tmp_path / "run"))
    assert status == 2 and said.count("\n") == 1
    assert f"process {os.getpid()} on" in said
    assert softfold(*job(labels, tmp_path / "run")) == (0, "")
    same(tmp_path / "run", expected)


@pytest.mark.filterwarnings("ignore:.*damaged")
def test_a_file_of_a_run_that_changed_is_found_and_made_again(
    labels, tmp_path, expected, monkeypatch
):
    def resumed(**how):
        return run(labels, tmp_path / "run", seeds=2, folds=3, arch=LOGISTIC, quiet=True, **how)

    names = [file.name for file in resumed().path.iterdir() if file.is_file()]
    assert {"report.html", "manifest.json"} <= set(names)
    for name in sorted(set(names) - {".lock", "config.json"}):
        file = tmp_path / "run" / name
        content = file.read_bytes()
        file.write_bytes(content[:-9] + b"?" + content[-8:])
        found = verify(tmp_path / "run")
        assert found, name
        assert all(name in line or name == "manifest.json" for line in found), (name, found)
        with monkeypatch.context() as patched:
            if name not in ("report.html", "manifest.json"):  # charts are most of the time
                patched.setattr("softfold.job.running.write_report", lambda _: None)
            resumed(resume=True)
        for aside in (tmp_path / "run").glob("*.damaged"):
            aside.unlink()
        same(tmp_path / "run", expected)
        assert Run(tmp_path / "run").metrics["soft"] == Run(expected).metrics["soft"]


def test_a_damaged_config_is_refused_and_nothing_is_touched(labels, tmp_path):
    path = run(labels, tmp_path / "run", seeds=1, folds=3, arch=LOGISTIC, quiet=True).path
    (path / "config.json").write_bytes(b"")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=r"config\.json: damaged.*put a copy of it back"):
        run(labels, path, seeds=1, folds=3, arch=LOGISTIC, quiet=True, resume=True)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_too_little_memory(labels, tmp_path, expected, commands):
    status, _, said = commands.run(*job(labels, tmp_path / "run"), memory=2)
    assert status == 2 and said.count("\n") == 1
    assert "not enough memory" in said and said.rstrip().endswith("--resume")
    status, _, said = commands.run(*job(labels, tmp_path / "run"), "--resume")
    assert (status, said) == (0, "")
    same(tmp_path / "run", expected)
