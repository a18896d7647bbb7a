"""The local engine: every fold trained on its own rows with its own seed, and told as it ends."""

import numpy as np
import pytest
from small_tables import table_of

from softfold.crossfit.engines import get_engine
from softfold.crossfit.engines.local import Task, run
from softfold.errors import InputError
from softfold.trainers import BaseModel, BaseTrainer

TABLE = table_of(12).train


class Echo(BaseTrainer):
    """Predicts the mean target of what it was trained on, and keeps what it was given."""

    def __init__(self, together=False):
        self.solves_folds_together, self.calls = together, []

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        self.calls.append((table.item.tolist(), seed))
        return Mean(np.asarray(targets).mean(axis=0))

    def fit_folds(self, table, folds, targets, *, seed, noise=None):
        self.calls.append((len(folds), seed))
        return super().fit_folds(table, folds, targets, seed=seed, noise=noise)


class Mean(BaseModel):
    def __init__(self, mean):
        self.mean = mean

    def predict(self, table):
        return np.tile(self.mean, (len(table), 1))


def tasks():
    rows = np.arange(len(TABLE))
    return [
        Task(repeat, fold, rows[rows % 2 != fold], rows[rows % 2 == fold], seed=10 * repeat + fold)
        for repeat in range(2)
        for fold in range(2)
    ]


@pytest.mark.parametrize("together", [False, True])
def test_each_task_gets_the_predictions_of_its_own_rows(together):
    targets, made = np.eye(3)[TABLE.given], {}

    def done(task, probabilities):
        made[task.repeat, task.fold] = probabilities

    run(Echo(together), TABLE, tasks(), targets, None, done)
    assert list(made) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for task in tasks():
        expected = np.tile(targets[task.train].mean(axis=0), (len(task.predict), 1))
        np.testing.assert_allclose(made[task.repeat, task.fold], expected, atol=1e-6)


def test_a_trainer_that_solves_folds_together_is_given_those_of_one_repeat():
    trainer = Echo(together=True)
    run(trainer, TABLE, tasks()[::-1], np.eye(3)[TABLE.given], None, lambda *_: None)
    assert [call for call in trainer.calls if isinstance(call[0], int)] == [(2, 1), (2, 11)]


def test_any_other_trainer_is_given_one_fold_with_its_seed_and_never_the_predicted_rows():
    trainer = Echo()
    run(trainer, TABLE, tasks(), np.eye(3)[TABLE.given], None, lambda *_: None)
    fits = [call for call in trainer.calls if not isinstance(call[0], int)]
    assert [seed for _, seed in fits] == [task.seed for task in tasks()]
    for (items, _), task in zip(fits, tasks(), strict=True):
        assert items == TABLE.item[task.train].tolist()


def test_a_fold_is_told_before_the_next_is_trained():
    trainer, finished = Echo(), []

    def done(task, _):
        finished.append((task.fold, len([c for c in trainer.calls if not isinstance(c[0], int)])))

    run(trainer, TABLE, tasks()[:2], np.eye(3)[TABLE.given], None, done)
    assert finished == [(0, 1), (1, 2)]


def test_an_unknown_engine_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="no engine 'magic': there are local"):
        get_engine("magic")
    assert get_engine("local").run is run
