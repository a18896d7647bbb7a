"""Tensors on two devices are found without a GPU: torch's fake tensors know their device only."""

# ruff: noqa: E402

from __future__ import annotations

import threading
from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from softfold.crossfit.engines import Needs
from softfold.data.table import LabelTable
from softfold.fastai.loss import ForwardCrossEntropy, SoftCrossEntropy
from softfold.machine import runtime
from softfold.machine.runtime import one_late
from softfold.pixels.images import Images
from softfold.trainers import create_trainer, default_trainers
from softfold.trainers.finetune import maps
from softfold.trainers.finetune.images import BatchDL, RandomCrop, ToFloat, one_ahead
from softfold.trainers.finetune.model import ImageModel, seeded
from softfold.trainers.finetune.nets import BodyAndHead
from softfold.vision.inference import Prepared


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


def test_a_loader_takes_what_scales_its_images_along_once(fake):
    scale = ToFloat([0.5] * 3, [0.25] * 3)
    BatchDL([0, 1], bs=2, after_batch=[scale]).to(torch.device("cuda"))
    assert {scale.mean.device.type, scale.std.device.type} == {"cuda"}


def test_a_network_predicts_on_its_device(fake):
    with torch.device("cuda"):
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        net = BodyAndHead(nn.Sequential(*layers), nn.Linear(8, 3)).eval()
    assert net(torch.empty(2, 3, 8, 8, device="cuda")).device.type == "cuda"


class Numbers:
    """A dataset of whole batches, which tells when each is made."""

    def __init__(self):
        self.made = [threading.Event() for _ in range(3)]

    def __len__(self):
        return 5

    def __getitem__(self, i):
        raise AssertionError("whole batches are asked for")

    def batch(self, rows):
        self.made[rows[0] // 2].set()
        return torch.from_numpy(rows), torch.from_numpy(rows + 100)


def test_for_a_gpu_the_next_batch_is_pinned_while_the_last_is_used(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda t: (pinned.append(len(t)), t)[1])
    on_cpu = [tuple(map(torch.Tensor.tolist, b)) for b in BatchDL(Numbers(), bs=2)]
    assert not pinned
    loader = BatchDL(Numbers(), bs=2)
    loader.device = torch.device("cuda")
    batches = loader.create_batches(range(5))
    first = next(batches)
    assert loader.dataset.made[1].wait(10) and not loader.dataset.made[2].is_set()
    found = [tuple(map(torch.Tensor.tolist, b)) for b in (first, *batches)]
    assert found == on_cpu and pinned == [2, 2, 2, 2, 1, 1]


def test_an_error_in_the_next_batch_is_raised_where_it_is_wanted():
    def made():
        yield (1,)
        raise OSError("the file is gone")

    batches = one_ahead(made())
    assert next(batches) == (1,)
    with pytest.raises(OSError, match="gone"):
        next(batches)


def test_several_gpus_are_seeded_without_a_warning(monkeypatch):
    states = {0: torch.zeros(1), 1: torch.ones(1)}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[device])
    restored = []
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: restored.append(device))
    with seeded(3):
        pass
    assert restored == [0, 1]


@pytest.mark.parametrize(("asked", "expected"), [(None, "finetune"), ("cpu", "probe")])
def test_beside_a_gpu_a_job_on_the_processor_is_not_fine_tuned(monkeypatch, asked, expected):
    def setup(device=None, threads=None):
        chosen = runtime.Runtime(device or "cuda:0", 1, 1, True, True, "default")
        monkeypatch.setattr(runtime, "_chosen", chosen)
        return chosen

    monkeypatch.setattr(runtime, "setup", setup)
    one = np.array(["0"], dtype=object)
    table = LabelTable(one, np.zeros(1, int), ("a",), np.zeros(1, bool), data=Images([b""]))
    assert default_trainers(table, device=asked)[0] == expected
    trainer = create_trainer("probe", device=asked)
    setup()
    assert Needs.of(trainer).gpus == (asked is None)


@pytest.fixture
def fake_gpu(fake, monkeypatch):
    """Loops over batches run as on `cuda:0`; gives where each batch's results were."""
    chosen = runtime.Runtime("cuda:0", 1, 1, True, False, "default")
    monkeypatch.setattr(runtime, "setup", lambda device=None: chosen)
    monkeypatch.setattr(runtime, "precision", lambda device, training=False: torch.float32)
    monkeypatch.setattr("softfold.pixels.decoding.decoded", black)
    where = []

    def sent(array, device):
        return torch.empty(array.shape, dtype=torch.uint8, device=device)

    def read(made, device):
        for tensor, rows in made:
            where.append(tensor.device.type)
            yield np.zeros((rows, *tensor.shape[1:]), np.float32)

    for module in (runtime, maps):
        monkeypatch.setattr(module, "to_device", sent)
        monkeypatch.setattr(module, "one_late", read)
    monkeypatch.setattr(maps, "decoded", black)
    monkeypatch.setattr(maps, "precision", lambda device: torch.float32)
    return where


def black(images, size, *_):
    return np.zeros((len(images), size, size, 3), np.uint8)


def test_a_model_predicts_a_table_on_its_device(fake_gpu):
    with torch.device("cuda"):
        body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        net = BodyAndHead(body, nn.Linear(8, 2))
    net.to = lambda *_, **__: net  # it is there, and stays
    model = ImageModel(net, "resnet18", ("a", "b"), 8, ([0.5] * 3, [0.5] * 3), device="cuda:0")
    given = np.zeros(300, int)
    item = np.arange(300).astype(str).astype(object)
    table = LabelTable(item, given, ("a", "b"), given > 0, data=Images([b""] * 300))
    assert model.predict(table).shape == (300, 2) and fake_gpu == ["cuda", "cuda"]


class Written:
    """Stands for a store of maps: keeps how many were written."""

    def __init__(self):
        self.maps = []

    @contextmanager
    def writer(self, n, shape, dtype):
        yield self

    def write(self, keys, maps):
        self.maps.append(maps.shape)


def test_maps_of_random_crops_are_made_on_their_device(fake_gpu, monkeypatch):
    with torch.device("cuda"):
        first = nn.Conv2d(3, 8, 3)
    first.to = lambda device: first
    monkeypatch.setattr(maps, "prepare", lambda net, size, dtype: Prepared(net, dtype, "plain"))
    scale, crop, store = ([0.5] * 3, [0.5] * 3), RandomCrop(8), Written()
    maker = maps.MapMaker("resnet18", "", first, (8, 6, 6), scale, 8, 10, crop, "cuda")
    for view in (0, 1):
        maker._compute(store, Images([b""] * 300), np.zeros(300, "S16"), view)
    assert store.maps == [(256, 8, 6, 6), (44, 8, 6, 6)] * 2 and fake_gpu == ["cuda"] * 4


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
