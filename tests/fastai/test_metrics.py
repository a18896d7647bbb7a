"""fastai's metrics on soft targets count the target's most likely class."""

from __future__ import annotations

import fastai.metrics as fm
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastai.callback.all import Callback
from fastai.learner import Recorder
from fastai_items import block, make_learner, make_soft, make_targets, write_images

from softfold.fastai import (
    RocAuc,
    SoftLabelCallback,
    accuracy,
    error_rate,
    soft_metric,
    top_k_accuracy,
)

torch.manual_seed(0)
PREDICTIONS = torch.randn(40, 3)
LABELS = torch.randint(0, 3, (40,))
SOFT = 0.6 * F.one_hot(LABELS, 3).float() + 0.4 * torch.rand(40, 3).softmax(-1)


@pytest.mark.parametrize("name", ["accuracy", "error_rate"])
def test_functions_give_on_soft_targets_what_fastai_gives_on_labels(name):
    ours = {"accuracy": accuracy, "error_rate": error_rate}[name]
    expected = getattr(fm, name)(PREDICTIONS, LABELS)
    assert float(ours(PREDICTIONS, SOFT)) == float(expected)
    assert float(ours(PREDICTIONS, LABELS)) == float(expected)
    assert ours.__name__ == name, "the Learner's table shows fastai's name"


def test_options_of_a_function_pass_through():
    expected = fm.top_k_accuracy(PREDICTIONS, LABELS, k=2)
    assert float(top_k_accuracy(PREDICTIONS, SOFT, k=2)) == float(expected)


@pytest.mark.filterwarnings("ignore:Precision is ill-defined")  # of a class never predicted
@pytest.mark.parametrize(
    "metric",
    [
        lambda: fm.F1Score(average="macro"),
        lambda: fm.Precision(average="macro"),
        lambda: fm.CohenKappa(),
        lambda: fm.MatthewsCorrCoef(),
        lambda: fm.Perplexity(),
    ],
)
def test_metrics_that_accumulate_work_in_training_and_validation(metric, tmp_path):
    targets = make_targets(24)
    paths = write_images(tmp_path, targets)

    class Hold(Callback):
        order = 200

        def after_epoch(self):
            self.values = list(self.learn.recorder.values[-1])

    hold = Hold()
    dls = block().dataloaders(paths, bs=8)
    cbs = [SoftLabelCallback(make_soft(paths, targets)), hold]
    learn = make_learner(dls, cbs, metrics=[soft_metric(metric()), accuracy])
    learn.recorder.train_metrics = True
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert len(hold.values) == 6
    assert all(v is None or np.isfinite(float(v)) for v in hold.values)


def test_roc_auc_is_fastais_where_fastai_has_one():
    expected = fm.RocAuc()(PREDICTIONS.softmax(-1), LABELS)
    assert RocAuc()(PREDICTIONS.softmax(-1), LABELS) == pytest.approx(expected)
    assert RocAuc()(PREDICTIONS.softmax(-1), SOFT) == pytest.approx(expected)


def test_roc_auc_takes_two_classes():
    scores = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    labels = torch.tensor([0, 0, 1, 1])
    assert RocAuc()(scores, labels) == pytest.approx(fm.RocAucBinary()(scores[:, 1], labels))


def test_roc_auc_leaves_out_classes_that_are_absent():
    labels = torch.tensor([0, 0, 1, 1])
    scores = torch.tensor([[0.5, 0.2, 0.3], [0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.2, 0.7, 0.1]])
    assert RocAuc()(scores, labels) == 1.0
    assert np.isnan(RocAuc()(scores, torch.zeros(4, dtype=torch.long)))


def test_roc_auc_of_a_learner_has_fastais_name_and_takes_logits(tmp_path):
    targets = make_targets(24)
    paths = write_images(tmp_path, targets)
    dls = block().dataloaders(paths, bs=8)
    learn = make_learner(dls, SoftLabelCallback(make_soft(paths, targets)), metrics=RocAuc())
    assert isinstance(learn.recorder, Recorder)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert "roc_auc_score" in learn.recorder.metric_names
    assert 0 <= learn.recorder.values[0][-1] <= 1
