"""The main job: a run folder from which every figure can be recomputed; a kill loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import softfold
from softfold.data.corruption import corrupt
from softfold.data.datasets import encode_png
from softfold.data.table import Images, LabelTable
from softfold.errors import InputError
from softfold.evaluation import (
    accuracy,
    average_precision,
    log_loss,
    paired_difference,
    roc_auc,
)
from softfold.job.comparing import compare, fit_once
from softfold.job.opening import open_job, reopen_job
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.softening import SoftLabels
from softfold.trainers import BaseModel, BaseTrainer
from softfold.trainers.estimator import Estimator

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def flowers(n=240, seed=0):
    """Three classes in three columns, 30% of the training labels moved into the next class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    frame = pd.DataFrame(
        {
            "petal": y + rng.normal(0, 0.5, n),
            "sepal": (y == 1) + rng.normal(0, 0.5, n),
            "colour": np.array(["red", "blue", "white"])[(y + (rng.random(n) < 0.2)) % 3],
        }
    )
    names = np.array(["iris", "rose", "tulip"])
    valid = rng.random(n) < 0.3
    given = y.copy()
    given[~valid] = corrupt(y[~valid], 0.3, "pair")
    return frame.assign(label=names[given], right=names[y], is_valid=valid)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "flowers"
    return softfold.run(
        flowers(), out, truth="right", strategy="blend", arch=LOGISTIC, seeds=2, seed=7, quiet=True
    )


def test_the_run_folder_holds_what_it_promises(run):
    promised = "config.json items.parquet oof.safetensors soft_labels.safetensors vocab.json "
    promised += "holdout.safetensors noise.json history.parquet metrics.json report.html"
    assert set(promised.split()) <= {p.name for p in run.path.iterdir()}
    assert not list(run.path.rglob("*.pkl")) and not list(run.path.rglob("*.part"))
    config = run.config
    assert config["seeds"] == [7, 8] and config["versions"]["softfold"] == softfold.__version__
    assert Settings.from_json(config["settings"]).strategy == "blend"


def test_rows_of_every_file_are_those_of_the_items(run):
    items, vocab = run.items, run.vocab
    train, holdout = items[items["split"] == "train"], items[items["split"] == "valid"]
    frame = flowers()
    assert items["item"].tolist() == [str(i) for i in range(len(frame))]
    assert items["given"].tolist() == frame["label"].tolist()
    assert items["truth"].tolist() == frame["right"].tolist()
    assert ((items["split"] == "valid") == frame["is_valid"]).all()
    assert run.oof.item.tolist() == train["item"].tolist() == run.soft_labels.item.tolist()
    assert run.oof.vocab == run.soft_labels.vocab == vocab == ("iris", "rose", "tulip")
    assert run.oof.fold[:, 0].tolist() == [f[0] for f in train["fold"]]
    assert all(len(f) == 0 for f in holdout["fold"])
    for predictions in run.holdout_predictions().values():
        assert predictions.shape == (2, len(holdout), 3) and predictions.dtype == np.float32
    best = np.array(vocab)[run.oof.probabilities.argmax(axis=1)]
    assert train["predicted"].tolist() == best.tolist()
    given = [vocab.index(name) for name in train["given"]]
    own = run.oof.probabilities[np.arange(len(train)), given]
    assert np.allclose(train["self_confidence"], own)


def test_metrics_can_be_recomputed_from_the_other_files(run):
    metrics, items, vocab = run.metrics, run.items, pd.Index(run.vocab)
    train, holdout = items[items["split"] == "train"], items[items["split"] == "valid"]
    given, truth = vocab.get_indexer(train["given"]), vocab.get_indexer(train["truth"])
    oof, labels = run.oof.probabilities, vocab.get_indexer(holdout["truth"])
    wrong = given != truth
    expected = {
        "data": {"n_train": len(train), "n_valid": len(holdout), "n_classes": 3},
        "oof": {
            "accuracy_given": accuracy(oof, given),
            "log_loss_given": log_loss(oof, given),
            "accuracy_truth": accuracy(oof, truth),
        },
        "noise": {"rate_estimate": run.noise.rate, "rate_truth": wrong.mean()},
        "issues": {"average_precision": average_precision(train["suspicion"].to_numpy(), wrong)},
        "accuracy_against": "truth",
    }
    for name, predictions in run.holdout_predictions().items():
        expected[name] = {
            "accuracy": [accuracy(p, labels) for p in predictions],
            "roc_auc": [roc_auc(p, labels) for p in predictions],
        }
    expected["soft"]["strategy"] = "blend"
    both = run.holdout_predictions()
    expected["difference"] = paired_difference(both["baseline"], both["soft"], labels)
    seconds = metrics.pop("seconds")
    assert metrics == json.loads(json.dumps(expected))
    steps = "load crossfit soften train_baseline train_soft evaluate total"
    assert set(seconds) == set(steps.split())


def test_soft_labels_are_those_of_the_first_seed(run):
    train = run.table().train
    by_hand = softfold.soften(train, run.oof, "blend")
    assert np.allclose(run.soft_labels.targets, by_hand.targets)


def test_the_loaded_model_is_the_soft_model_of_the_first_seed(run):
    frame = flowers()
    predicted = softfold.load(run.path).predict(frame[["petal", "sepal", "colour"]])
    soft = run.holdout_predictions()["soft"][0]
    valid = frame["is_valid"].to_numpy()
    assert np.allclose(predicted.loc[valid, list(run.vocab)], soft, atol=1e-5)
    names = np.array(run.vocab)[soft.argmax(axis=1)]
    assert predicted.loc[valid, "predicted"].tolist() == names.tolist()


def test_the_same_settings_give_the_same_figures(run, tmp_path):
    again = softfold.run(
        flowers(),
        tmp_path / "again",
        truth="right",
        strategy="blend",
        arch=LOGISTIC,
        seeds=2,
        seed=7,
        quiet=True,
    )
    one, two = run.metrics, again.metrics
    one.pop("seconds"), two.pop("seconds")
    assert one == two


def test_a_finished_run_is_not_overwritten_and_resume_wants_the_same_settings(run):
    settings = dict(truth="right", strategy="blend", arch=LOGISTIC, seeds=2, seed=7, quiet=True)
    with pytest.raises(InputError, match="a run is there already; --resume goes on with it"):
        softfold.run(flowers(), run.path, **settings)
    with pytest.raises(InputError, match="the run was made with folds 5, not 4"):
        softfold.run(flowers(), run.path, resume=True, folds=4, **settings)
    before = {k: v for k, v in run.metrics.items() if k != "seconds"}
    after = softfold.run(flowers(), run.path, resume=True, **settings).metrics
    assert {k: v for k, v in after.items() if k != "seconds"} == before


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(tmp_path):
    flowers(600).to_csv(tmp_path / "flowers.csv", index=False)
    command = [sys.executable, "-m", "softfold", "run", str(tmp_path / "flowers.csv"), "--quiet"]
    command += ["--truth", "right", "--strategy", "blend", "--arch", LOGISTIC, "--seeds", "2"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "killed")])
    folds = tmp_path / "killed" / "seeds"
    deadline = time.time() + 90
    while not list(folds.rglob("*fold-1.safetensors")) and time.time() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "metrics.json").exists()
    made = {p: p.stat().st_mtime_ns for p in folds.rglob("*.safetensors")}
    subprocess.run([*command, "--out", str(tmp_path / "killed"), "--resume"], check=True)
    whole = softfold.run(
        tmp_path / "flowers.csv",
        tmp_path / "whole",
        truth="right",
        strategy="blend",
        arch=LOGISTIC,
        seeds=2,
        quiet=True,
    )
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in made.items())
    one, two = Run(tmp_path / "killed").metrics, whole.metrics
    one.pop("seconds"), two.pop("seconds")
    assert one == two


def table_of(n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return LabelTable(
        item=np.array([f"i{i}" for i in range(n)], dtype=object),
        given=y,
        vocab=("a", "b", "c"),
        valid=rng.random(n) < 0.3,
        data=np.c_[y + rng.normal(0, 0.6, n), rng.normal(size=n)],
    )


def soft_of(table, weight):
    train = table.train
    rest = (1 - weight) / 2
    targets = np.full((len(train), 3), rest, np.float32)
    targets[np.arange(len(train)), train.given] = weight
    return SoftLabels(train.item, targets, table.vocab, "test")


def test_models_of_other_soft_labels_are_not_taken_for_finished(tmp_path):
    table = table_of()
    trainer = Estimator(arch="sklearn.linear_model.LogisticRegression")
    one = fit_once(table, soft_of(table, 0.9), trainer, seed=0, out=tmp_path)
    same = fit_once(table, soft_of(table, 0.9), trainer, seed=0, out=tmp_path)
    assert one.model is not None and same.model is None
    assert (one.holdout == same.holdout).all()
    other = fit_once(table, soft_of(table, 0.5), trainer, seed=0, out=tmp_path)
    assert other.model is not None and (one.holdout != other.holdout).any()
    forest = Estimator(arch="sklearn.ensemble.RandomForestClassifier", params={"n_estimators": 5})
    assert fit_once(table, soft_of(table, 0.5), forest, seed=0, out=tmp_path).model is not None


def test_compare_matches_soft_labels_by_key_and_class():
    table = table_of()
    soft = soft_of(table, 0.8)
    trainer = Estimator(arch="sklearn.linear_model.LogisticRegression")
    plain = compare(table, soft, trainer, seeds=2)
    order = np.random.default_rng(0).permutation(len(soft))
    shuffled = SoftLabels(
        soft.item[order], soft.targets[order][:, [2, 0, 1]], ("c", "a", "b"), "test"
    )
    assert np.allclose(compare(table, shuffled, trainer, seeds=2).soft, plain.soft, atol=1e-5)
    with pytest.raises(InputError, match="without a soft label; the first is 'i"):
        short = SoftLabels(soft.item[1:], soft.targets[1:], soft.vocab, "test")
        compare(table, short, trainer, seeds=1)
    with pytest.raises(InputError, match="no hold-out to measure on"):
        compare(table.train, soft, trainer)


def test_other_soft_labels_of_a_run_are_compared_anew(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    job = reopen_job(copy, quiet=True, strategy="blend", given_weight=0.2, hard=True)
    made = job.compare(job.soften(2))
    assert (made.baseline == run.holdout_predictions()["baseline"]).all()
    assert (made.soft != run.holdout_predictions()["soft"]).any()


def test_feature_matrices_stay_matrices(tmp_path):
    table = table_of()
    run = softfold.run(table, tmp_path / "run", strategy="blend", seeds=1, folds=3, quiet=True)
    again = run.table()
    assert isinstance(again.data, np.ndarray) and (again.data == table.data).all()
    holdout = softfold.load(run.path).predict(table.holdout.data)
    expected = run.holdout_predictions()["soft"][0]
    assert np.allclose(holdout[list(table.vocab)], expected, atol=1e-5)


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return [encode_png(rng.integers(0, 256, (6, 6), dtype=np.uint8)) for _ in range(n)]


def test_copies_and_groups_that_the_holdout_shares_are_left_out_and_named(tmp_path):
    pytest.importorskip("PIL")
    encoded = pictures(60)
    encoded[40] = encoded[3]  # a copy in the hold-out
    encoded[11] = encoded[10]  # a copy within training
    group = np.array([f"g{i}" for i in range(60)], dtype=object)
    group[5] = group[50]
    table = LabelTable(
        item=np.array([f"i{i}" for i in range(60)], dtype=object),
        given=np.arange(60) % 2,
        vocab=("a", "b"),
        valid=np.arange(60) >= 40,
        group=group,
        data=Images(encoded=encoded),
    )
    job = open_job(Settings(labels="t"), tmp_path / "run", table=table, quiet=True)
    assert set(table.item) - set(job.table.item) == {"i3", "i5"}
    notes = " ".join(job.notes)
    assert "1 training item has an exact copy in the hold-out" in notes
    assert "the first is i3" in notes and "the first is i5" in notes
    plan = job.plan(0)
    fold = dict(zip(plan.item, plan.fold[:, 0], strict=True))
    assert fold["i10"] == fold["i11"]


def test_images_handed_over_in_memory_are_kept_with_the_run(tmp_path):
    pytest.importorskip("PIL")
    encoded = pictures(40)
    table = LabelTable(
        item=np.array([f"i{i}" for i in range(40)], dtype=object),
        given=np.arange(40) % 2,
        vocab=("a", "b"),
        valid=np.arange(40) >= 30,
        data=Images(encoded=encoded),
    )

    class Brightness(BaseTrainer, BaseModel):
        """A trainer that predicts from the mean byte."""

        name = "brightness"

        def describe(self):
            return {}

        def fit(self, table, targets, *, seed, holdout=None, noise=None):
            self.history = None
            return self

        def predict(self, table):
            mean = np.array([np.mean(list(table.data[i])) for i in range(len(table))]) / 255
            return np.c_[mean, 1 - mean].astype(np.float32)

    job = open_job(Settings(labels="t", strategy="blend"), tmp_path / "r", table=table, quiet=True)
    job.oof_trainer = Brightness()
    job.crossfit(1)
    again = Run(tmp_path / "r").table()
    assert [again.data[i] for i in range(40)] == encoded and (again.given == table.given).all()


def test_without_a_split_the_same_stratified_fifth_is_held_out_for_every_seed(tmp_path):
    table = table_of(300)
    table = LabelTable(
        table.item, table.given, table.vocab, np.zeros(300, bool), data=table.data, name="t"
    )
    jobs = [
        open_job(Settings(labels="t", seed=s), tmp_path / str(s), table=table, quiet=True)
        for s in (0, 5)
    ]
    one, two = (job.table for job in jobs)
    assert (one.valid == two.valid).all() and one.valid.sum() == 60
    assert np.bincount(one.given[one.valid]).tolist() == [20, 20, 20]
    assert (jobs[0].plan(0).fold != jobs[1].plan(0).fold).any()
    assert any("a stratified fifth" in note for note in jobs[0].notes)
    assert any("no known truth" in note for note in jobs[0].notes)
