"""The code on the pages runs, as a reader would run it: block after block, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softfold

DOCS = Path(__file__).parents[1] / "docs"


def run_page(name: str, **known: Any) -> dict[str, Any]:
    """The names that the page's Python blocks leave behind; `known` are there before."""
    text = (DOCS / name).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "page", **known}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = text[: block.start(1)].count("\n")
        code = compile("\n" * line + block.group(1), str(DOCS / name), "exec")
        exec(code, names)
    return names


def test_own_trainer_runs_and_its_trainers_learn(tmp_path, monkeypatch, capsys):
    for module in ("torch", "sklearn", "safetensors"):
        pytest.importorskip(module)
    import torch

    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps on small batches lose more time waiting than they compute
    try:
        page = run_page("own-trainer.md")
    finally:
        torch.set_num_threads(threads)
    train = page["table"].train
    wrong = train.given != train.truth
    assert wrong[page["issues"]["index"]].mean() > 0.8, "the classifier's issues are wrong labels"
    for oof in (page["oof"], page["made"].oof):
        assert (oof.probabilities.argmax(axis=1) == train.truth).mean() > 0.8
    assert 0.1 < page["made"].noise.rate < 0.3
    assert page["comparison"].metrics["difference"]["mean"] > 0
    assert set(page["comparison"].history) >= {"model", "seed", "epoch", "train_loss"}
    assert "soft labels" in capsys.readouterr().out


def test_own_features_are_written_as_the_page_says(tmp_path, monkeypatch):
    for module in ("torch", "safetensors"):
        pytest.importorskip(module)
    from softfold.data.item_features import read_item_features

    monkeypatch.chdir(tmp_path)
    page = run_page("own-features.md")
    assert read_item_features("features.safetensors").item.tolist() == page["keys"]


def test_own_trainer_names_every_member_of_the_protocol():
    from softfold.trainers import Trainer

    text = (DOCS / "own-trainer.md").read_text(encoding="utf-8")
    members = {m for m in (*vars(Trainer), *Trainer.__annotations__) if not m.startswith("_")}
    assert members >= {"fit", "describe", "supports_noise"}
    assert [m for m in sorted(members) if f"`{m}" not in text] == []


@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's advice, transformers' on memory
def test_every_framework_gains_in_the_lines_that_the_page_says(tmp_path, monkeypatch):
    for module in ("torch", "sklearn", "fastai", "lightning", "transformers"):
        pytest.importorskip(module)
    import torch

    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        page = run_page("frameworks.md")
        plain = page["accuracy"](page["train"](page["train_set"]))
    finally:
        torch.set_num_threads(threads)
    x_test, y_test = page["x_test"], page["y_test"]
    assert page["soft"].score(x_test, y_test) > page["plain"].score(x_test, y_test) + 0.1
    assert page["accuracy"](page["net"]) > plain + 0.2
    assert page["learn"].validate()[1] > plain + 0.2
    assert page["accuracy"](page["module"]) > plain + 0.2
    assert (page["guesses"] == y_test).mean() > plain + 0.2
    split = page["SplitDigits"](None)
    split.setup("fit")
    assert split.train_set[0][1].shape == (10,) and split.valid_set[0][1].ndim == 0
    text = (DOCS / "frameworks.md").read_text(encoding="utf-8")
    lines = [
        [line for line in block.splitlines() if line and not line.startswith(("from ", "import "))]
        for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        if "with_soft_targets(" in block and "class " not in block
    ]
    assert [len(block) for block in lines] == [4, 4, 5]


def test_the_steps_of_the_first_place_run_as_the_page_says(tmp_path, monkeypatch, capsys):
    pytest.importorskip("fastai")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    page = run_page("kaggle.md")
    assert len(page["given_models"]) == len(page["soft_models"]) == 5
    mean = (page["given"].astype(float) + page["soft"]) / 2
    assert abs(page["both"] - mean).max() < 1e-6
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[-3:]] == ["given", "soft", "both"]
    truth = page["holdout"].truth
    assert all((page[p].argmax(1) == truth).mean() > 0.5 for p in ("given", "soft", "both"))


def test_what_cleanlab_has_gives_scores_and_a_mask_in_the_order_of_items(capsys):
    for module in ("sklearn", "cleanlab"):
        pytest.importorskip(module)
    page = run_page("cleanlab.md")
    wrong = page["labels"] != page["truth"]
    found = (page["wrong"] & wrong).sum()
    assert found / page["wrong"].sum() > 0.8 and found / wrong.sum() > 0.8
    assert page["quality"].shape == page["theirs"].shape == wrong.shape
    assert set(page["to_drop"]) == set(page["wrong"].nonzero()[0])
    from cleanlab.count import compute_confident_joint

    theirs, joint = compute_confident_joint(page["labels"], page["pred_probs"]), page["noise"].joint
    assert abs(joint.T - theirs).sum() < abs(joint - theirs).sum() / 2, "as the page transposes it"
    assert "softfold: " in capsys.readouterr().out


def test_an_audit_of_ones_own_labels_settles_the_rate():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    labels = np.where(rng.random(2000) < 0.2, (truth + 1) % 3, truth)
    p = rng.dirichlet(np.ones(3), 2000) + 2 * np.eye(3)[truth]
    p /= p.sum(axis=1, keepdims=True)
    known = {"np": np, "softfold": softfold, "labels": labels, "probabilities": p}
    page = run_page("method.md", **known, look=lambda row: truth[row])
    low, high = page["noise"].rate_interval
    assert page["noise"].audited == 100 and low <= (labels != truth).mean() <= high


def test_several_labels_are_read_softened_ranked_and_compared(capsys):
    for module in ("torch", "sklearn"):
        pytest.importorskip(module)
    page = run_page("multilabel.md")
    train, issues = page["table"].train, page["issues"]
    names = [list(train.vocab).index(name) for name in issues["class"]]
    wrong = (train.given != train.truth)[issues["index"], names]
    assert wrong.mean() > 0.8, "issues are wrong labels"
    gain = page["comparison"].metrics["difference"]["micro_f1"]
    assert gain["mean"] > 0.02
    assert page["target"].shape == (3,) and float(page["loss"]) > 0
    assert "micro F1" in capsys.readouterr().out
