"""Settings: one table from which checks, the command line and config.json come."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

from softfold.errors import InputError
from softfold.runs.settings import REOPENING, Settings, settings_table, taken_by
from softfold.runs.settings_file import ON_THE_COMMAND_LINE, read_settings
from softfold.softening import STRATEGIES
from softfold.trainers import TRAINERS


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"folds": "5"}, "--folds '5': want a whole number"),
        ({"folds": True}, "--folds True: want a whole number"),
        ({"folds": None}, "--folds None: want a whole number"),
        ({"given_weight": "much"}, "--given-weight 'much': want a number"),
        ({"hard": 1}, "--hard 1: want True or False"),
        ({"threshold": 2.0, "strategy": "gate"}, "--threshold 2.0: want a number between 0 and 1"),
        ({"trainer": "magic"}, "--trainer magic: there are finetune, probe, estimator"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_by_its_option(values, line):
    with pytest.raises(InputError) as refused:
        Settings(**values)
    assert str(refused.value) == line


def test_values_are_kept_in_the_settings_own_type():
    made = Settings(folds=np.int64(4), given_weight=1, images=Path("here"))
    assert [type(v) for v in (made.folds, made.given_weight, made.images)] == [int, float, str]


def test_what_config_json_keeps_gives_the_same_settings():
    made = Settings(labels="t.csv", strategy="gate", threshold=0.9, seed=3)
    assert Settings.from_json({**made.to_json(), "a setting of older days": 1}) == made


def test_paths_that_exist_hold_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("w.pth").touch()
    made = Settings(labels="digits", weights="w.pth").absolute()
    assert made.labels == "digits" and made.weights == str(tmp_path / "w.pth")


def test_help_names_every_strategy_and_trainer():
    about = {each.name: each for each in settings_table()}
    assert all(name in about["strategy"].help for name in STRATEGIES)
    assert all(name in about["trainer"].help for name in TRAINERS)


def test_a_run_can_change_only_what_its_items_and_predictions_do_not_hang_on():
    changed = {each.name for command in REOPENING for each in taken_by(command)}
    assert not changed & {"labels", "images", "label", "valid", "folds", "seed", "oof_trainer"}


def test_a_file_of_settings_is_that_of_a_run_or_ones_own(tmp_path):
    kept = Settings(labels="digits", folds=3, strategy="blend")
    (tmp_path / "config.json").write_text(json.dumps({"settings": kept.to_json(), "kind": "image"}))
    for path in (tmp_path, tmp_path / "config.json"):
        assert Settings(**read_settings(path)) == kept
    own = tmp_path / "own.toml"
    own.write_text('labels = "digits"\nfolds = 3\ngiven-weight = 0.5\n')
    assert read_settings(own) == {"labels": "digits", "folds": 3, "given_weight": 0.5}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("fold = 3", "'fold' is no setting of softfold run; did you mean folds?"),
        ("folds: 3", "neither a run's config.json nor a file of settings"),
        ("folds = 1", "own.toml: folds 1: at least 2 is needed"),
        ('device = "cpu"\nfolds = "5"', "own.toml: folds '5': want a whole number"),
        ('out = "runs/own"', "'out' is no setting: give it on the command line, --out"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_none_of_settings_is_refused(tmp_path, content, line):
    own = tmp_path / "own.toml"
    if content is not None:
        own.write_text(content)
    with pytest.raises(InputError, match=re.escape(line)):
        read_settings(own)


def test_what_a_command_takes_beside_settings_is_said_to_be_no_setting():
    from softfold.cli import jobs

    own = set(inspect.signature(jobs.run).parameters) - {"asked"}
    assert own == set(ON_THE_COMMAND_LINE)
