"""Bad input gets one clear line on standard error, exit status 2, and nothing is written."""

import re

import numpy as np
import pandas as pd
import pytest

from softfold.cli import main
from softfold.data.datasets import encode_png

pytest.importorskip("PIL")
pytest.importorskip("pyarrow")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with 24 small images (16 to train on, 8 of the hold-out), and in it we stand."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "img").mkdir()
    for i in range(24):
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        (tmp_path / "img" / f"{i}.png").write_bytes(encode_png(pixels))
    return tmp_path


def items():
    return pd.DataFrame(
        {
            "path": [f"img/{i}.png" for i in range(24)],
            "label": ["cat", "dog"] * 12,
            "is_valid": np.arange(24) >= 16,
        }
    )


def refused(capsys, *arguments):
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    written = capsys.readouterr()
    assert stop.value.code == 2, written.err
    assert written.out == ""
    lines = written.err.strip().splitlines()
    assert len(lines) == 1, written.err
    assert lines[0].startswith("softfold: ")
    return lines[0].removeprefix("softfold: ")


def changed(**columns):
    return lambda frame: frame.assign(**columns)


def set_cell(row, column, value):
    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


def again(row, **columns):
    return lambda frame: pd.concat([frame, frame.iloc[[row]].assign(**columns)])


MEND = "mend them or drop their rows; --on-error skip goes on without them"

TABLES = {
    "no such label column": (
        None,
        ["--label", "klass"],
        "labels.csv: no column 'klass' (--label); it has: path, label, is_valid",
    ),
    "no column that could be the labels": (
        lambda f: f.rename(columns={"label": "what"}),
        [],
        "labels.csv: say which column holds the labels (--label); it has: path, what, is_valid",
    ),
    "no such path column": (
        None,
        ["--path", "file"],
        "labels.csv: no column 'file' (--path); it has: path, label, is_valid",
    ),
    "no such truth column": (
        None,
        ["--truth", "right"],
        "labels.csv: no column 'right' (--truth); it has: path, label, is_valid",
    ),
    "images that are not there": (
        set_cell([2, 5], "path", ["img/x.png", "img/y.png"]),
        [],
        f"labels.csv: 2 of 24 items cannot be used: img/x.png, img/y.png (no such file): {MEND} "
        "(img/x.png would be FOLDER/img/x.png: is --images the folder the paths start from?)",
    ),
    "a path that is missing": (
        set_cell(4, "path", None),
        [],
        f"labels.csv: 1 of 24 items cannot be used: line 6 (nothing in 'path'): {MEND}",
    ),
    "a folder of images that is not there": (
        None,
        ["--images", "nowhere"],
        "--images nowhere: no such folder",
    ),
    "an image that does not decode": (
        set_cell(3, "path", "broken.png"),
        [],
        "labels.csv: 1 of 24 items cannot be used: broken.png (no image of a known format): "
        f"{MEND}",
    ),
    "an image that ends too early": (
        set_cell(3, "path", "short.png"),
        [],
        f"labels.csv: 1 of 24 items cannot be used: short.png (image file is truncated): {MEND}",
    ),
    "labels missing": (
        set_cell([5, 6], "label", [None, "  "]),
        [],
        "labels.csv: 2 of 24 items cannot be used: img/5.png, img/6.png (no label in 'label'): "
        f"{MEND}",
    ),
    "one class only": (
        changed(label="cat"),
        [],
        "labels.csv: all training items have the label 'cat'; two classes are the least",
    ),
    "a class with fewer items than folds": (
        set_cell([0, 1], "label", "emu"),
        [],
        "labels.csv: 1 class has fewer training items than the 5 folds; the first is 'emu' with 2: "
        "use fewer folds (--folds, n_folds=) or leave the class out",
    ),
    "numbers to regress on": (
        changed(label=np.linspace(0, 1, 24)),
        [],
        "labels.csv: column 'label' holds numbers such as 0.043478260869565216 (line 3), not class "
        "labels",
    ),
    "a path twice with different labels": (
        again(3, label="cat"),
        [],
        "labels.csv: 1 path in several rows with different labels; the first is img/3.png: keep "
        "one row a path",
    ),
    "a path in training and in the hold-out": (
        again(3, is_valid=True),
        [],
        "labels.csv: 1 path in several rows with different splits; the first is img/3.png: keep "
        "one row a path",
    ),
    "an empty hold-out": (
        changed(is_valid=False),
        ["--valid", "is_valid"],
        "labels.csv: column 'is_valid' puts none of 24 items in the hold-out",
    ),
    "nothing to train on": (
        changed(is_valid=True),
        [],
        "labels.csv: all 24 items are in the hold-out, none to train on",
    ),
    "a split with other words": (
        changed(is_valid="fold1"),
        [],
        "labels.csv: column 'is_valid' has 'fold1' in line 2, which names no split: use True and "
        "False, 0 and 1, yes and no, or train and valid (or test)",
    ),
    "a hold-out label that training never has": (
        set_cell(20, "label", "emu"),
        [],
        "labels.csv: 1 hold-out item with labels that training never has; the first is 'emu' in "
        "line 22",
    ),
    "a truth that is no class": (
        changed(right="emu"),
        ["--truth", "right"],
        "labels.csv: 24 items with a truth that no given label has; the first is 'emu' in line 2",
    ),
    "no rows": (
        lambda f: f.iloc[:0],
        [],
        "FOLDER/labels.csv: the table has no rows",
    ),
    "neither images nor features": (
        lambda f: f[["label"]],
        [],
        "labels.csv: it has neither a path column (--path) nor feature columns",
    ),
    "a hold-out file and a split": (
        None,
        ["--valid", "is_valid", "--holdout", "labels.csv"],
        "labels.csv: give either a hold-out file or a split column, not both",
    ),
    "a hold-out file with training items": (
        lambda f: f[["path", "label"]],
        ["--holdout", "labels.csv"],
        "labels.csv: 24 items of the hold-out also in training; the first is img/0.png",
    ),
    "a known dataset's option": (
        None,
        ["--noise", "5"],
        "--noise is for known datasets (digits, imagewoof, imagenette, cifar10n, fashion-mnist), "
        "not for FOLDER/labels.csv",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_label_tables(case, work, capsys):
    change, options, line = TABLES[case]
    (work / "broken.png").write_bytes(b"this is no image")
    (work / "short.png").write_bytes((work / "img/3.png").read_bytes()[:60])
    frame = items() if change is None else change(items())
    frame.to_csv("labels.csv", index=False)
    found = refused(capsys, "run", "labels.csv", *options, "--out", "out", "--quiet")
    assert found == line.replace("FOLDER", str(work))
    assert not (work / "out").exists()


FILES = {
    "nothing.csv": (None, "nothing.csv: no such file, folder or known dataset"),
    "empty.csv": (b"", "empty.csv: cannot be read as a table: it has no header with column names"),
    "ragged.csv": (
        b"path,label\na,b\nc,d,e,f\n",
        "ragged.csv: 1 of 2 rows has another number of fields than the header, which has 2; the "
        "first is line 3 with 4",
    ),
    "broken.parquet": (b"nope", "cannot be read as parquet:"),
    "labels.xlsx": (b"PK", "a label table is a .csv, .tsv or .parquet file or a folder"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_no_table(name, work, capsys):
    content, line = FILES[name]
    if content is not None:
        (work / name).write_bytes(content)
    found = refused(capsys, "run", name, "--out", "out", "--quiet")
    assert line in found and name in found


def test_a_folder_without_images(work, capsys):
    (work / "pictures" / "cat").mkdir(parents=True)
    found = refused(capsys, "run", "pictures", "--quiet", "--out", "out")
    assert re.fullmatch(r"\S+: no images in class folders \(want \S+/CLASS/image\.jpg\)", found)


OPTIONS = {
    "--folds 1": "--folds 1: at least 2 is needed",
    "--folds many": "Invalid value for '--folds': Input should be a valid integer",
    "--seeds 0": "--seeds 0: at least 1 is needed",
    "--repeats 0": "--repeats 0: at least 1 is needed",
    "--size 2": "--size 2: at least 8 is needed",
    "--given-weight 1.5": "--given-weight 1.5: want a number between 0 and 1",
    "--strategy magic": "--strategy magic: there are auto, blend, gate, posterior",
    "--threshold 0.5": "--threshold goes with --strategy gate, not auto",
    "--engine magic": "--engine magic: there are local",
    "--weights no.pth": "--weights no.pth: no such file",
    "--trainer magic": "--trainer magic: there are finetune, probe, estimator",
    "--oof-trainer magic": "--oof-trainer magic: there are finetune, probe, estimator",
    "--trainer probe --epochs 3": "--epochs does not go with the trainer 'probe'",
    "--decisions no.json": "no.json: no decisions there (softfold review RUN makes them)",
    "--device tpu": "--device tpu: this machine has",
    "--nonsense": "No such option: --nonsense",
    "--holdout no.csv": "no.csv: no such file",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options(options, work, capsys):
    frame = items().drop(columns="is_valid") if "holdout" in options else items()
    frame.to_csv("labels.csv", index=False)
    found = refused(capsys, "run", "labels.csv", *options.split(), "--out", "out", "--quiet")
    assert found.startswith(OPTIONS[options])
    assert not (work / "out").exists()


COMMANDS = {
    "run digits --noise lots --quiet": "--noise lots: digits takes a percent of wrong labels",
    "run digits --data nowhere --quiet": "--data nowhere: no such folder",
    "run cifar10n --noise aggre --quiet": "cifar10n: give the folder with train.parquet",
    "run cifar10n --noise 5 --quiet": "cifar10n has no labels '5': choose --noise aggre or random1",
    "run": "say which labels: a CSV or Parquet file, a folder or a known dataset",
    "nonsense": "No such command 'nonsense'",
    "run labels.csv --quiet --out labels.csv": "labels.csv: a file is there; give a folder",
    "run labels.csv --quiet --out img": "img: the folder is not empty and holds no run",
    "issues labels.csv --top -1": "--top -1: it is 0 or more",
    "issues labels.csv --min-suspicion 5": "--min-suspicion 5: a suspicion is 0 to 1",
    "doctor --seconds -1": "--seconds -1: it is 0 or more",
    "soften nowhere": "nowhere: no such run folder",
    "compare nowhere": "nowhere: no such run folder",
    "train img": "img: not a run folder (it has no config.json)",
    "predict img labels.csv": "img: not a run folder (it has no config.json)",
    "predict img labels.csv --out x.txt": "--out x.txt: predictions go to a .csv or .parquet file",
    "report nowhere": "nowhere: no such run folder",
    "report img": "img: not a run folder (it has no config.json)",
    "corrupt labels.csv --out n.csv --rate 25": "rate 25.0 is not a fraction from 0 to 1",
    "corrupt labels.csv --out n.csv --kind soup": "unknown kind of noise 'soup'",
    "corrupt labels.csv --out n.txt": "--out n.txt: write the noisy labels to a .csv or .parquet",
    "corrupt labels.csv --out no/n.csv": "--out no/n.csv: no such folder no",
    "corrupt labels.csv --out n.csv --kind instance": "kind 'instance' needs features",
    "corrupt labels.csv --out n.csv --kind transition --transition no.csv": "--transition no.csv: ",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, work, capsys):
    items().to_csv("labels.csv", index=False)
    assert refused(capsys, *command.split()).startswith(COMMANDS[command])


def test_after_bad_input_the_mended_table_runs_into_the_same_folder(work, capsys):
    """What was refused left nothing that would stand in the way."""
    frame = items()
    set_cell([0, 1], "label", "emu")(frame.copy()).to_csv("labels.csv", index=False)
    refused(capsys, "run", "labels.csv", "--out", "out", "--quiet")
    frame.to_csv("labels.csv", index=False)
    line = refused(capsys, "run", "labels.csv", "--out", "out", "--quiet", "--folds", "9")
    assert "fewer training items than the 9 folds" in line


def test_the_largest_count_is_written_with_its_thousands(work, capsys):
    many = pd.DataFrame({"path": [f"{i}.png" for i in range(2000)], "label": ["a", "b"] * 1000})
    many.to_csv("labels.csv", index=False)
    line = refused(capsys, "run", "labels.csv", "--quiet", "--out", "out")
    assert line.startswith("labels.csv: 2,000 of 2,000 items cannot be used: 0.png, 1.png,")
    assert "9.png (no such file); and 1,990 more: mend them" in line
