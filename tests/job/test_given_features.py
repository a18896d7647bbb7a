"""A job on features that were made elsewhere: of sounds, which no backbone here sees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")
pytest.importorskip("pyarrow")
from small_tables import random_pictures

from softfold import read_table, run
from softfold.cli import main
from softfold.data.item_features import ItemFeatures, read_item_features
from softfold.errors import InputError
from softfold.runs.folder import Run
from softfold.runs.predicting import load
from softfold.runs.verifying import verify

N = 200
QUICK = {"folds": 3, "seeds": 1, "quiet": True}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Labels of sounds that are not here, and their features in another order."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    truth = np.arange(N) % 3
    given = np.where(rng.random(N) < 0.15, (truth + 1) % 3, truth)
    valid = rng.random(N) < 0.3
    names = np.array(["bark", "meow", "moo"])
    keys = [f"clips/{i:03}.wav" for i in range(N)]
    labels = pd.DataFrame({"path": keys, "label": names[given], "is_valid": valid})
    labels.assign(truth=names[truth]).to_csv(folder / "labels.csv", index=False)
    values = (np.eye(3)[truth] * 3 + rng.normal(0, 0.7, (N, 3))).astype(np.float32)
    mixed = rng.permutation(N)
    ItemFeatures(np.array(keys)[mixed], values[mixed]).save(folder / "f.safetensors")
    ItemFeatures(keys, values).save(folder / "f.npy")
    return folder


def job(sounds, out, features="f.safetensors", **more):
    asked = {"truth": "truth", "features": str(sounds / features), **QUICK, **more}
    return run(str(sounds / "labels.csv"), out, **asked)


def test_a_job_of_sounds_gives_each_its_own_features(sounds, tmp_path, capsys):
    made = job(sounds, tmp_path / "keyed")
    assert made.metrics["oof"]["accuracy_truth"] > 0.9
    assert made.config["trainer"] == made.config["oof_trainer"] == "probe"
    assert not verify(made.path) and made.has("report.html")
    assert not made.has("conflicting_copies.parquet"), "close in features of others is no copy"
    # rows of a .npy file are those of the labels: the same features, the same bytes
    plain = job(sounds, tmp_path / "plain", "f.npy")
    for name in ("oof.safetensors", "holdout.safetensors", "model.safetensors"):
        assert (made.path / name).read_bytes() == (plain.path / name).read_bytes(), name
    # new items are predicted from features of their own, with keys or in the order of a table
    fresh = ItemFeatures(["new/a.wav", "new/b.wav"], np.eye(3, dtype=np.float32)[[2, 0]] * 3)
    fresh.save(tmp_path / "new.parquet")
    for kind in ("new.parquet", "new.npy"):
        fresh.save(tmp_path / kind)
    (tmp_path / "new.csv").write_text("path\nnew/a.wav\nnew/b.wav\n")
    model = load(made.path)
    for frame in (
        model.predict(features=tmp_path / "new.parquet"),
        model.predict(tmp_path / "new.csv", tmp_path / "new.npy"),
    ):
        assert frame["item"].tolist() == ["new/a.wav", "new/b.wav"]
        assert frame["predicted"].tolist() == ["moo", "bark"]
    with pytest.raises(InputError, match="give those of the items to predict"):
        model.predict(tmp_path / "new.csv")
    with pytest.raises(SystemExit):
        main(["predict", str(made.path), "--features", str(tmp_path / "new.parquet")])
    assert "new/a.wav,moo" in capsys.readouterr().out


def test_a_run_goes_on_with_the_same_features_only(sounds, tmp_path):
    settings = {"features": str(tmp_path / "f.safetensors")}
    features = read_item_features(sounds / "f.safetensors")
    features.save(tmp_path / "f.safetensors")
    made = job(sounds, tmp_path / "run", **settings)
    before = (made.path / "oof.safetensors").read_bytes()
    changed = features.values.copy()
    changed[0] += 1
    ItemFeatures(features.item, changed).save(tmp_path / "f.safetensors")
    with pytest.raises(InputError, match="the features have changed since the run began"):
        job(sounds, tmp_path / "run", resume=True, **settings)
    # what the run keeps is enough for its later steps
    (tmp_path / "f.safetensors").unlink()
    from softfold.job.running import compare_run

    compare_run(made.path, quiet=True, seeds=2)
    assert len(Run(made.path).metrics["soft"]["accuracy"]) == 2
    assert (made.path / "oof.safetensors").read_bytes() == before


def test_estimators_take_them_and_fit_again_to_predict(sounds, tmp_path):
    made = job(sounds, tmp_path / "run", trainer="estimator")
    assert made.config["oof_trainer"] == "estimator"
    assert made.metrics["oof"]["accuracy_truth"] > 0.9
    frame = pd.DataFrame(np.eye(3) * 3, index=["a", "b", "c"])
    assert load(made.path).predict(features=frame)["predicted"].tolist() == ["bark", "meow", "moo"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"trainer": "finetune", "oof_trainer": "finetune"}, "use --trainer probe"),
        ({"arch": "resnet18"}, "leave --arch or --features out"),
        ({"recipe": "post"}, "--features does not go with --recipe"),
        ({"features": "none.npy"}, "no such file"),
    ],
)
def test_what_does_not_go_with_features_is_refused(sounds, tmp_path, more, line):
    with pytest.raises(InputError, match=line):
        job(sounds, tmp_path / "run", **{"features": str(sounds / "f.npy"), **more})
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_table_of_nothing_but_names_and_labels_is_enough(sounds):
    frame = pd.read_csv(sounds / "labels.csv").rename(columns={"path": "item"})[["item", "label"]]
    table = read_table(frame, keys_are_enough=True)
    assert table.item.tolist() == frame["item"].tolist() and table.data is None


def test_an_item_without_features_is_named_before_anything_is_written(sounds, tmp_path):
    features = read_item_features(sounds / "f.safetensors")
    features.take(features.item[1:]).save(tmp_path / "f.safetensors")
    with pytest.raises(InputError, match="1 item of 200 without features; the first is 'clips/"):
        job(sounds, tmp_path / "run", features=str(tmp_path / "f.safetensors"))
    assert not (tmp_path / "run" / "config.json").exists()


def test_features_of_the_backbone_are_written_for_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "softfold.vision.features.image_features",
        lambda images, *_, **__: np.arange(2 * len(images), dtype=np.float32).reshape(-1, 2),
    )
    for i, png in enumerate(random_pictures(6)):
        (tmp_path / f"{i}.png").write_bytes(png)
    paths = [f"{i}.png" for i in range(6)]
    frame = pd.DataFrame({"path": paths, "label": list("ab" * 3)})
    frame.to_csv(tmp_path / "labels.csv", index=False)
    out = tmp_path / "f.parquet"
    with pytest.raises(SystemExit) as stop:
        main(["features", str(tmp_path / "labels.csv"), "--out", str(out), "--quiet"])
    assert not stop.value.code and "2 features of 6 images" in capsys.readouterr().out
    assert read_item_features(out).of(["3.png"]).tolist() == [[6, 7]]
    assert np.stack(pd.read_parquet(out)["features"]).shape == (6, 2)
