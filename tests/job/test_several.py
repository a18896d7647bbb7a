"""The list of suspicious labels where items have several, from the command line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from several_labels import digits

from softfold.data.columns import names_of

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


def test_a_job_says_what_does_it(labels, tmp_path, capsys):
    out = tmp_path / "run"
    code, _, said = ends(capsys, "run", labels[0], "--label-delim", ";", "--out", out)
    assert code == 2 and "softfold issues lists what is suspicious" in said
    assert not out.exists()
