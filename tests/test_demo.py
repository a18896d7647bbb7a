"""The demo goes from noisy labels to a report, may be run twice, and removes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("fastai")
from softfold import demo
from softfold.errors import InputError
from softfold.files import write_json
from softfold.runs.folder import Run


@pytest.fixture
def small(monkeypatch):
    small = replace(demo.SETTINGS, seeds=1, epochs=1, folds=2)
    monkeypatch.setattr(demo, "SETTINGS", small)
    return small


def test_the_demo_ends_with_a_report_and_goes_on_with_an_earlier_one(tmp_path, small):
    run = demo.run_demo(tmp_path / "demo", quiet=True)
    assert run.has("report.html") and run.has("model.safetensors")
    assert abs(run.metrics["noise"]["rate_truth"] - 0.3) < 1e-3
    (run.path / "notes.txt").write_bytes(b"what people wrote")
    accuracy = run.metrics["soft"]["accuracy"]
    run = Run(demo.run_demo(tmp_path / "demo", quiet=True).path)
    assert run.metrics["soft"]["accuracy"] == accuracy
    assert (run.path / "notes.txt").read_bytes() == b"what people wrote"


def test_the_demo_touches_no_run_of_digits_that_it_did_not_make(tmp_path, small):
    run = Run(tmp_path / "mine")
    run.path.mkdir()
    config = dict.fromkeys(("kind", "name", "trainer", "oof_trainer"), "")
    config |= {"trainer_settings": {}, "oof_trainer_settings": {}, "versions": {}}
    config |= {"seeds": [0], "notes": [], "settings": replace(small, noise="5").to_json()}
    write_json(run.path / "config.json", config)
    for name in ("oof.safetensors", "decisions.sqlite", "notes.txt"):
        (run.path / name).write_bytes(name.encode())
    before = {f.name: f.read_bytes() for f in run.path.iterdir()}
    with pytest.raises(InputError, match="the run was made with noise '5', not '30'"):
        demo.run_demo(run.path, quiet=True)
    after = {f.name: f.read_bytes() for f in run.path.iterdir()}
    assert {name: kept for name, kept in after.items() if name != ".lock"} == before
