"""Losses: one-hot targets give what class indices give, and soft targets what their mean gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastai.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    FocalLossFlat,
    LabelSmoothingCrossEntropy,
    LabelSmoothingCrossEntropyFlat,
)
from torch import nn

from softfold.fastai.loss import (
    ExpectedLoss,
    ForwardCrossEntropy,
    SoftCrossEntropy,
    as_soft_loss,
)

torch.manual_seed(0)
LOGITS = torch.randn(6, 4)
LABELS = torch.tensor([0, 1, 2, 3, 1, 0])
ONE_HOT = F.one_hot(LABELS, 4).float()
SOFT = torch.rand(6, 4).softmax(-1)
WEIGHT = torch.tensor([1.0, 2.0, 0.5, 3.0])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_one_hot_targets_and_class_indices_give_pytorchs_cross_entropy(weight, reduction):
    expected = nn.CrossEntropyLoss(weight=weight, reduction=reduction)(LOGITS, LABELS)
    loss = SoftCrossEntropy(weight=weight, reduction=reduction)
    torch.testing.assert_close(loss(LOGITS, ONE_HOT), expected)
    torch.testing.assert_close(loss(LOGITS, LABELS), expected)


def test_soft_targets_give_pytorchs_cross_entropy_with_probabilities():
    torch.testing.assert_close(SoftCrossEntropy()(LOGITS, SOFT), F.cross_entropy(LOGITS, SOFT))


def test_half_precision_logits_lose_nothing_in_the_loss():
    large = torch.tensor([[60.0, 0.0]], dtype=torch.bfloat16)
    assert SoftCrossEntropy()(large, torch.tensor([[0.5, 0.5]])).item() == pytest.approx(30)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction is 'median'"):
        SoftCrossEntropy(reduction="median")


@pytest.mark.parametrize(
    "given",
    [
        CrossEntropyLossFlat(),
        CrossEntropyLossFlat(weight=WEIGHT),
        nn.CrossEntropyLoss(weight=WEIGHT, reduction="sum"),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        LabelSmoothingCrossEntropy(),
        LabelSmoothingCrossEntropyFlat(eps=0.2),
        FocalLossFlat(gamma=1.5),
    ],
    ids=lambda loss: f"{type(loss).__name__}",
)
def test_the_soft_form_of_a_loss_agrees_with_it_on_one_hot_targets(given):
    soft = as_soft_loss(given)
    torch.testing.assert_close(
        torch.as_tensor(soft(LOGITS, ONE_HOT)), torch.Tensor(given(LOGITS, LABELS))
    )


def test_the_soft_form_of_a_loss_is_its_mean_over_the_targets_classes():
    focal = FocalLossFlat(gamma=2.0, reduction="none")
    each = torch.stack([focal(LOGITS, torch.full((6,), k)) for k in range(4)], 1)
    expected = (SOFT * torch.Tensor(each)).sum(1).mean()
    torch.testing.assert_close(ExpectedLoss(FocalLossFlat(gamma=2.0))(LOGITS, SOFT), expected)


def test_a_loss_that_is_not_about_classes_has_no_soft_form():
    assert as_soft_loss(BCEWithLogitsLossFlat()) is None
    assert as_soft_loss(lambda pred, target: pred.mean()) is None


def test_forward_correction_is_cross_entropy_of_the_noisy_prediction():
    transition = np.array([[0.8, 0.2, 0, 0], [0, 0.9, 0.1, 0], [0, 0, 1, 0], [0.3, 0, 0, 0.7]])
    noisy = LOGITS.softmax(-1) @ torch.tensor(transition).float()
    loss = ForwardCrossEntropy(transition)
    torch.testing.assert_close(loss(LOGITS, LABELS), F.nll_loss(noisy.log(), LABELS))
    expected = -(SOFT * noisy.log()).sum(-1).mean()
    torch.testing.assert_close(loss(LOGITS, SOFT), expected)


def test_forward_correction_makes_a_net_predict_the_truth_from_labels_that_moved():
    transition = np.array([[0.6, 0.4], [0.0, 1.0]])
    logits = torch.zeros(1, 2, requires_grad=True)
    optimiser, loss = torch.optim.Adam([logits], lr=0.1), ForwardCrossEntropy(transition)
    given = torch.tensor([[0.6, 0.4]])  # what labels of a pure class 0 look like
    for _ in range(300):
        optimiser.zero_grad()
        loss(logits, given).backward()
        optimiser.step()
    assert logits.softmax(-1)[0, 0] > 0.97
