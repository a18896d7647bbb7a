"""Tensors on two devices are found without a GPU: torch's fake tensors know their device only."""

# ruff: noqa: E402

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from softfold.fastai.loss import ForwardCrossEntropy, SoftCrossEntropy
from softfold.machine.runtime import one_late
from softfold.trainers.finetune.images import RandomCrop
from softfold.trainers.finetune.nets import BodyAndHead


@pytest.fixture
def fake():
    """A mode in which `cuda` can be named; what is mixed with it from elsewhere raises."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


@pytest.mark.parametrize(
    "loss",
    [ForwardCrossEntropy(np.eye(3)), SoftCrossEntropy(), SoftCrossEntropy(weight=torch.ones(3))],
)
def test_losses_go_where_predictions_are(fake, loss):
    logits = torch.empty(4, 3, device="cuda")
    for target in (torch.zeros(4, dtype=torch.long, device="cuda"), torch.empty_like(logits)):
        assert loss(logits, target).device.type == "cuda"
        assert loss.activation(logits).device.type == "cuda"


def test_the_mode_would_find_a_buffer_that_stayed_behind(fake):
    with pytest.raises(RuntimeError, match="two devices"):
        _ = torch.empty(4, 3, device="cuda") @ ForwardCrossEntropy(np.eye(3)).transition


def test_images_are_cropped_where_they_are(fake):
    x = torch.empty(4, 3, 20, 20, device="cuda")
    out = RandomCrop(16).apply(x, torch.empty(4, 5))  # random numbers are the processor's
    assert out.device.type == "cuda" and tuple(out.shape) == (4, 3, 16, 16)


def test_a_network_predicts_on_its_device(fake):
    with torch.device("cuda"):
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        net = BodyAndHead(nn.Sequential(*layers), nn.Linear(8, 3)).eval()
    assert net(torch.empty(2, 3, 8, 8, device="cuda")).device.type == "cuda"


@pytest.mark.parametrize(("device", "late"), [("cpu", 0), ("cuda:0", 1)])
def test_results_come_in_order_and_of_a_gpu_one_batch_late(device, late):
    begun = []

    def made():
        for i in range(4):
            begun.append(i)
            yield torch.full((3, 2), float(i), dtype=torch.float64), 3 if i < 3 else 1

    found = []
    for i, rows in enumerate(one_late(made(), device)):
        assert len(begun) == min(4, i + 1 + late)
        found.append(rows)
    assert [len(rows) for rows in found] == [3, 3, 3, 1]
    assert [rows[0, 0] for rows in found] == [0, 1, 2, 3] and found[0].dtype == np.float32
