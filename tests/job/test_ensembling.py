"""Fold models of a job: their progress is told, their predictions are checked, measured once."""

from dataclasses import replace

import numpy as np
import pytest
from small_tables import table_of

from softfold.errors import InputError
from softfold.evaluation import measured_by_seed
from softfold.job import ensembling
from softfold.job.comparing import Comparison
from softfold.job.opening import open_job
from softfold.runs.settings import Settings
from softfold.trainers import BaseModel, BaseTrainer

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")


class Mean(BaseTrainer, BaseModel):
    """Predicts the mean target."""

    saves_models = True

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        self._mean = targets.mean(axis=0)
        return self

    def predict(self, table):
        return np.tile(self._mean, (len(table), 1)).astype(np.float32)

    def save(self, path):
        path.write_bytes(b"mean")


@pytest.fixture
def job(tmp_path):
    settings = Settings(labels="t", folds=3, seeds=2, strategy="blend")
    opened = open_job(settings, tmp_path / "run", table=table_of(60), quiet=True)
    return replace(opened, trainer=Mean(), settings=replace(settings, ensemble=True))


def test_each_fold_model_is_told(job):
    told = []
    fits = ensembling.train_folds(job, 1, None, lambda *done: told.append(done))
    assert len(fits) == 3 and told == [(1, 3), (2, 3), (3, 3)]


def test_fold_models_that_diverged_are_refused(job):
    fits = ensembling.train_folds(job, 0, None)
    fits[1].held[0, 0] = np.nan
    with pytest.raises(InputError, match="'Mean' gave predictions that are not numbers in fold 1"):
        ensembling.out_of_fold(job, 0, fits)


def test_what_the_comparison_measured_is_not_measured_again(job, monkeypatch):
    rng = np.random.default_rng(0)
    m, measured = int(job.table.valid.sum()), []
    given, soft = (rng.dirichlet(np.ones(3), (2, m)).astype(np.float32) for _ in range(2))
    compared = Comparison(given, soft, job.table.holdout.given, "given", "blend")
    monkeypatch.setattr(
        ensembling, "measured_by_seed", lambda *a: measured.append(a) or measured_by_seed(*a)
    )
    predictions = {"given": given, "soft": soft, "both": (given + soft) / 2}
    models = ensembling.ensemble_metrics(job, predictions, compared)["models"]
    assert len(measured) == 1 and list(models) == ["given", "soft", "both"]
    assert models["given"].pop("difference")["mean"] == -compared.metrics["difference"]["mean"]
    assert models["given"] == compared.metrics["baseline"]
    assert models["soft"] | {"strategy": "blend"} == compared.metrics["soft"]
