"""The post's protocol: its own figures, those of the hold-out, and the frame it looks at."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("fastai")
from PIL import Image

import softfold
from softfold.errors import InputError
from softfold.job.recipes import get_recipe
from softfold.runs.predicting import load
from softfold.softening import soften


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of the recipe on 72 pictures of two colours."""
    folder = tmp_path_factory.mktemp("post")
    rng, rows = np.random.default_rng(0), []
    for i in range(72):
        kind = i % 2
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        pixels[..., kind] += 150
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        (folder / f"{i}.png").write_bytes(buffer.getvalue())
        rows.append((f"{i}.png", "ab"[kind if i % 9 else 1 - kind], "ab"[kind], i >= 48))
    frame = pd.DataFrame(rows, columns=["path", "label", "truth", "is_valid"])
    frame.to_csv(folder / "labels.csv", index=False)
    recipe = get_recipe("post")
    small = {"arch": "efficientnet_lite0", "size": 32, "epochs": 1}
    run = softfold.run(
        folder / "labels.csv", folder / "run", truth="truth", recipe="post", quiet=True, **small
    )
    return recipe, run.metrics, run


def test_the_posts_figures_stand_beside_those_of_the_holdout(made):
    recipe, metrics, _ = made
    for name in ("baseline", "soft"):
        assert metrics["post"][name]["best"][0] >= metrics["post"][name]["last"][0]
        assert 0 <= metrics[name]["accuracy"][0] <= 1
    text = recipe.summary(metrics)
    assert "86.8" in text and "88.05" in text and "what leaks" in text and "24 hold-out" in text


def test_soft_labels_are_seven_tenths_given_and_three_tenths_predicted_class(made):
    _, _, run = made
    targets = run.soft_labels.targets
    np.testing.assert_allclose(10 * targets, (10 * targets).round(), atol=1e-5)
    assert set(np.unique((10 * targets).round())) <= {0, 3, 7, 10}
    own = targets[np.arange(len(targets)), run.table().train.given]
    assert (own.round(5) >= 0.7).all()
    assert (run.oof.fold.ravel() < 2).all()


def test_the_frame_has_each_items_largest_probability(made):
    _, _, run = made
    frame = pd.read_parquet(run.path / "frame.parquet")
    np.testing.assert_allclose(frame["p_max"], run.oof.probabilities.max(1))
    assert list(frame.index) == list(run.table().train.item)
    again = soften(pd.get_dummies(frame[["y_true", "y_pred"]]), strategy="blend", hard=True)
    np.testing.assert_allclose(again.targets, run.soft_labels.targets, atol=1e-6)


def test_a_run_of_the_recipe_says_that_it_keeps_no_model(made):
    with pytest.raises(InputError, match="keeps no model"):
        load(made[2].path)


def test_config_json_names_the_recipe_and_what_ran(made):
    config = made[2].config
    assert config["recipe"] == config["settings"]["recipe"] == "post"
    ran = config["trainer_settings"]
    assert ran == config["oof_trainer_settings"]
    assert (ran["batch_size"], ran["arch"], ran["epochs"]) == (16, "efficientnet_lite0", 1)
    assert "body_lr" not in ran and "views" not in ran


def test_what_the_recipe_cannot_train_is_refused_before_anything_is_written(tmp_path):
    frame = pd.DataFrame({"x": np.arange(40.0), "label": ["a", "b"] * 20})
    with pytest.raises(InputError, match="the recipe post is for images"):
        softfold.run(frame, tmp_path / "run", recipe="post", quiet=True)
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match="--recipe pots"):
        get_recipe("pots")
