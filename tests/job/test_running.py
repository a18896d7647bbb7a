"""The main job: a run folder from which every figure can be recomputed; a kill loses nothing."""

import json
import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from decision_rows import row
from small_tables import flowers, random_pictures, table_of

import softfold
from softfold.data.table import LabelTable
from softfold.decisions.applying import read_decisions
from softfold.decisions.log import LOG, DecisionLog
from softfold.errors import InputError
from softfold.evaluation import (
    accuracy,
    average_precision,
    log_loss,
    paired_difference,
    roc_auc,
)
from softfold.job.opening import open_job
from softfold.job.running import compare_run, crossfit_labels, soften_run
from softfold.noise.words import rate_fields
from softfold.pixels.images import Images
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.trainers import BaseModel, BaseTrainer
from softfold.trainers.estimator import Estimator

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
LOGISTIC = "sklearn.linear_model.LogisticRegression"


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


def test_a_profile_is_in_the_run_and_its_report_and_changes_nothing(run, tmp_path):
    settings = {"truth": "right", "strategy": "blend", "arch": LOGISTIC, "seeds": 2, "seed": 7}
    told = softfold.run(flowers(), tmp_path / "told", quiet=True, profile=True, **settings)
    steps = {step["step"]: step["functions"] for step in told.profile["steps"]}
    assert {"load", "crossfit", "train_soft"} <= set(steps) and steps["crossfit"]
    spent = sum(step["seconds"] for step in told.profile["steps"] if step["step"] != "rest")
    total = told.metrics["seconds"]["total"]  # the same steps, by another clock
    assert total > 0 and spent == pytest.approx(total, rel=0.2, abs=0.1)
    page = (told.path / "report.html").read_text()
    whole = sum(step["seconds"] for step in told.profile["steps"])
    assert f"{whole:.2f} s together" in page and "in all steps, without what is between" in page
    assert "of the processor" in page and steps["crossfit"][0]["function"].split()[-1] in page
    assert not run.has("profile.json")
    np.testing.assert_array_equal(told.probabilities, run.probabilities)


def test_what_all_fits_share_is_made_and_told_once(tmp_path, capsys):
    softfold.run(flowers(120), tmp_path / "run", truth="right", strategy="blend", seeds=2, folds=2)
    assert capsys.readouterr().err.count("classifier (estimator) ...\n") == 1


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
        "noise": {**rate_fields(run.noise), "rate_truth": wrong.mean()},
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
    total = seconds.pop("total")
    assert total == pytest.approx(sum(seconds.values()), abs=0.01)
    assert seconds["crossfit"] > 0 < seconds["train_soft"]


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


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(tmp_path, commands):
    flowers(600).to_csv(tmp_path / "flowers.csv", index=False)
    command = ["run", tmp_path / "flowers.csv", "--quiet", "--out", tmp_path / "killed"]
    command += ["--truth", "right", "--strategy", "blend", "--arch", LOGISTIC, "--seeds", "2"]
    process = commands.start(*command)
    folds = tmp_path / "killed" / "seeds"
    deadline = time.time() + 90
    while not list(folds.rglob("*fold-1.safetensors")) and time.time() < deadline:
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert commands.wait()[0] == -signal.SIGKILL
    assert not (tmp_path / "killed" / "metrics.json").exists()
    made = {p: p.stat().st_mtime_ns for p in folds.rglob("*.safetensors")}
    assert commands.run(*command, "--resume")[0] == 0
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


def test_other_soft_labels_of_a_run_are_compared_anew(run, tmp_path):

    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    soften_run(copy, quiet=True, strategy="blend", given_weight=0.2, hard=True)
    made = compare_run(copy, quiet=True).holdout_predictions()
    assert (made["baseline"] == run.holdout_predictions()["baseline"]).all()
    assert (made["soft"] != run.holdout_predictions()["soft"]).any()


def test_feature_matrices_stay_matrices(tmp_path):
    table = table_of()
    run = softfold.run(table, tmp_path / "run", strategy="blend", seeds=1, folds=3, quiet=True)
    again = run.table()
    assert isinstance(again.data, np.ndarray) and (again.data == table.data).all()
    holdout = softfold.load(run.path).predict(table.holdout.data)
    expected = run.holdout_predictions()["soft"][0]
    assert np.allclose(holdout[list(table.vocab)], expected, atol=1e-5)


def test_images_handed_over_in_memory_are_kept_with_the_run(tmp_path):
    pytest.importorskip("PIL")
    encoded = random_pictures(40)
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
    crossfit_labels(replace(job, oof_trainer=Brightness()))
    again = Run(tmp_path / "r").table()
    assert [again.data[i] for i in range(40)] == encoded and (again.given == table.given).all()


def test_config_json_says_what_ran(run):
    config = run.config
    assert config["trainer"] == config["oof_trainer"] == "estimator" and config["recipe"] is None
    assert config["trainer_settings"]["arch"] == LOGISTIC


def test_what_is_finished_is_never_fitted_again_to_be_read(run, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)

    def fit(*_, **__):
        raise AssertionError("a model was trained")

    monkeypatch.setattr(Estimator, "fit", fit)
    again = compare_run(copy, quiet=True)
    before, after = run.metrics, again.metrics
    before.pop("seconds"), after.pop("seconds")
    assert before == after


@pytest.mark.parametrize(
    ("column", "line"),
    [("label", "the given labels of its cross-fit"), ("petal", "the items or data of its")],
)
def test_resume_refuses_other_labels_and_data_by_name(tmp_path, column, line):
    frame = flowers(120)
    settings = dict(truth="right", strategy="blend", arch=LOGISTIC, seeds=1, quiet=True)
    frame.to_csv(tmp_path / "t.csv", index=False)
    softfold.run(tmp_path / "t.csv", tmp_path / "run", **settings)
    row = int(np.flatnonzero(~frame["is_valid"])[0])
    other = {"iris": "rose", "rose": "tulip", "tulip": "iris"}
    value = frame.at[row, column]
    frame.at[row, column] = other[value] if column == "label" else -value
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=line):
        softfold.run(tmp_path / "t.csv", tmp_path / "run", resume=True, **settings)


def test_changes_of_a_finished_run_are_for_the_final_models(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    forest = "sklearn.ensemble.RandomForestClassifier"
    made = compare_run(copy, quiet=True, arch=forest)
    assert made.config["trainer_settings"]["arch"] == forest
    assert made.config["oof_trainer_settings"]["arch"] == LOGISTIC
    assert (made.oof.probabilities == run.oof.probabilities).all()
    assert (made.holdout_predictions()["soft"] != run.holdout_predictions()["soft"]).any()


@pytest.fixture
def decided(tmp_path):
    """Labels, what was decided about them, and a run that was made with it."""
    frame = flowers(240)
    frame.to_csv(tmp_path / "t.csv", index=False)
    train = frame[~frame["is_valid"]]
    wrong = train[train["label"] != train["right"]].index[:6].astype(str)
    decisions = pd.DataFrame({"item": wrong, "state": "confirmed"})
    decisions["label"] = frame["right"].to_numpy()[wrong.astype(int)]
    decisions["given"] = frame["label"].to_numpy()[wrong.astype(int)]
    decisions.to_csv(tmp_path / "decisions.csv", index=False)
    settings = dict(
        truth="right",
        strategy="blend",
        arch=LOGISTIC,
        seeds=1,
        quiet=True,
        decisions=str(tmp_path / "decisions.csv"),
    )
    made = softfold.run(tmp_path / "t.csv", tmp_path / "run", **settings)
    return tmp_path, decisions, settings, made


def test_decisions_are_read_once_and_kept_in_the_run(decided):
    folder, decisions, _, run = decided
    assert run.decisions[["item", "label"]].equals(decisions[["item", "label"]])
    (folder / "decisions.csv").unlink()
    _, soft = soften_run(run.path, quiet=True, given_weight=0.1)
    rows = [list(soft.item).index(item) for item in decisions["item"]]
    hard = soft.targets[rows]
    assert [soft.vocab[k] for k in hard.argmax(axis=1)] == decisions["label"].tolist()
    assert (hard.max(axis=1) == 1).all()


def test_a_run_does_not_go_on_with_other_decisions(decided):
    folder, decisions, settings, run = decided
    decisions.iloc[1:].to_csv(folder / "decisions.csv", index=False)
    with pytest.raises(InputError, match="decisions have changed since the run began"):
        softfold.run(folder / "t.csv", run.path, resume=True, **settings)


def test_a_run_with_decisions_keeps_the_hold_out_of_the_run_that_was_reviewed(tmp_path):
    file = tmp_path / "flowers.csv"
    flowers(300).drop(columns=["right", "is_valid"]).to_csv(file, index=False)
    settings = dict(arch=LOGISTIC, seeds=1, strategy="blend", quiet=True)
    first = softfold.run(file, tmp_path / "first", **settings)
    train = first.train.sort_values("suspicion", ascending=False).reset_index(drop=True)
    log = DecisionLog(first.path / LOG)
    said = [("accept", label) for label in train["suggested"][:20]] + [("exclude", None)] * 10
    log.append(
        row("ann", item, item, *what, given)
        for what, item, given in zip(said, train["item"], train["given"], strict=False)
    )
    log.close()

    def holdout(run):
        return set(run.items.loc[run.items["split"] == "valid", "item"])

    second = softfold.run(file, tmp_path / "second", decisions=str(first.path), **settings)
    assert holdout(second) == holdout(first)
    assert set(second.train["item"]) == set(first.train["item"]) - set(train["item"][20:30])
    assert any("the hold-out is that of first" in note for note in second.config["notes"])

    items = first.items
    items["item"] = items["item"].where(items["split"] == "train", "elsewhere/" + items["item"])
    items.to_parquet(tmp_path / "first" / "items.parquet")
    lost = softfold.run(file, tmp_path / "lost", decisions=str(first.path), **settings)
    assert any("give that run's --holdout" in note for note in lost.config["notes"])

    read_decisions(first.path).to_csv(tmp_path / "decisions.csv", index=False)
    settings["decisions"] = str(tmp_path / "decisions.csv")
    third = softfold.run(file, tmp_path / "third", **settings)
    assert any("--decisions RUN, with the run's" in note for note in third.config["notes"])


def test_an_audit_is_heard_when_soft_labels_are_made_again(tmp_path):
    from softfold.decisions.audit import draw

    frame = flowers(300).rename(columns={"right": "truth"})
    file = tmp_path / "flowers.csv"
    frame.to_csv(file, index=False)
    made = softfold.run(
        str(file), out=tmp_path / "run", truth="truth", seeds=1, strategy="posterior", quiet=True
    )
    train = made.train.set_index("item")
    items = draw(made.path, train.index.to_numpy(dtype=object), 60)
    log = DecisionLog(made.path / LOG)
    strokes = [
        row("ann", f"s{i}", key, "class", train.loc[key, "truth"], train.loc[key, "given"])
        for i, key in enumerate(items)
    ]
    log.append([{**stroke, "audit": True} for stroke in strokes])
    log.close()
    soften_run(made.path, quiet=True)
    after = Run.open(made.path)
    assert after.noise.audited == 60
    assert after.metrics["noise"]["audited"] == 60
    wrong = (train["given"] != train["truth"]).mean()
    assert after.metrics["noise"]["rate_low"] <= wrong <= after.metrics["noise"]["rate_high"]
    assert after.metrics["noise"]["rate_truth"] == pytest.approx(wrong)
