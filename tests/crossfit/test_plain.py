"""Cross-fit: no row from a model that saw the item or its copy; finished folds stay finished."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.crossfit.oof import OutOfFold
from softfold.crossfit.plain import cross_fit
from softfold.data.datasets import encode_png
from softfold.data.folds import plan_folds
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images
from softfold.trainers import BaseModel, BaseTrainer

pytest.importorskip("safetensors")


class Witness(BaseTrainer):
    """A trainer that remembers what it saw, and whose predictions tell items apart.

    The prediction for item "i7" puts 0.007 more on class 0; a model that meets an item whose key,
    group or content it was trained on says so.
    """

    name = "witness"

    def __init__(self, log=None, wait=0.0, setting=0):
        self.log, self.wait, self.setting, self.fits = log, wait, setting, 0

    def describe(self):
        return {"setting": self.setting}

    def fit(self, table, targets, *, seed, holdout=None, noise=None):
        assert holdout is None and not table.valid.any()
        assert len(targets) == len(table)
        self.fits += 1
        time.sleep(self.wait)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{seed}\n")
        return WitnessModel(table, np.asarray(targets))


class WitnessModel(BaseModel):
    history = None

    def __init__(self, table, targets):
        self.seen = self.marks(table)
        for i, key in enumerate(table.item):
            assert targets[i, table.given[i]] == 1, f"{key} came with another item's target"

    @staticmethod
    def marks(table):
        marks = {f"key {k}" for k in table.item}
        if table.group is not None:
            marks |= {f"group {g}" for g in table.group}
        if isinstance(table.data, Images):
            marks |= {f"bytes {table.data[i]!r}" for i in range(len(table))}
        return marks

    def predict(self, table):
        assert not self.seen & self.marks(table), "this model saw an item that it predicts"
        return predicted(table)


def predicted(table):
    out = np.full((len(table), table.n_classes), 0.3 / (table.n_classes - 1), np.float32)
    out[:, 0] = [0.7 + int(k[1:]) / 1000 for k in table.item]
    out[:, 1] -= [int(k[1:]) / 1000 for k in table.item]
    return out


def table_of(labels, group=None, data=None, valid=None):
    labels = np.asarray(labels)
    return LabelTable(
        item=np.array([f"i{i}" for i in range(len(labels))], dtype=object),
        given=labels,
        vocab=tuple(str(k) for k in range(int(labels.max()) + 1)),
        valid=np.zeros(len(labels), bool) if valid is None else valid,
        group=None if group is None else np.array([str(g) for g in group], dtype=object),
        data=data,
    )


@given(
    seed=st.integers(0, 9999),
    n_folds=st.integers(2, 5),
    repeats=st.integers(1, 3),
    grouped=st.booleans(),
    held_out=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_no_row_comes_from_a_model_that_saw_the_item_or_its_group(
    seed, n_folds, repeats, grouped, held_out
):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(90) % 3)
    table = table_of(
        labels,
        group=rng.integers(0, 50, 90) if grouped else None,
        valid=rng.random(90) < 0.1 if held_out else None,
    )
    trainer = Witness()
    oof = cross_fit(table, trainer, n_folds=n_folds, repeats=repeats, seed=seed)
    assert trainer.fits == n_folds * repeats
    assert (oof.item == table.train.item).all() and oof.fold.shape == (len(oof), repeats)
    assert np.allclose(oof.probabilities, predicted(table.train), atol=1e-6)


def test_copies_of_an_image_are_never_on_both_sides():
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    pictures = [encode_png(rng.integers(0, 256, (4, 4), dtype=np.uint8)) for _ in range(30)]
    of_item = np.r_[np.arange(30), rng.integers(0, 30, 30)]
    table = table_of(np.arange(60) % 2, data=Images(encoded=[pictures[p] for p in of_item]))
    for seed in range(5):
        cross_fit(table, Witness(), n_folds=4, seed=seed)


def directions(probabilities):
    """Centred log probabilities of unit length: the same at every temperature."""
    logs = np.log(probabilities)
    logs -= logs.mean(axis=1, keepdims=True)
    return logs / np.linalg.norm(logs, axis=1, keepdims=True)


def test_held_out_labels_do_not_reach_their_own_predictions_where_folds_are_solved_together():
    # strength and temperature, a number each for all items, are what folds may share
    pytest.importorskip("torch")
    from softfold.trainers.probe import Probe

    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = rng.normal(size=(120, 5)).astype(np.float32) + labels[:, None]
    table = table_of(labels, data=features)
    plan = plan_folds(table, 4)
    before = directions(cross_fit(table, Probe(strength=0.1), plan).probabilities)
    for fold, (_, predict) in enumerate(plan.splits(0)):
        changed = labels.copy()
        changed[predict[:10]] = (changed[predict[:10]] + 1) % 3
        other = table_of(changed, data=features)
        after = directions(cross_fit(other, Probe(strength=0.1), plan).probabilities)
        own = plan.fold[:, 0] == fold
        assert np.abs(after[own] - before[own]).max() < 0.01
        assert np.abs(after[~own] - before[~own]).max() > 0.1


def test_finished_folds_are_not_trained_again(tmp_path):
    table = table_of(np.arange(40) % 2)
    first, second = Witness(), Witness()
    one = cross_fit(table, first, n_folds=4, repeats=2, out=tmp_path)
    two = cross_fit(table, second, n_folds=4, repeats=2, out=tmp_path)
    assert (first.fits, second.fits) == (8, 0)
    assert (one.probabilities == two.probabilities).all() and (one.fold == two.fold).all()
    (tmp_path / "repeat-1-fold-2.safetensors").unlink()
    third = Witness()
    cross_fit(table, third, n_folds=4, repeats=2, out=tmp_path)
    assert third.fits == 1


def test_folds_of_another_job_are_not_taken(tmp_path):
    features = np.arange(40.0)[:, None]
    table = table_of(np.arange(40) % 2, data=features)
    cross_fit(table, Witness(), n_folds=4, out=tmp_path)
    others = [
        dict(table=table, trainer=Witness(setting=1)),
        dict(table=table, trainer=Witness(), seed=1),
        dict(table=table, trainer=Witness(), plan=plan_folds(table, 4, seed=9)),
        dict(table=table_of(np.arange(40) % 2, data=features + 1), trainer=Witness()),
        dict(table=table_of(1 - np.arange(40) % 2, data=features), trainer=Witness()),
    ]
    for other in others:
        cross_fit(n_folds=4, out=tmp_path, **other)
        assert other["trainer"].fits == 4
        cross_fit(table, Witness(), n_folds=4, out=tmp_path)


def test_a_killed_process_loses_only_the_fold_it_was_in(tmp_path):
    script = textwrap.dedent(
        f"""
        import importlib.util, sys
        import numpy as np
        spec = importlib.util.spec_from_file_location("witness", {__file__!r})
        here = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(here)
        table = here.table_of(np.arange(40) % 2)
        trainer = here.Witness(log={str(tmp_path / "log")!r}, wait=float(sys.argv[1]))
        oof = here.cross_fit(table, trainer, n_folds=6, seed=3, out={str(tmp_path / "folds")!r})
        oof.save({str(tmp_path / "oof.safetensors")!r})
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script, "0.5"])
    deadline = time.time() + 60
    while len(list((tmp_path / "folds").glob("*.safetensors"))) < 2 and time.time() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = len(list((tmp_path / "folds").glob("*.safetensors")))
    assert 2 <= finished < 6
    started = len((tmp_path / "log").read_text().split())
    subprocess.run([sys.executable, "-c", script, "0"], check=True, timeout=60)
    trained = (tmp_path / "log").read_text().split()[started:]
    assert len(trained) == 6 - finished
    table = table_of(np.arange(40) % 2)
    plan = plan_folds(table, 6, seed=3)
    oof = OutOfFold.load(tmp_path / "oof.safetensors", plan)
    assert np.allclose(oof.probabilities, predicted(table), atol=1e-6)


def test_repeats_are_averaged():
    class Seeded(Witness):
        def fit(self, table, targets, *, seed, holdout=None, noise=None):
            model = super().fit(table, targets, seed=seed)
            model.predict = lambda part: np.tile(np.float32([seed, 1]), (len(part), 1))
            return model

    table = table_of(np.arange(20) % 2)
    oof = cross_fit(table, Seeded(), n_folds=2, repeats=2, seed=0)
    each = [repeat * 101 + oof.fold[:, repeat] for repeat in range(2)]
    assert np.allclose(oof.probabilities[:, 0], np.mean(each, axis=0))


def test_progress_counts_folds(tmp_path):
    seen = []
    table = table_of(np.arange(20) % 2)
    cross_fit(table, Witness(), n_folds=4, progress=lambda done, n: seen.append((done, n)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (dict(targets=np.ones((3, 2))), "shape (3, 2) do not fit labels with 20 training items"),
        (dict(noise=np.eye(2)), "'witness' cannot train through a noise model"),
        (dict(plan=plan_folds(table_of(np.arange(8) % 2), 2)), "is not of the 20 training items"),
        (dict(engine="magic"), "no engine 'magic'"),
        (dict(trainer="magic"), "no trainer 'magic'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, line):
    with pytest.raises(InputError) as error:
        cross_fit(**{"table": table_of(np.arange(20) % 2), "trainer": Witness(), **arguments})
    assert line in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("prediction", "line"),
    [
        (lambda n: np.ones((n, 3)), "gave predictions of shape (10, 3); want (10, 2)"),
        (lambda n: np.full((n, 2), np.nan), "are not numbers in fold 0: training diverged"),
    ],
)
def test_a_trainer_that_goes_wrong_is_named_and_nothing_of_it_is_kept(prediction, line, tmp_path):
    class Wrong(Witness):
        def fit(self, table, targets, *, seed, holdout=None, noise=None):
            model = super().fit(table, targets, seed=seed)
            model.predict = lambda part: prediction(len(part))
            return model

    with pytest.raises(InputError) as error:
        cross_fit(table_of(np.arange(20) % 2), Wrong(), n_folds=2, out=tmp_path)
    assert line in str(error.value) and not list(tmp_path.rglob("*.safetensors"))


def test_data_frames_reach_the_trainer_row_by_row():
    frame = pd.DataFrame({"key": [f"i{i}" for i in range(20)]}, index=np.arange(20)[::-1])

    class Reader(Witness):
        def fit(self, table, targets, *, seed, holdout=None, noise=None):
            assert (table.data["key"] == table.item).all()
            return super().fit(table, targets, seed=seed)

    cross_fit(table_of(np.arange(20) % 2, data=frame), Reader(), n_folds=4)
