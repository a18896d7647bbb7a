"""The Ray engine on two small nodes: the same files as in this process, whatever is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from small_tables import table_of

from softfold.crossfit.engines import Needs, Task, get_engine
from softfold.crossfit.plain import cross_fit
from softfold.errors import InputError
from softfold.stopping import watch
from softfold.trainers import BaseModel, BaseTrainer

ray = pytest.importorskip("ray", reason="Ray is not installed (softfold[ray])")
for module in ("torch", "sklearn", "pyarrow"):
    pytest.importorskip(module)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="two nodes on one machine")

TABLE = table_of(90)
KEPT = ("oof", "soft_labels", "holdout", "model", "features")


@pytest.fixture(scope="module")
def address():
    """A Ray cluster of two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args=small)
    cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def engine(address):
    return get_engine("ray", ray_address=address)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """600 digits with wrong labels as a table of names, and their pixels as features."""
    from sklearn.datasets import load_digits

    from softfold.data.corruption import corrupt
    from softfold.data.item_features import ItemFeatures

    folder = tmp_path_factory.mktemp("digits")
    pixels, truth = load_digits(return_X_y=True)
    keys = [f"digit-{i}" for i in range(600)]
    valid = np.arange(600) >= 400
    given = np.where(valid, truth[:600], corrupt(truth[:600], 0.3, "pair"))
    frame = pd.DataFrame({"path": keys, "label": given, "is_valid": valid})
    frame.to_csv(folder / "labels.csv", index=False)
    ItemFeatures(keys, (pixels[:600] / 16).astype(np.float32)).save(folder / "f.safetensors")
    return folder


def command(digits, out, *more):
    """The main job: an estimator cross-fits, probes are the final models."""
    options = ["--oof-trainer", "estimator", "--trainer", "probe", "--quiet"]
    options += ["--folds", "3", "--seeds", "2"]
    labels = [str(digits / "labels.csv"), "--features", str(digits / "f.safetensors")]
    return ["run", *labels, *options, "--out", str(out), *more]


def softfold(arguments):
    """The command in this process."""
    from softfold.cli import main

    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code


def work_of(run):
    """Everything in a run that does not tell the time or the engine, by name."""
    files = [run / f"{name}.safetensors" for name in KEPT]
    files += [run / name for name in ("items.parquet", "noise.json", "vocab.json")]
    files += sorted((run / "seeds").rglob("*.safetensors"))
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def local(digits, tmp_path_factory):
    run = tmp_path_factory.mktemp("local") / "run"
    softfold(command(digits, run))
    return work_of(run)


def test_the_main_job_gives_the_files_of_the_local_engine(digits, address, local, tmp_path):
    softfold(command(digits, tmp_path / "run", "--engine", "ray", "--ray-address", address))
    assert len(local) > 15 and work_of(tmp_path / "run") == local


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("127.0.0.1:{free}", "nothing answers there"),
        ("ray://127.0.0.1:{free}", "nothing answers there"),
        ("head", "no Ray cluster answers"),
    ],
)
def test_an_address_where_no_cluster_answers_is_told_before_the_work(digits, tmp_path, asked, line):
    with socket.socket() as listener:  # bound and not listening: nobody else gets the port
        listener.bind(("127.0.0.1", 0))
        asked = asked.format(free=listener.getsockname()[1])
        options = command(digits, tmp_path / "run", "--engine", "ray", "--ray-address", asked)
        options.remove("--quiet")
        made = subprocess.run(
            [sys.executable, "-m", "softfold", *options], capture_output=True, text=True, timeout=60
        )
    assert made.returncode == 2
    (told,) = made.stderr.splitlines()
    assert told.startswith(f"softfold: --ray-address {asked}: {line}")


def test_a_job_whose_driver_was_killed_goes_on_to_the_same_files(digits, address, local, tmp_path):
    run = tmp_path / "run"
    asked = command(digits, run, "--engine", "ray", "--ray-address", address)
    with subprocess.Popen([sys.executable, "-m", "softfold", *asked]) as driver:
        while driver.poll() is None and not list((run / "seeds").rglob("repeat-*.safetensors")):
            time.sleep(0.02)
        driver.kill()
    assert not (run / "metrics.json").exists(), "it was killed before it was done"
    softfold([*asked, "--resume"])
    assert work_of(run) == local


def trainer_that(at_first):
    """A trainer of means with noise of its seed; `at_first` is called as each fit begins.

    Made in a function, so that workers get it whole and not by the name of this module.
    """

    class Model(BaseModel):
        def __init__(self, mean):
            self.mean = mean

        def predict(self, table):
            return np.tile(self.mean, (len(table), 1))

    class Means(BaseTrainer):
        name = "means"

        def describe(self):
            return {}

        def fit(self, table, targets, *, seed, holdout=None, noise=None):
            at_first()
            mean = targets.mean(axis=0) + np.random.default_rng(seed).random(targets.shape[1])
            return Model(mean / mean.sum())

    return Means()


def folds_in(folder):
    return {file.name: file.read_bytes() for file in folder.glob("repeat-*")}


def test_a_worker_that_is_killed_in_a_fold_changes_nothing(engine, tmp_path):
    killed = tmp_path / "killed"

    def kill_once():
        import os
        import signal

        if not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    cross_fit(TABLE, trainer_that(lambda: None), n_folds=3, out=tmp_path / "here")
    made = cross_fit(
        TABLE, trainer_that(kill_once), n_folds=3, out=tmp_path / "there", engine=engine
    )
    assert killed.exists() and folds_in(tmp_path / "there") == folds_in(tmp_path / "here")
    assert made.probabilities.shape == (len(TABLE.train), 3)


def test_ctrl_c_ends_what_has_not_begun_and_keeps_what_has(engine, tmp_path):
    def wait():
        import time

        time.sleep(0.3)

    def stop(done, _):
        if done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    asked = {"n_folds": 8, "out": tmp_path / "there", "engine": engine}
    with pytest.raises(KeyboardInterrupt), watch():
        cross_fit(TABLE, trainer_that(wait), progress=stop, **asked)
    assert 1 <= len(folds_in(tmp_path / "there")) < 8
    again = cross_fit(TABLE, trainer_that(wait), **asked)
    here = cross_fit(TABLE, trainer_that(wait), n_folds=8)
    np.testing.assert_array_equal(again.probabilities, here.probabilities)


def test_bad_input_on_a_worker_is_one_line_here(engine):
    def refuse():
        from softfold.errors import InputError

        raise InputError("labels.csv: no such thing")

    with pytest.raises(InputError) as refused:
        cross_fit(TABLE, trainer_that(refuse), n_folds=3, engine=engine)
    assert str(refused.value) == "labels.csv: no such thing"


def test_a_task_that_fails_costs_none_that_has_finished(engine):
    def work(shared, fails):
        if fails:
            time.sleep(3)  # the first has come to its end by then
            raise ValueError("diverged")
        return "made"

    told = []

    def done(task, made):
        told.append(task.name)
        time.sleep(8 if task.name == "first" else 0)  # meanwhile both others come to their end

    tasks = [Task(name, work, {"fails": name == "bad"}) for name in ("first", "bad", "last")]
    with pytest.raises(ValueError, match="diverged"):
        engine.run(tasks, (), done, Needs())
    assert told == ["first", "last"]


def test_a_worker_that_is_killed_each_time_is_told_in_one_line(engine, monkeypatch):
    monkeypatch.setattr("softfold.crossfit.engines.ray._RETRIES", 0)

    def kill():
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InputError, match=r"fold \d: lost 1 time, with its worker or") as lost:
        cross_fit(TABLE, trainer_that(kill), n_folds=2, engine=engine)
    assert "\n" not in str(lost.value)
