"""Names of classes for people: shown everywhere, used for nothing, refused where they confuse."""

import json

import pandas as pd
import pytest
from example_runs import digits_run, synthetic_run

from softfold.data.datasets import NAMES
from softfold.data.reading import read_table
from softfold.errors import InputError
from softfold.report import write_report
from softfold.report.listing import predicted_issues, run_issues
from softfold.review import export_labels
from softfold.review.desk import Desk
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.runs.verifying import verify

FRAME = pd.DataFrame(
    {"width": range(8), "label": ["n1", "n2"] * 4, "breed": ["Shih-Tzu", None] * 4}
)
EVIL = "<script>alert('x')</script>"


def test_names_come_from_a_file_with_or_without_a_header_a_column_or_a_mapping(tmp_path):
    told = {"n1": "Shih-Tzu", "n2": "dingo"}
    for i, head in enumerate(("class,name\n", "", "x,label,name\n")):
        file = tmp_path / f"{i}.csv"
        lead = "7," if head.startswith("x") else ""
        file.write_text(head + f"{lead}n1,Shih-Tzu\n{lead}n2,dingo\n")
        assert read_table(FRAME, names=file).names == told
    assert read_table(FRAME, names=told).names == told
    table = read_table(FRAME, names="breed")
    assert table.names == {"n1": "Shih-Tzu"} and table.vocab == ("n1", "n2")
    # a name is the label in other words: as a feature it would give the label away
    assert list(table.data.columns) == ["width"]
    assert table.fingerprint == read_table(FRAME.drop(columns="breed")).fingerprint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class,name\nn1,dog\nn2,dog\n", "classes 'n1' and 'n2' would both be called 'dog'"),
        ("class,name\nn1,n2\n", "classes 'n1' and 'n2' would both be called 'n2'"),
        ("class,name\nn1,dog\nn9,cat\nn8,\n", "1 name for no class .* is 'cat' for 'n9'"),
        ("class,name\nn1,dog\nn1,cat\n", "class 'n1' has two names, 'dog' and 'cat'"),
        ("class\nn1\n", "need two columns, class and name"),
    ],
)
def test_names_that_confuse_are_one_line(tmp_path, text, says):
    file = tmp_path / "names.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        read_table(FRAME, names=file)
    assert "\n" not in str(error.value)


def test_a_column_that_is_not_there_is_refused_and_one_with_two_names_a_class_too():
    with pytest.raises(InputError, match="--names race: neither a file nor another column"):
        read_table(FRAME, names="race")
    with pytest.raises(InputError, match="class 'n1' has two names, 'a' and 'b'"):
        read_table(FRAME.assign(breed=["a", None, "b", *"aaaaa"]), names="breed")


def test_known_datasets_bring_names_that_are_unique():
    for name, names in NAMES.items():
        assert len(set(names.values())) == len(names) == 10, name


def test_people_read_names_and_machines_the_class_with_the_name_beside_it(tmp_path):
    vocab = tuple(f"n{k}" for k in range(10))
    run = digits_run(tmp_path / "run", names=vocab)
    (run / "names.json").write_text(json.dumps({"n3": "three", "n7": EVIL}))
    page = write_report(run).read_text(encoding="utf-8")
    assert ">three<" in page and ">n3<" not in page and "<script" not in page
    listing = run_issues(run)
    assert "three" in listing.text(top=200) and " n3 " not in listing.text(top=200)
    frame = pd.read_csv(listing.write(tmp_path / "issues.csv"))
    assert set(frame.loc[frame["given"] == "n3", "given_name"]) == {"three"}
    assert set(listing.select(given="three").frame["given"]) == {"n3"}
    out = pd.read_csv(export_labels(run, tmp_path / "labels.csv"))
    assert set(out.loc[out["label"] == "n3", "label_name"]) == {"three"}
    assert set(out["label"]) == set(vocab)
    export_labels(run, tmp_path / "51", "fiftyone")
    told = json.loads((tmp_path / "51" / "labels.json").read_text())
    assert told["classes"] == list(vocab)
    assert "three" in {each["attributes"]["given_name"] for each in told["labels"].values()}
    desk = Desk(run)
    assert desk.run.titles[3] == "three" and desk.run.vocab == vocab


def test_a_run_keeps_names_and_its_parts_go_on_with_them(tmp_path):
    from softfold.job.running import crossfit_settings, soften_run

    labels = tmp_path / "labels.csv"
    frame = pd.DataFrame({"x": [i % 5 + 10 * (i % 2) for i in range(60)]})
    frame.assign(label=["n1", "n2"] * 30, name=["one", "two"] * 30).to_csv(labels, index=False)
    out = tmp_path / "run"
    crossfit_settings(Settings(labels=str(labels), names="name", folds=2), out, quiet=True)
    run = Run(out)
    assert run.names == {"n1": "one", "n2": "two"} and set(run.items["given"]) == {"n1", "n2"}
    assert verify(out) == []
    job, _ = soften_run(out, quiet=True)
    assert dict(job.table.names) == run.names
    settings = Settings(labels=str(labels), names="name", folds=2, seeds=1)
    again = predicted_issues(settings.read_labels(), [[0.9, 0.1]] * 60)
    (out / "manifest.json").unlink()
    (out / "names.json").write_text('{"n99": "x"}')
    assert "for no class of the labels" in verify(out)[0]
    assert "two" in again.text() and list(again.named["given"][:1]) == ["n2"]


def test_synthetic_runs_without_names_have_no_columns_of_them(tmp_path):
    run = synthetic_run(tmp_path / "run", 60, 3)
    assert "given_name" not in run_issues(run).named
