"""Damaged run folders: every command that reads one has a result or one clear line."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import warnings

import numpy as np
import pytest
from example_runs import png, synthetic_run
from fuzz.strategies import ODD_VALUES, damages, other_json
from fuzz.watching import many, watched
from hypothesis import given
from hypothesis import strategies as st
from small_tables import flowers
from starlette.testclient import TestClient

from softfold.cli import main
from softfold.errors import InputError
from softfold.job.running import run as run_job
from softfold.review.app import create_app

PAGES = ("/", "/api/run?me=ann", "/api/list?me=ann&similar=1", "/api/items?me=ann&rows=0,1", "/picture/0")

COMMANDS = {
    "report": lambda run: command("report", run),
    "issues": lambda run: command("issues", run, "--top", "3"),
    "review": lambda run: review(run),
    "soften": lambda run: command("soften", run, "--quiet"),
    "audit": lambda run: command("audit", run, "-n", "9"),
    "predict": lambda run: command("predict", run, run.parent / "new.csv"),
    "compare": lambda run: command("compare", run, "--quiet"),
    "export": lambda run: command("export", run, "--out", run.parent / "out.csv"),
    "label studio": lambda run: command(
        "export", run, "--out", run.parent / "out.json", "--format", "labelstudio"
    ),
    "cleanlab": lambda run: command(
        "export", run, "--out", run.parent / "lab", "--format", "cleanlab"
    ),
    "train": lambda run: command("train", run, "--quiet"),
    "resume": lambda run: command(
        *("run", run.parent / "labels.csv", "--out", run, "--resume", "--quiet"),
        *("--valid", "is_valid", "--truth", "right", "--folds", "2", "--seeds", "1"),
    ),
}


def command(*arguments):
    """A command line; a refusal is an InputError of its line."""
    out, said = io.StringIO(), io.StringIO()
    show = warnings.showwarning
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        try:
            main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            warnings.showwarning = show
    lines = [line for line in said.getvalue().splitlines() if line.strip()]
    if code == 0:
        return
    assert code in (1, 2) and lines and lines[-1].startswith("softfold: "), (code, lines)
    raise InputError(lines[-1])


def review(run):
    with TestClient(create_app(run), base_url="http://localhost") as client:
        for page in PAGES:
            answer = client.get(page)
            if answer.status_code == 400:
                raise InputError(answer.json()["error"])
            assert answer.status_code == 200, answer.text[:200]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs to damage: a table's, made by the job, and one of images."""
    folder = tmp_path_factory.mktemp("whole")
    flowers(40).to_csv(folder / "labels.csv", index=False)
    flowers(5, seed=1).to_csv(folder / "new.csv", index=False)
    run_job(
        folder / "labels.csv",
        folder / "run",
        quiet=True,
        valid="is_valid",
        truth="right",
        folds=2,
        seeds=1,
    )
    with TestClient(create_app(folder / "run"), base_url="http://localhost") as client:
        strokes = [{"stroke": f"stroke {i}", "action": "keep", "rows": [i]} for i in range(4)]
        sent = {"me": "ann", "strokes": strokes}
        assert client.post("/api/strokes", json=sent, headers={"X-Softfold": "1"}).is_success
    other = tmp_path_factory.mktemp("images")
    pictures = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    data = {"image": [png(p) for p in pictures]}
    synthetic_run(other / "run", 30, 3, data=data, kind="image")
    shutil.copy(folder / "new.csv", other)
    return folder, other


def files(folder):
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def spoil(file, data):
    """One thing wrong with a file."""
    how = data.draw(st.sampled_from(["deleted", "folder", "bytes", "json", "json", "junk"]))
    content = file.read_bytes()
    if how == "json" and file.suffix == ".json":
        file.write_text(json.dumps(data.draw(other_json(json.loads(content)))))
    elif how == "deleted":
        file.unlink()
    elif how == "folder":
        file.unlink()
        file.mkdir()
    elif how == "junk":
        file.write_text(json.dumps(data.draw(st.sampled_from(ODD_VALUES))))
    else:
        file.write_bytes(data.draw(damages(content)))
    return how


@given(data=st.data())
@many("runs")
def test_a_damaged_run_has_a_result_or_one_clear_line(runs, tmp_path_factory, data):
    whole = runs[data.draw(st.sampled_from([0, 0, 0, 1]))]
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    known = [f for f in files(folder) if "seeds" not in f] * 3 + files(folder)
    said = []
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2]))):
        name = data.draw(st.sampled_from(known))
        if (folder / name).is_file():
            said.append(f"{name}: {spoil(folder / name, data)}")
    for name in data.draw(st.permutations(sorted(COMMANDS))):
        watched("runs", lambda: COMMANDS[name](folder / "run"), told=f"{name} after {said}")
    shutil.rmtree(folder)
