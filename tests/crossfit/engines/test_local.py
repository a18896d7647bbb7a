"""The local engine: every fold trained on its own rows with its own seed, and told as it ends."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_tasks import Unreadable, begun, fail, fail_oddly, gone, sleepers, spoil
from mortal import Mortal
from small_tables import table_of

from softfold.crossfit.engines import Engine, Needs, Task, get_engine
from softfold.crossfit.engines.local import Local
from softfold.crossfit.plain import cross_fit
from softfold.data.folds import plan_folds
from softfold.errors import InputError
from softfold.stopping import watch
from softfold.trainers import BaseModel, BaseTrainer

TABLE = table_of(12).train
PLAN = plan_folds(TABLE, 2, repeats=2)


class Echo(BaseTrainer):
    """Predicts the mean target of what it was trained on, and keeps what it was given."""

    def __init__(self, together=False):
        self.solves_folds_together, self._calls = together, []

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        self._calls.append((table.item.tolist(), seed))
        return Mean(np.asarray(targets).mean(axis=0))

    def fit_folds(self, table, folds, targets, *, seed, noise=None):
        self._calls.append((len(folds), seed))
        return super().fit_folds(table, folds, targets, seed=seed, noise=noise)

    @property
    def fits(self):
        return [call for call in self._calls if not isinstance(call[0], int)]

    @property
    def groups(self):
        return [call for call in self._calls if isinstance(call[0], int)]


class Mean(BaseModel):
    def __init__(self, mean):
        self.mean = mean

    def predict(self, table):
        return np.tile(self.mean, (len(table), 1))


@pytest.mark.parametrize("together", [False, True])
def test_each_row_gets_the_predictions_of_models_of_the_other_folds(together):
    made = cross_fit(TABLE, Echo(together), PLAN).probabilities
    targets, expected = np.eye(3)[TABLE.given], np.zeros_like(made)
    for repeat in range(2):
        for train, predict in PLAN.splits(repeat):
            expected[predict] += targets[train].mean(axis=0) / 2
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_trainer_that_solves_folds_together_is_given_those_of_one_repeat():
    trainer = Echo(together=True)
    cross_fit(TABLE, trainer, PLAN, seed=1)
    assert trainer.groups == [(2, 1009), (2, 1110)]


def test_any_other_trainer_is_given_one_fold_with_its_seed_and_never_the_predicted_rows():
    trainer = Echo()
    cross_fit(TABLE, trainer, PLAN)
    assert trainer.groups == [(1, 0), (1, 1), (1, 101), (1, 102)]
    rows = [train for repeat in range(2) for train, _ in PLAN.splits(repeat)]
    assert [items for items, _ in trainer.fits] == [TABLE.item[train].tolist() for train in rows]


def test_a_fold_is_told_before_the_next_is_trained():
    trainer, finished = Echo(), []
    cross_fit(TABLE, trainer, PLAN, progress=lambda n, _: finished.append((n, len(trainer.fits))))
    assert finished == [(1, 1), (2, 2), (3, 3), (4, 4)]


TREES = {"n_estimators": 5}
FOREST = "sklearn.ensemble.RandomForestClassifier"


def test_side_by_side_in_processes_gives_the_same_folds_also_where_one_is_lost(tmp_path):
    pytest.importorskip("sklearn")
    from softfold.trainers.estimator import Estimator

    table, forest = table_of(30).train, Estimator(arch=FOREST, params=TREES)
    data = np.random.default_rng(0).normal(size=(len(table), 4))
    table = replace(table, data=data)
    here = cross_fit(table, forest, n_folds=3).probabilities
    there = cross_fit(table, Mortal(str(tmp_path / "killed")), n_folds=3, engine=Local(2))
    assert (tmp_path / "killed").exists()
    again = cross_fit(table, Mortal(str(tmp_path / "killed")), n_folds=3).probabilities
    assert np.array_equal(there.probabilities, again) and not (again == again[0]).all()
    made = cross_fit(table, forest, n_folds=3, out=tmp_path / "folds", engine=Local(2))
    assert np.array_equal(made.probabilities, here)
    assert len(list((tmp_path / "folds").glob("repeat-*"))) == 3


@pytest.mark.skipif(os.name != "posix", reason="others are sent all of it")
def test_processes_share_one_copy_of_large_arrays_and_cannot_spoil_it():
    array, told = np.arange(1 << 19, dtype=np.float32).reshape(-1, 2), {}
    tasks = [Task(str(i), spoil) for i in range(4)]
    Local(2).run(tasks[:2], (array,), lambda task, made: told.update({task.name: made}), Needs())
    assert [kind for kind, _ in told.values()] == ["mmap"] * 2
    added = {total - float(array.sum(dtype=float)) for _, total in told.values()}
    assert added <= {float(array.size), 2.0 * array.size} and array[0, 0] == 0


def test_what_cannot_be_sent_is_said():
    with pytest.raises(InputError, match="--workers: what is trained cannot be sent"):
        cross_fit(TABLE, lambda table, targets: None, n_folds=2, engine=Local(2))


def test_a_task_that_fails_costs_none_that_was_under_way(tmp_path):
    told = []
    tasks = [
        Task("bad", fail, {"error": InputError("labels.csv: no such thing")}),
        *sleepers(tmp_path, 0.5),
    ]
    with pytest.raises(InputError, match="no such thing"):
        Local(2).run(tasks, (), lambda task, made: told.append((task.name, made)), Needs())
    assert told == [("0", "0")]


@pytest.mark.parametrize(
    ("work", "shared", "said"),
    [
        (fail, (Unreadable(),), "cannot be read in other processes .*no such thing"),
        (fail_oddly, (), "the first"),
    ],
)
def test_what_cannot_be_read_again_is_not_taken_for_a_lack_of_memory(work, shared, said):
    tasks = [Task(name, work) for name in "ab"]
    with pytest.raises((InputError, RuntimeError), match=said):
        Local(2).run(tasks, shared, lambda task, made: None, Needs())


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
from engine_tasks import sleepers
from softfold.crossfit.engines import Needs
from softfold.crossfit.engines.local import Local
{guard}Local(2).run(sleepers({folder!r}, 60, 60), (), print, Needs())
"""


def script(tmp_path, guard):
    (tmp_path / "begun").mkdir()
    tests, folder = str(Path(__file__).parents[2]), str(tmp_path / "begun")
    (tmp_path / "script.py").write_text(SCRIPT.format(tests=tests, folder=folder, guard=guard))
    return [sys.executable, str(tmp_path / "script.py")]


def test_processes_end_with_the_one_that_started_them_however_it_ends(tmp_path):
    with subprocess.Popen(script(tmp_path, "if __name__ == '__main__': ")) as job:
        pids = begun(tmp_path / "begun", 2)
        job.kill()
    assert gone(pids)


def test_a_script_that_every_process_would_run_anew_is_told(tmp_path):
    job = subprocess.run(script(tmp_path, ""), stderr=subprocess.PIPE, text=True, check=False)
    assert job.returncode and "under `if __name__" in job.stderr.splitlines()[-1]


def test_a_second_ctrl_c_waits_for_nothing(tmp_path):
    pids = {}

    def twice():
        pids.update(begun(tmp_path, 2))
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(1)

    with pytest.raises(KeyboardInterrupt), watch():
        threading.Thread(target=twice).start()
        Local(2).run(sleepers(tmp_path, 60, 60), (), lambda task, made: None, Needs())
    assert len(pids) == 2 and gone(pids)


@pytest.mark.parametrize(
    ("device", "seen"), [(None, ["3", "GPU-7"]), ("cuda:1", ["3, GPU-7", "3, GPU-7"])]
)
def test_each_process_sees_a_gpu_of_its_own_unless_one_was_named(
    tmp_path, monkeypatch, device, seen
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7")
    needs = Needs(gpus=1, device=device)
    tasks = sleepers(tmp_path, 60, 60, others=2)
    Local(2).run(tasks, (), lambda task, made: None, needs)
    assert sorted(begun(tmp_path, 2).values()) == seen


def test_an_engine_that_is_not_there_is_refused_with_what_helps(monkeypatch):
    with pytest.raises(InputError, match="no engine 'magic': there are local"):
        get_engine("magic")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"ray is not installed: pip install 'softfold\[ray\]'"):
        get_engine("ray")
    assert isinstance(get_engine("local", ray_address="x"), Local)
    assert isinstance(Local(), Engine) and get_engine(engine := Local()) is engine
