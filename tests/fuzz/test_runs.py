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
from fuzz.watching import ASKED, many, watched
from hypothesis import given
from hypothesis import strategies as st
from small_tables import flowers
from starlette.testclient import TestClient

from softfold.cli import main
from softfold.decisions.log import LOG, DecisionLog
from softfold.errors import InputError
from softfold.job.running import run as run_job
from softfold.review.app import create_app

LOGISTIC = "sklearn.linear_model.LogisticRegression"

PAGES = (
    *("/", "/api/run?me=ann", "/api/list?me=ann&similar=1", "/api/items?me=ann&rows=0,1"),
    "/picture/0",
)

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
    "verify": lambda run: command("verify", run),
    "resume": lambda run: command(
        *("run", run.parent / "labels.csv", "--out", run, "--resume", "--quiet"),
        *("--valid", "is_valid", "--truth", "right", "--folds", "2", "--seeds", "1"),
        *("--arch", LOGISTIC),
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
    """Two finished runs to damage, as bytes by name: a table's, made by the job, and of images."""
    folder = tmp_path_factory.mktemp("whole")
    flowers(120).to_csv(folder / "labels.csv", index=False)
    flowers(5, seed=1).to_csv(folder / "new.csv", index=False)
    options = {"valid": "is_valid", "truth": "right", "folds": 2, "seeds": 1, "quiet": True}
    options["arch"] = LOGISTIC
    run_job(folder / "labels.csv", folder / "run", **options)
    log = DecisionLog(folder / "run" / LOG)
    row = {"reviewer": "ann", "stroke": "stroke 1", "action": "keep", "label": "iris"}
    log.append([{**row, "item": "1"}, {**row, "item": "2", "action": "none", "label": None}])
    log.close()
    other = tmp_path_factory.mktemp("images")
    pictures = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    data = {"image": [png(p) for p in pictures]}
    synthetic_run(other / "run", 30, 3, data=data, kind="image")
    return [read(folder), read(other)]


def read(folder):
    found = sorted(f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): f.read_bytes() for f in found}


def spoil(name, content, file, data):
    """One thing wrong with a file; says which."""
    how = data.draw(st.sampled_from(["deleted", "folder", "bytes", "json", "json", "junk"]))
    if file.is_dir():
        return "a folder already"
    file.unlink(missing_ok=True)
    if how == "json" and file.suffix == ".json":
        file.write_text(json.dumps(data.draw(other_json(json.loads(content)))))
    elif how == "folder":
        file.mkdir()
    elif how == "junk":
        file.write_text(json.dumps(data.draw(st.sampled_from(ODD_VALUES))))
    elif how != "deleted":
        file.write_bytes(data.draw(damages(content)))
    return f"{name}: {how}"


@given(data=st.data())
@many("runs")
def test_a_damaged_run_has_a_result_or_one_clear_line(runs, tmp_path_factory, data):
    """A case is a run; all commands are tried on it, a few of them by default."""
    whole = runs[data.draw(st.sampled_from([0, 0, 0, 1]))]
    folder = tmp_path_factory.mktemp("damaged")
    for name, content in whole.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    names = [n for n in whole if "seeds" not in n] * 3 + list(whole)
    spoiled = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
    said = [spoil(name, whole[name], folder / name, data) for name in spoiled]
    order = data.draw(st.permutations(sorted(COMMANDS)))

    def call():
        refused, wrong = None, []
        for name in order if ASKED else order[:4]:
            try:
                COMMANDS[name](folder / "run")
            except InputError as error:
                refused = error
            except Exception as error:
                error.add_note(f"{name} after {said}")
                wrong.append(error)
        if wrong:
            raise ExceptionGroup("commands on a damaged run", wrong)
        if refused:
            raise refused

    watched("runs", call, seconds=90)
    shutil.rmtree(folder)


def test_every_command_has_a_result_on_a_whole_run(runs, tmp_path):
    """What the others are made from is sound."""
    for name, content in runs[0].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for name, call in COMMANDS.items():
        if name != "resume":  # the copy is of another folder
            call(tmp_path / "run")
