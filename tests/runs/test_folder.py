"""A run folder, read: what it holds, and what is said about what it does not hold yet."""

from __future__ import annotations

import numpy as np
import pytest
from example_runs import synthetic_run

from softfold.errors import InputError
from softfold.files import write_json
from softfold.runs.folder import FILES, Run

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")


@pytest.fixture
def run(tmp_path):
    return Run.open(synthetic_run(tmp_path / "run", 60, 3))


@pytest.mark.parametrize("part", [part for part in FILES if part != "names"])
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


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("config.json", "[]", "config.json: damaged: it is list, not dict"),
        ("config.json", "{}", "config.json: damaged: it has no 'settings'"),
        ("config.json", "{", "config.json: damaged: it cannot be read"),
        ("vocab.json", '["a", 1]', r"vocab.json: damaged: \[1\] is int, not str"),
        ("vocab.json", '["a", "a"]', "vocab.json: classes: 1 of 2 repeat an earlier one"),
        ("metrics.json", '{"difference": {"mean": "1"}}', "difference.mean is str, not float"),
        ("noise.json", "{}", "noise.json: damaged: it cannot be read"),
    ],
)
def test_json_of_another_shape_is_refused_where_it_is_read(run, name, content, line):
    (run.path / name).write_text(content)
    with pytest.raises(InputError, match=line):
        getattr(Run.open(run.path), name.removesuffix(".json"))


def test_class_names_of_another_run_name_no_label(run):
    (run.path / "vocab.json").write_text('["a", "b", "c"]')
    other = Run.open(run.path)
    for read in (lambda: other.codes("given"), other.table):
        with pytest.raises(InputError, match=r"vocab.json: it does not fit the run's items"):
            read()


def test_a_noise_model_of_other_classes_is_refused(run):
    (run.path / "vocab.json").write_text('["a", "b"]')
    with pytest.raises(InputError, match=r"noise.json: it does not fit"):
        Run.open(run.path).noise  # noqa: B018


def test_a_run_in_a_notebook_says_what_came_of_it(run):
    difference = {"mean": 0.0125, "low": -0.001, "high": 0.026}
    made = {"baseline": {"accuracy": [0.8, 0.9]}, "soft": {"accuracy": [0.8625]}}
    write_json(run.path / "metrics.json", made | {"difference": difference})
    said = (
        "accuracy 85.00% with given labels, 86.25% with soft; "
        "difference +1.25 points, 95% interval -0.10 to +2.60"
    )
    assert said in repr(run) and said in run._repr_html_() and str(run.path) in repr(run)
    (run.path / "metrics.json").unlink()
    assert "not compared yet" in repr(run)
