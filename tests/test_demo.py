"""The demo goes from noisy labels to a report, may be run twice, and removes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("fastai")
from softfold import demo
from softfold.cli import main
from softfold.cli.output import bars
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
    assert abs(run.metrics["noise"]["rate_truth"] - 0.4) < 2e-3
    given, truth = run.codes("given"), run.codes("truth")
    wrong = given != truth
    assert (given[wrong] == (truth[wrong] + 1) % 10).all()
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
    with pytest.raises(InputError, match="the run was made with noise '5', not 'pair-40'"):
        demo.run_demo(run.path, quiet=True)
    after = {f.name: f.read_bytes() for f in run.path.iterdir()}
    assert {name: kept for name, kept in after.items() if name != ".lock"} == before


def test_even_noise_is_an_option_and_bars_show_only_what_the_data_tell(tmp_path, small, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "--noise", "30", "--out", str(tmp_path / "even"), "--quiet"])
    assert not stopped.value.code
    run, said = Run(tmp_path / "even"), capsys.readouterr().out
    assert abs(run.metrics["noise"]["rate_truth"] - 0.3) < 1e-3
    wrong = (run.codes("given") != run.codes("truth")).sum()
    assert f"of them are among the {wrong} most suspicious" in said
    means = {"baseline": {"accuracy": [0.5, 0.7]}, "soft": {"accuracy": [0.9]}}
    told = bars({**means, "difference": {"low": 0.2, "high": 0.4}}, width=10)
    assert [line.count(told[0][14]) for line in told] == [6, 9]
    assert told[0].endswith(" 60.0% right")
    assert not bars({**means, "difference": {"low": -0.1, "high": 0.4}})
