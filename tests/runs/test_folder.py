"""A run folder, read: what it holds, and what is said about what it does not hold yet."""

from __future__ import annotations

import numpy as np
import pytest
from example_runs import synthetic_run

from softfold.errors import InputError
from softfold.runs.folder import FILES, Run

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")


@pytest.fixture
def run(tmp_path):
    return Run.open(synthetic_run(tmp_path / "run", 60, 3))


@pytest.mark.parametrize("part", FILES)
def test_what_is_absent_is_named_with_its_maker_or_the_default(run, part):
    (run.path / FILES[part]).unlink(missing_ok=True)
    with pytest.raises(InputError, match=rf"the run has no {FILES[part]} yet \(softfold \w+"):
        getattr(run, part)
    assert run.get(part) is None and run.get(part, "nothing") == "nothing"


def test_rows_of_the_arrays_are_those_of_the_training_items(run):
    assert run.probabilities.shape == run.targets.shape == (len(run.train), 3)
    given = run.codes("given")
    assert [run.vocab[code] for code in given] == run.train["given"].tolist()
    own = run.probabilities[np.arange(60), given]
    assert np.allclose(own, run.train["self_confidence"])
    assert np.all(np.diff(run.suspicion[run.ranking]) <= 0)
    assert (run.codes("no such column") == -1).all()


def test_arrays_of_another_run_are_refused(run, tmp_path):
    other = Run.open(synthetic_run(tmp_path / "other", 50, 3))
    (run.path / "oof.safetensors").write_bytes((other.path / "oof.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"has shape \(50, 3\), the run has 60 training items"):
        run.probabilities  # noqa: B018


def test_changing_what_was_read_as_json_changes_nothing_else(run):
    run.metrics.clear()
    assert run.metrics["data"]["n_train"] == 60
