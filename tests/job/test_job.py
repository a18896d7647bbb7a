"""A job before anything is written: its seeds, folders and folds, and what config.json keeps."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from small_tables import table_of

import softfold
from softfold.job.config import versions
from softfold.job.job import Job
from softfold.progress import Progress
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.runs.writing import RunWriter
from softfold.trainers import BaseTrainer


class Plain(BaseTrainer):
    saves_models = False

    def __init__(self, steps=3):
        self.steps = steps

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        raise NotImplementedError


class Saving(Plain):
    saves_models = True


@pytest.fixture
def job(tmp_path):
    return Job(
        settings=Settings(labels="toy.csv", seed=7, seeds=3, folds=4, repeats=2),
        table=table_of(60),
        groups=None,
        decisions=None,
        trainer=Plain(),
        oof_trainer=Saving(steps=9),
        notes=("copies share a fold",),
        writer=RunWriter(tmp_path / "run"),
        progress=Progress(quiet=True),
    )


def test_seeds_follow_the_first_and_each_has_a_folder_of_its_own(job):
    assert [job.seed(s) for s in range(3)] == [7, 8, 9]
    folders = [job.folder(s) for s in range(3)]
    assert [folder.name for folder in folders] == ["7", "8", "9"]
    assert len({*folders, job.fits}) == 4
    assert {folder.parent for folder in (*folders, job.fits)} == {job.writer.path / "seeds"}


def test_each_seed_draws_folds_of_its_own_over_the_training_items(job):
    plans = [job.plan(s) for s in range(2)]
    for plan in plans:
        assert plan.item.tolist() == job.table.train.item.tolist()
        assert plan.fold.shape == (len(job.train), 2) and set(plan.fold.ravel()) == {0, 1, 2, 3}
    assert (plans[0].fold != plans[1].fold).any()
    np.testing.assert_array_equal(job.plan(0).fold, plans[0].fold)


def test_items_of_a_group_share_a_fold_in_every_seed(job):
    groups = np.arange(len(job.train)) // 2
    grouped = replace(job, groups=groups)
    for s in range(3):
        fold = grouped.plan(s).fold
        assert all((fold[groups == g] == fold[groups == g][0]).all() for g in np.unique(groups))


def test_only_a_trainer_that_saves_models_leaves_one(job):
    assert job.model_file is None
    assert replace(job, trainer=Saving()).model_file == job.writer.path / "model.safetensors"


def test_config_json_says_what_runs_and_gives_the_same_settings(job):
    job.write_config()
    assert job.note("a class has few items", "copies share a fold") == ["a class has few items"]
    assert job.note("a class has few items") == []
    job.note("one more")
    config = Run.open(job.writer.path).config
    assert Settings.from_json(config["settings"]) == job.settings
    assert config["seeds"] == [7, 8, 9]
    assert config["notes"] == ["copies share a fold", "a class has few items", "one more"]
    assert (config["trainer"], config["trainer_settings"]) == ("Plain", {"steps": 3})
    assert (config["oof_trainer"], config["oof_trainer_settings"]) == ("Saving", {"steps": 9})
    assert (config["kind"], config["recipe"]) == ("table", None)
    assert config["versions"]["softfold"] == softfold.__version__
    assert config["machine"].startswith(("Linux", "Darwin", "Windows"))


def test_nothing_is_written_before_it_is_asked_for_and_nothing_can_be_changed(job):
    job.plan(0)
    assert not job.writer.path.exists()
    with pytest.raises(FrozenInstanceError):
        job.notes = ()


def test_versions_name_what_is_installed_and_nothing_else():
    found = versions()
    assert found["numpy"] == np.__version__
    assert all(isinstance(version, str) and version for version in found.values())
