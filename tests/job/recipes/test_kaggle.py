"""The first place's protocol on real small images: fold models and views, kept and measured."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("fastai")
from small_tables import flowers, table_of

import softfold
from softfold.data.corruption import corrupt
from softfold.errors import InputError
from softfold.evaluation import accuracy, paired_difference
from softfold.files import Damaged
from softfold.runs.folder import Run
from softfold.runs.verifying import verify
from softfold.tensors import read_tensors
from softfold.trainers import load_model
from softfold.trainers.ensemble import Views

NET = ["--trainer", "finetune", "--arch", "small_cnn", "--size", "16", "--epochs", "1"]
SMALL = [*NET, "--folds", "2", "--tta", "3", "--no-flip", "--seeds", "2", "--quiet"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder of 360 digits of three classes as PNG files, and labels.csv with wrong ones."""
    from sklearn.datasets import load_digits

    from softfold.data.datasets import encode_png

    folder = tmp_path_factory.mktemp("digits")
    images, truth = load_digits(n_class=3, return_X_y=True)
    images, truth = images[:360], truth[:360]
    valid = np.arange(360) >= 240
    given = truth.copy()
    given[~valid] = corrupt(truth[~valid], 0.3, "pair")
    for i, pixels in enumerate(images):
        pixels = (255 - pixels.reshape(8, 8) * 15).astype(np.uint8)
        (folder / f"{i:03d}.png").write_bytes(encode_png(pixels))
    names = np.array(["zero", "one", "two"])
    paths = [f"{i:03d}.png" for i in range(360)]
    frame = {"path": paths, "label": names[given], "truth": names[truth], "is_valid": valid}
    pd.DataFrame(frame).to_csv(folder / "labels.csv", index=False)
    return folder


def command_of(digits, out):
    labels = ["run", digits / "labels.csv", "--truth", "truth", "--recipe", "kaggle"]
    return [*labels, *SMALL, "--out", out]


@pytest.fixture(scope="module")
def made(digits, commands):
    """What the command left and printed."""
    status, printed, said = commands.run(*command_of(digits, digits / "run"))
    assert status == 0, said
    return Run(digits / "run"), printed


def test_every_average_is_measured_against_the_one_soft_model(made):
    run, printed = made
    metrics = run.metrics
    ensemble, kept = metrics["ensemble"], Run(run.path)
    names = [a + b + c for b in ("", "_folds") for c in ("", "_views") for a in
             ("given", "soft", "both")]  # fmt: skip
    assert list(ensemble["models"]) == names
    assert (ensemble["folds"], ensemble["tta"], ensemble["flip"]) == (2, 3, False)
    table = run.table()
    predictions = read_tensors(kept.file("ensemble.safetensors"))[0]
    truth = table.holdout.truth
    for name, about in ensemble["models"].items():
        assert about["accuracy"] == [accuracy(p, truth) for p in predictions[name]]
        if name != "soft":
            expected = paired_difference(predictions["soft"], predictions[name], truth)
            assert about["difference"] == expected
    assert "difference" not in ensemble["models"]["soft"]
    singles = run.holdout_predictions()
    np.testing.assert_array_equal(predictions["given"], singles["baseline"])
    np.testing.assert_array_equal(predictions["soft"], singles["soft"])
    assert metrics["soft"]["accuracy"] == ensemble["models"]["soft"]["accuracy"]
    assert "mean of both, 2 folds, 3 views" in printed and "less the one soft model" in printed
    report = (run.path / "report.html").read_text()
    assert "mean of both, 2 folds, 3 views" in report


def test_soft_labels_are_seven_tenths_given_and_the_folds_own_predictions(made):
    run, _ = made
    train = run.table().train
    by_hand = softfold.soften(train, run.oof, "blend", given_weight=0.7)
    np.testing.assert_allclose(run.soft_labels.targets, by_hand.targets, atol=1e-6)
    fold = run.oof.fold[:, 0]
    for f in range(2):  # each fold is predicted by the kept model that did not see it
        model = load_model(run.file(f"members/given-fold-{f}.safetensors"), run.config)
        seen = model.predict(train.take(np.flatnonzero(fold == f)))
        np.testing.assert_allclose(seen, run.oof.probabilities[fold == f], atol=1e-5)


def test_a_loaded_run_predicts_with_all_fold_models_and_its_views(made, digits):
    run, _ = made
    kept = read_tensors(run.file("ensemble.safetensors"))[0]
    holdout = run.table().holdout
    paths = [digits / key for key in holdout.item]
    vocab = list(run.vocab)
    for models, tta, name in (
        (None, None, "both_folds_views"),
        (None, 1, "both_folds"),
        ("given", None, "given_folds_views"),
        ("soft", 1, "soft_folds"),
        ("single", None, "soft_views"),
        ("single", 1, "soft"),
    ):
        frame = softfold.load(run.path, models).predict(paths, tta=tta)
        np.testing.assert_allclose(frame[vocab], kept[name][0], atol=1e-5)
    flipped = softfold.load(run.path).predict(paths, flip=True)
    assert abs(flipped[vocab].to_numpy() - kept["both_folds_views"][0]).max() > 1e-4
    one = softfold.load(run.path, "single")
    crops = one.predict(paths, seed=5)
    by_hand = Views(one.model, 3, flip=False, seed=5).predict(holdout)
    np.testing.assert_allclose(crops[vocab], by_hand, atol=1e-5)
    assert abs(crops[vocab].to_numpy() - kept["soft_views"][0]).max() > 1e-4
    parts = [softfold.load(run.path, each).predict(paths) for each in ("soft", "given")]
    mean = softfold.average_predictions(parts[0], parts[1].iloc[::-1])
    np.testing.assert_allclose(mean[vocab], kept["both_folds_views"][0], atol=1e-5)


def test_the_command_predicts_with_the_views_that_are_asked_for(made, digits, commands):
    run, _ = made
    (digits / "new").mkdir(exist_ok=True)
    for i in range(300, 305):
        shutil.copy(digits / f"{i}.png", digits / "new")
    command = ["predict", run.path, digits / "new", "--json"]
    status, printed, said = commands.run(*command, "--tta", "8", "--models", "soft", "--flip")
    assert status == 0 and "averaged over 8 views of each image: as it is, mirrored" in said, said
    expected = softfold.load(run.path, "soft").predict(digits / "new", tta=8, flip=True)
    found = [each["probabilities"] for each in json.loads(printed)]
    np.testing.assert_allclose(pd.DataFrame(found), expected[list(run.vocab)], atol=1e-5)
    for wrong, words in (
        (["--tta", "0"], "tta 0: at least one view"),
        (["--models", "best"], "--models best: there are all, given, soft, single"),
    ):
        status, _, said = commands.run(*command, *wrong)
        assert status == 2 and words in said


def content(run):
    """The bytes of what the run made, but for seconds and the report that shows them."""
    kept = {
        str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest()
        for pattern in ("*.safetensors", "*.parquet", "noise.json")
        for file in run.rglob(pattern)
    }
    metrics = json.loads((run / "metrics.json").read_text())
    return kept, {k: v for k, v in metrics.items() if k != "seconds"}


@pytest.mark.parametrize("moment", ["given-fold-0", "soft-fold-0"])
def test_a_killed_run_goes_on_to_the_same_bytes(moment, made, digits, tmp_path, commands):
    command = command_of(digits, tmp_path / "run")
    process = commands.start(*command)
    deadline = time.time() + 300
    while not list(tmp_path.rglob(f"{moment}*.safetensors")) and time.time() < deadline:
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    assert commands.wait()[0] == -signal.SIGKILL
    assert not (tmp_path / "run" / "metrics.json").exists()
    status, _, said = commands.run(*command, "--resume")
    assert status == 0, said
    assert content(tmp_path / "run") == content(made[0].path)
    assert verify(tmp_path / "run") == []


def test_a_changed_member_is_named_and_made_again(made, digits, tmp_path, commands):
    copy = tmp_path / "run"
    shutil.copytree(made[0].path, copy)
    before, member = content(copy), copy / "members" / "soft-fold-1.safetensors"
    member.write_bytes(member.read_bytes()[:-1] + b"x")
    assert any("soft-fold-1.safetensors: damaged" in line for line in verify(copy))
    with pytest.raises(Damaged, match=r"soft-fold-1.safetensors: damaged"):
        softfold.load(copy)
    assert softfold.load(copy, "given").predict(digits / "000.png").shape[0] == 1
    commands.run(*command_of(digits, copy), "--resume")
    assert content(copy) == before and verify(copy) == []
    member.unlink()
    with pytest.raises(InputError, match=r"the run has no members/soft-fold-1.safetensors yet"):
        softfold.load(copy)


def test_training_anew_makes_the_fold_models_anew(made, tmp_path):
    from softfold.job.running import train_run

    copy = tmp_path / "run"
    shutil.copytree(made[0].path, copy)
    train_run(copy, quiet=True, epochs=0)
    member = "members/soft-fold-0.safetensors"
    assert (copy / member).read_bytes() != (made[0].path / member).read_bytes()
    assert verify(copy) == []


def test_a_run_is_compared_anew_with_other_final_models(made, tmp_path):
    from softfold.job.running import compare_run

    copy = tmp_path / "run"
    shutil.copytree(made[0].path, copy)
    again = compare_run(copy, quiet=True, epochs=0, seeds=1)
    assert (again.oof.probabilities == made[0].oof.probabilities).all()
    models = again.metrics["ensemble"]["models"]
    assert len(models["both_folds_views"]["accuracy"]) == 1
    assert models["given"]["accuracy"] != made[0].metrics["baseline"]["accuracy"][:1]


def test_fold_models_are_an_option_of_any_strategy_and_of_numbers(tmp_path):
    run = softfold.run(table_of(), tmp_path / "run", trainer="probe", ensemble=True, folds=3,
                       seeds=1, strategy="auto", quiet=True)  # fmt: skip
    models = run.metrics["ensemble"]["models"]
    assert list(models) == [a + b for b in ("", "_folds") for a in ("given", "soft", "both")]
    kept = read_tensors(run.file("ensemble.safetensors"))[0]
    predicted = softfold.load(run.path).predict(run.table().holdout.data)
    np.testing.assert_allclose(predicted[list(run.vocab)], kept["both_folds"][0], atol=1e-5)
    with pytest.raises(InputError, match="views of images, not of table items"):
        softfold.load(run.path).predict(run.table().holdout.data, tta=2)


def test_what_cannot_be_averaged_is_refused_before_anything_is_written(tmp_path, digits):
    out = {"out": tmp_path / "run", "quiet": True}
    with pytest.raises(InputError, match="the recipe kaggle is for images; --ensemble"):
        softfold.run(table_of(), recipe="kaggle", **out)
    with pytest.raises(InputError, match="--tta 8 averages over views of images, not of table"):
        softfold.run(table_of(), trainer="probe", tta=8, **out)
    with pytest.raises(InputError, match="--ensemble keeps the folds' models"):
        softfold.run(flowers(), truth="right", ensemble=True, **out)
    with pytest.raises(InputError, match="--epochs does not go with the trainer 'probe'"):
        softfold.run(digits / "labels.csv", recipe="kaggle", trainer="probe", epochs=3, **out)
    with pytest.raises(InputError, match="--tta does not go with --recipe post"):
        softfold.run(digits / "labels.csv", recipe="post", tta=8, **out)
    assert not (tmp_path / "run").exists()


def test_a_run_without_fold_models_says_which_option_keeps_them(tmp_path):
    run = softfold.run(table_of(), tmp_path / "run", trainer="probe", folds=2, seeds=1, quiet=True)
    with pytest.raises(InputError, match="keeps no fold models; softfold run --ensemble does"):
        softfold.load(run.path, "all")
    assert "ensemble" not in run.metrics and not run.has("ensemble.safetensors")
