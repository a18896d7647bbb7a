"""What programs read: JSON of issues and predictions, and lists that are not cut for a terminal."""

import json

import numpy as np
import pandas as pd
import pytest
from example_runs import synthetic_run

pytest.importorskip("typer")
pytest.importorskip("sklearn")

from softfold.cli import main

LONG = "a/rather/long/folder/" * 8
EVIL = "cat\x1b[2J"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A cross-fit and soft labels of 160 rows, with names for people."""
    from softfold.job.running import crossfit_settings, soften_run
    from softfold.runs.settings import Settings

    folder = tmp_path_factory.mktemp("piped")
    frame = pd.DataFrame({"x": [100 * (i % 2) + i for i in range(160)], "y": range(160)})
    frame["label"] = [EVIL, "item"] * 80
    frame.assign(called=["A cat", "An item"] * 80).to_csv(folder / "labels.csv", index=False)
    frame[["x", "y"]].to_csv(folder / "new.csv", index=False)
    settings = Settings(labels=str(folder / "labels.csv"), names="called", folds=2, seeds=1)
    crossfit_settings(settings, folder / "run", quiet=True)
    soften_run(folder / "run", quiet=True)
    return folder / "run"


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    written = capsys.readouterr()
    assert not stopped.value.code, written.err
    return written.out


def test_issues_as_json_have_what_is_expected_and_the_first_ones(run, capsys):
    told = json.loads(said(capsys, "issues", run, "--json", "--top", 3))
    assert told["items"] == told["listed"] > 3 == len(told["issues"])
    low, high = told["expected_wrong_interval"]
    assert 0 <= low <= told["expected_wrong"] <= high <= told["items"]
    first = told["issues"][0]
    assert {first["given"], first["suggested"]} == {EVIL, "item"}
    assert {first["given_name"], first["suggested_name"]} == {"A cat", "An item"}
    assert 0 <= first["suspicion"] <= 1


def test_predictions_that_say_nothing_suspect_nothing_and_say_so(tmp_path, capsys):
    frame = pd.DataFrame({"x": range(40), "label": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "labels.csv", index=False)
    where = ("--folds", "2", "--run", tmp_path / "run", "--quiet")
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, ("issues", tmp_path / "labels.csv", *where))))
    assert stopped.value.code == 2
    assert "predictions say no more about the labels" in capsys.readouterr().err


def test_a_whole_run_on_such_predictions_says_so_once(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "label": rng.choice(["a", "b"], 300)})
    frame.to_csv(tmp_path / "labels.csv", index=False)
    arch = ("--arch", "sklearn.linear_model.LogisticRegression")
    how = ("--folds", 2, "--seeds", 2, "--out", tmp_path / "run", "--quiet", *arch)
    with pytest.raises(SystemExit):
        main(["run", str(tmp_path / "labels.csv"), *map(str, how)])
    written = capsys.readouterr()
    assert written.out.count("predictions say no more about the labels") == 1
    assert "predictions tell nothing" not in written.err


@pytest.mark.parametrize("trainer", ["estimator", "probe"])
def test_all_labels_are_listed_and_what_compares_nothing_goes_on_without_a_holdout(
    trainer, run, tmp_path, capsys
):
    made = tmp_path / "run"
    asked = ("--folds", 2, "--run", made, "--quiet", "--oof-trainer", trainer, "--names", "called")
    told = json.loads(said(capsys, "issues", run.parent / "labels.csv", *asked, "--json"))
    with pytest.raises(SystemExit):
        main(["issues", str(run.parent / "labels.csv"), *map(str, asked)])
    advice = f"a run is there already: softfold issues {made} lists its labels, --run DIR makes"
    assert advice in capsys.readouterr().err
    assert told["items"] == told["listed"] == 160
    said(capsys, "soften", made, "--quiet")
    if trainer == "probe":
        said(capsys, "train", made, "--trainer", "probe", "--quiet")
    new = json.loads(said(capsys, "predict", made, run.parent / "new.csv", "--json"))
    assert len(new) == 160
    said(capsys, "report", made)
    with pytest.raises(SystemExit) as stopped:
        main(["compare", str(made), "--quiet"])
    assert stopped.value.code == 2 and "has no hold-out to compare on" in capsys.readouterr().err


def test_a_list_that_was_stopped_is_gone_on_with_and_by_nothing_that_has_a_holdout(
    run, tmp_path, capsys, monkeypatch
):
    labels, folder = run.parent / "labels.csv", tmp_path / "run"
    how = ("--folds", 2, "--quiet", "--oof-trainer", "probe", "--names", "called")
    with monkeypatch.context() as patched:
        patched.setattr("softfold.job.steps.keep_cross_fit", stopped_here)
        with pytest.raises(SystemExit):
            main(list(map(str, ("issues", labels, *how, "--run", folder))))
    made = {f: f.stat().st_mtime_ns for f in folder.rglob("repeat-*.safetensors")}
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, ("crossfit", labels, *how, "--out", folder, "--resume"))))
    assert stopped.value.code == 2 and "lists all labels and has no" in capsys.readouterr().err
    told = json.loads(said(capsys, "issues", labels, *how, "--run", folder, "--json"))
    assert told["listed"] == 160 and made
    assert made == {f: f.stat().st_mtime_ns for f in made}


def stopped_here(*_):
    raise KeyboardInterrupt


def test_what_is_not_known_is_null(tmp_path, capsys):
    folder = synthetic_run(tmp_path / "run", 30, 3)
    (folder / "oof.safetensors").unlink()
    first = json.loads(said(capsys, "issues", folder, "--json"))["issues"][0]
    assert first["p_given"] is None


def test_predictions_as_json_have_probabilities_by_class(run, capsys, tmp_path):
    new = run.parent / "new.csv"
    made = json.loads(said(capsys, "predict", run, new, "--json"))
    assert len(made) == 160 and set(made[0]["probabilities"]) == {EVIL, "item"}
    for each in made:
        assert each["probabilities"][each["predicted"]] == pytest.approx(each["confidence"])
        assert each["predicted_name"] == {EVIL: "A cat", "item": "An item"}[each["predicted"]]
    out = tmp_path / "predictions.csv"
    told = json.loads(said(capsys, "predict", run, new, "--json", "--out", out))
    assert told == {"out": str(out), "items": 160} and len(pd.read_csv(out)) == 160


def test_a_list_that_is_piped_is_not_cut(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    vocab = ("a class with a name of more than twenty letters", "another one of that kind", "c")
    folder = synthetic_run(tmp_path / "run", 30, 3, vocab=vocab)
    items = pd.read_parquet(folder / "items.parquet")
    items["item"] = [f"{LONG}{key}" for key in items["item"]]
    items.to_parquet(folder / "items.parquet", index=False)
    lines = said(capsys, "issues", folder).splitlines()[1:-2]
    assert all(line.startswith(LONG) for line in lines)
    assert any(name in "".join(lines) for name in vocab[:2])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert all("…" in line for line in said(capsys, "issues", folder).splitlines()[1:-2])
