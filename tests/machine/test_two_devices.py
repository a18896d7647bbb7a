"""Tensors on two devices are found without a GPU: torch's fake tensors know their device only, and
`There` computes as well."""

# ruff: noqa: E402

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from softfold.crossfit import neighbours
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
from softfold.trainers.probe import fold_solver, softmax_regression
from softfold.vision import near_copies
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


class There(torch.Tensor):
    """A tensor with numbers that says it is on a GPU: with one that is not, an operation raises."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func == torch.Tensor.device.__get__:
            return torch.device("cuda:0")
        if func is torch.Tensor.numpy:
            raise TypeError("it is on a GPU")
        if func is torch.Tensor.cpu or (func is torch.Tensor.to and str(args[1]) == "cpu"):
            return args[0].as_subclass(torch.Tensor)
        if func is torch.Tensor.to:
            return args[0]
        left = [x for x in tree_leaves((args, kwargs)) if type(x) is torch.Tensor and x.dim()]
        if left:
            raise RuntimeError(f"two devices in {func.__name__}")
        return super().__torch_function__(func, types, args, kwargs)


@pytest.fixture
def numbers_there(monkeypatch):
    """A GPU that computes: what is sent to it is `There`, and it has room for all."""
    to = torch.Tensor.to

    def sent(tensor, *args, **kwargs):
        if str(args[:1]).count("cuda"):
            return tensor.as_subclass(There)
        return to(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", sent)
    for module in (softmax_regression, neighbours, near_copies):
        monkeypatch.setattr(module, "solving_device", lambda size, device=None: "cuda:0")
    for module in (softmax_regression, neighbours):
        monkeypatch.setattr(module, "gpu_cells", lambda device: 1500)


def test_it_would_find_a_tensor_that_stayed_behind(numbers_there):
    here = torch.ones(2, 2)
    there = here.to("cuda:0")
    for mixed in (lambda: here @ there, lambda: there.add_(here), lambda: here[there > 0]):
        with pytest.raises(RuntimeError, match="two devices"):
            mixed()
    with pytest.raises(TypeError):
        there.numpy()
    assert type(there @ there) is There and type((there @ there).cpu()) is torch.Tensor


def clouds(n=700, k=3, d=12):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % k
    x = (rng.normal(size=(n, d)) + 1.5 * np.eye(k, d)[labels]).astype(np.float32)
    return x, labels, np.where(rng.random(n) < 0.2, rng.integers(0, k, n), labels)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("noise", [None, 0.8 * np.eye(3) + 0.2 / 3])
def test_the_probe_is_solved_on_the_gpu_as_on_the_processor(monkeypatch, request, soft, noise):
    monkeypatch.setattr(fold_solver, "_LARGE", 700)
    monkeypatch.setattr(fold_solver, "_SEARCH_ROWS", 600)
    # products in float32, as on the GPU
    monkeypatch.setattr(softmax_regression, "precision", lambda device: torch.float32)
    x, _, given = clouds()
    item = np.arange(700).astype(str).astype(object)
    table = LabelTable(item, given, ("a", "b", "c"), np.zeros(700, bool), data=x)
    targets = 0.9 * np.eye(3, dtype=np.float32)[given] + 0.1 / 3 if soft else given
    fold = np.arange(700) % 5
    folds = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(5)]

    def solved():
        probe = create_trainer("probe")
        out = list(probe.fit_folds(table, folds, targets, seed=0, noise=noise))
        return np.concatenate(out), probe.fit(table, targets, seed=0, noise=noise), probe

    here, model, _ = solved()
    request.getfixturevalue("numbers_there")
    there, its_model, probe = solved()
    assert type(probe._design[2].z) is There and type(probe._design[2].variance) is torch.Tensor
    np.testing.assert_allclose(there, here, atol=2e-3)
    np.testing.assert_allclose(its_model.predict(table), model.predict(table), atol=2e-3)


def test_neighbours_and_near_copies_are_the_same_on_a_gpu(request):
    x = clouds()[0]
    x[350:360] = x[:10] + 1e-3
    fold = np.arange(700) % 5
    near, (pairs, similarity) = neighbours.nearest(x, fold), near_copies.near_copies(x, block=300)
    assert {(i, i + 350) for i in range(10)} <= set(map(tuple, pairs.tolist()))
    request.getfixturevalue("numbers_there")
    assert np.array_equal(neighbours.nearest(x, fold), near)
    found, values = near_copies.near_copies(x, block=300)
    assert np.array_equal(found, pairs) and np.array_equal(values, similarity)


@pytest.mark.parametrize(
    ("chosen", "size", "expected"),
    [("cuda:1", 99, "cuda:1"), ("cuda:1", 101, "cpu"), ("mps", 1, "cpu"), ("cpu", 1, "cpu")],
)
def test_a_matrix_goes_to_a_gpu_that_has_room_and_float64(monkeypatch, chosen, size, expected):
    monkeypatch.setattr(runtime, "setup", lambda: SimpleNamespace(device=chosen))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (250, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 200)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 50)
    assert runtime.solving_device(size) == expected
    assert runtime.solving_device(size, "cpu") == "cpu"


def test_the_solver_computes_in_full_float32(numbers_there, monkeypatch):
    seen = []
    inner = softmax_regression.Targets.loss

    def loss(self, logp, rows):
        seen.append(torch.get_float32_matmul_precision())
        return inner(self, logp, rows)

    monkeypatch.setattr(softmax_regression.Targets, "loss", loss)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        x, _, given = clouds(60)
        design = softmax_regression.Design.of(x).on(None)
        rows = np.arange(60)
        fold_solver.FoldSolver(design, given, [(rows, rows)], 3).plain(0.1)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert len(seen) > 20 and set(seen) == {"highest"}
