"""What `softfold verify` finds in a run folder, and rows that stay themselves from run to run."""

from shutil import copytree

import pandas as pd
import pytest
from decision_rows import row
from small_tables import flowers

from softfold.cli.pages import verify as command
from softfold.data.reading import read_table
from softfold.decisions.applying import apply_decisions
from softfold.decisions.log import LOG, DecisionLog
from softfold.job.running import run as run_job
from softfold.review.export import export_labels
from softfold.runs.folder import Run
from softfold.runs.manifest import written
from softfold.runs.verifying import verify

for library in ("pyarrow", "safetensors", "sklearn"):
    pytest.importorskip(library)

JOB = {"label": "label", "truth": "right", "seeds": 1, "folds": 2, "quiet": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return run_job(flowers(150), tmp_path_factory.mktemp("verify") / "run", **JOB).path


@pytest.fixture
def run(made, tmp_path):
    return copytree(made, tmp_path / "run")


def decide(run, *rows):
    log = DecisionLog(run / LOG)
    log.append(rows)
    log._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log.close()


def test_decisions_that_are_damaged_are_found(run):
    decide(run, row("ann", "stroke one", "15", "keep", "iris", given="iris"))
    assert verify(run) == []
    content = (run / LOG).read_bytes()
    (run / LOG).write_bytes(content.replace(b"stroke one", b"stroke two"))
    assert len(verify(run)) == 1 and "damaged: decision 1" in verify(run)[0]


def test_a_run_that_was_stopped_is_not_said_to_be_whole(run, capsys):
    command(str(run))
    assert "everything fits together" in capsys.readouterr().out
    with written(run, "metrics.json"):
        (run / "metrics.json").unlink()
    command(str(run))
    assert "--resume goes on" in capsys.readouterr().out
    (run / "manifest.json").unlink()
    assert len(verify(run)) == 1 and "nothing tells whether files are as written" in verify(run)[0]


def test_an_exported_table_of_rows_keeps_their_names(run, tmp_path):
    first, second = pd.read_parquet(run / "items.parquet").query("split == 'train'").item[:2]
    decide(
        run,
        row("ann", "s1", first, "exclude", given="iris"),
        row("ann", "s2", second, "class", "rose", given="iris"),
    )
    out = export_labels(run, tmp_path / "out.csv")
    exported = pd.read_csv(out)
    assert exported.columns[0] == "item" and first not in set(exported["item"].astype(str))
    after = apply_decisions(read_table(out), run)  # what was left out is no loss
    place = list(after.item).index(second)
    assert after.vocab[after.given[place]] == "rose"
    x = pd.read_parquet(run / "data.parquet")["petal"]
    assert after.frame["petal"].iloc[place] == x[list(Run.open(run).items["item"]).index(second)]
