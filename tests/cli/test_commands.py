"""The command line itself: versions, help, warnings, and how a command ends."""

import errno
import os
import platform
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("typer")

import typer

import softfold
from softfold import cli
from softfold.cli.commands import COMMANDS, app
from softfold.errors import InputError


@pytest.fixture(autouse=True)
def own_warnings(monkeypatch):
    """`main` says warnings in its own way; here that ends with the test."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def ends(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    written = capsys.readouterr()
    return stop.value.code or 0, written.out, written.err


def test_the_version_is_that_of_the_package_with_what_it_runs_on(capsys):
    code, out, _ = ends(capsys, "--version")
    first, second = out.splitlines()
    assert code == 0 and first.startswith(f"softfold {softfold.__version__} (")
    assert f"Python {platform.python_version()}" in first
    assert f"numpy {np.__version__}, pandas {pd.__version__}" in second


def test_help_lists_every_command_in_order_with_what_it_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = ends(capsys, "--help")
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line.strip()]
    found = [line for line in lines if line[0] in {each.__name__ for each in COMMANDS}]
    assert code == 0 and [line[0] for line in found] == [each.__name__ for each in COMMANDS]
    assert [line[1] for line in found] == [each.__doc__.splitlines()[0] for each in COMMANDS]


def test_no_command_at_all_is_answered_with_the_help(capsys):
    code, out, _ = ends(capsys)
    assert code == 2 and "Usage: softfold" in out and "crossfit" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "softfold: No such command 'nonsense' (see softfold --help)\n"),
        (
            ["export", "runs/a"],
            "softfold: Missing option '--out' (see softfold export --help)\n",
        ),
        (["report", "a", "b"], "(see softfold report --help)\n"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_one_line_and_where_to_look(capsys, arguments, line):
    code, out, err = ends(capsys, *arguments)
    assert (code, out) == (2, "") and err.endswith(line) and err.count("\n") == 1


def a_command_that(monkeypatch, raises):
    """`softfold fail`, for as long as the test goes."""

    def fail() -> None:
        raise raises

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command()(fail)


@pytest.mark.parametrize(
    ("raises", "code", "err"),
    [
        (InputError("labels.csv:\n  no rows"), 2, "softfold: labels.csv: no rows\n"),
        (
            KeyboardInterrupt(),
            130,
            "softfold: stopped; what is finished is kept\n",
        ),
        (
            typer.Abort(),
            130,
            "softfold: stopped; what is finished is kept\n",
        ),
        (BrokenPipeError(), 0, ""),
        (
            OSError(errno.ENOSPC, "No space left", "runs/a/oof.safetensors"),
            2,
            "softfold: runs/a/oof.safetensors: no room on the disk; make some\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/a"),
            2,
            "softfold: runs/a: Permission denied\n",
        ),
        (
            MemoryError(),
            2,
            "softfold: not enough memory; free some, or give fewer items at a time\n",
        ),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
            2,
            "softfold: not enough memory for a batch; use a smaller --size or --arch, or --device "
            "cpu\n",
        ),
        (
            ImportError("libtorch_cpu.so: failed to map segment from shared object"),
            2,
            "softfold: not enough memory to load libtorch_cpu.so; free some\n",
        ),
    ],
    ids=[
        *("bad input", "Ctrl-C", "abort", "a closed pipe"),
        *("full disk", "no rights", "no memory", "no memory for a batch"),
        "no memory for a library",
    ],
)
def test_how_a_command_ends_is_said_in_one_line(capsys, monkeypatch, raises, code, err):
    a_command_that(monkeypatch, raises)
    found, _, written = ends(capsys, "fail")
    assert (found, written.lstrip("\n")) == (code, err)


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    a_command_that(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        cli.main(["fail"])


@pytest.mark.parametrize(
    ("message", "category", "filename", "line"),
    [
        ("two\n lines", UserWarning, softfold.__file__, "softfold: two lines\n"),
        ("soon gone", DeprecationWarning, softfold.__file__, "softfold: soon gone\n"),
        ("all zero", RuntimeWarning, "/x/numpy/core.py", "core.py: all zero\n"),
        ("soon gone", DeprecationWarning, "/x/numpy/core.py", ""),
        ("soon gone", FutureWarning, "/x/pandas/frame.py", ""),
    ],
)
def test_warnings_are_one_line_and_developers_notes_are_none(
    capsys, message, category, filename, line
):
    cli._show_warning(message, category, filename, 1)
    assert capsys.readouterr().err == line


def test_the_package_runs_as_a_module():
    found = subprocess.run(
        [sys.executable, "-m", "softfold", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(f"softfold {softfold.__version__} (")


@pytest.mark.parametrize(
    ("words", "word"), [("softfold iss", "issues"), ("softfold run labels.csv --fol", "--folds")]
)
def test_a_shell_completes_commands_and_options(words, word):
    environ = {**os.environ, "_SOFTFOLD_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environ["COMP_CWORD"] = str(len(words.split()) - 1)
    call = [sys.executable, "-c", "from softfold.cli import main; main()"]
    done = subprocess.run(call, env=environ, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == [word]


def test_completion_can_be_installed(tmp_path):
    # which shell it is run from does not matter here: make has sh
    told = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    environ = {**os.environ, **told}
    call = [sys.executable, "-c", "from softfold.cli import main; main()", "--install-completion"]
    done = subprocess.run([*call, "bash"], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "softfold" in (tmp_path / ".bashrc").read_text()


def test_what_a_run_wrote_of_its_settings_runs_it_again(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    frame = pd.DataFrame({"width": label + rng.normal(0, 0.4, 60), "label": label})
    frame.to_csv("labels.csv", index=False)
    quick = ["--strategy", "blend", "--folds", "3", "--seeds", "1", "--quiet"]
    quick += ["--arch", "sklearn.linear_model.LogisticRegression"]
    assert ends(capsys, "run", "labels.csv", *quick, "--out", "first")[0] == 0
    again = ("run", "--config", "first/config.json", "--out", "second", "--quiet")
    assert ends(capsys, *again)[0] == 0
    made = [
        (tmp_path / run / "soft_labels.safetensors").read_bytes() for run in ("first", "second")
    ]
    assert made[0] == made[1]
    code, _, err = ends(capsys, "run", "--quiet")
    assert code == 2 and "say which labels" in err


def test_labels_alone_are_enough_beside_predictions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    label = np.arange(40) % 2
    p = 0.1 + 0.8 * np.eye(2)[label]
    label[3] = 1 - label[3]
    np.save("p.npy", p)
    for columns in ({}, {"item": [f"i{i}" for i in range(40)]}):
        pd.DataFrame({**columns, "label": label}).to_csv("labels.csv", index=False)
        code, out, _ = ends(capsys, "issues", "labels.csv", "--pred-probs", "p.npy", "--top", "1")
        assert code == 0 and ("i3" if columns else "3 ") in out
