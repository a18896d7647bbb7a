"""The machine: choices that are told, measured and reversible, and never change a result."""

import subprocess
import sys

import numpy as np
import pytest

from softfold.errors import InputError
from softfold.machine import runtime

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))


def small():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def run(code, **environment):
    import os

    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "SOFTFOLD_MALLOC"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_choice_is_one_line():
    chosen = runtime.setup()
    assert runtime.setup() is chosen
    assert "\n" not in runtime.describe() and chosen.device.split(":")[0] in runtime.describe()
    assert chosen.threads >= 1


@pytest.mark.parametrize("device", ["cuda:99", "tpu"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(InputError, match=r"^--device .*this machine has cpu"):
        runtime.setup(device)


def test_importing_the_runtime_loads_no_torch_and_says_that_threads_sleep():
    code = (
        "import softfold.machine.runtime, sys, os; "
        "print('torch' in sys.modules, os.environ.get('{}'))"
    )
    assert run(code.format("OMP_WAIT_POLICY")) == "False PASSIVE"
    assert run(code.format("OMP_WAIT_POLICY"), OMP_WAIT_POLICY="ACTIVE") == "False ACTIVE"


ALLOCATE = """
import resource, hashlib
from softfold.machine import runtime
line = runtime.describe()
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.ReLU(), torch.nn.Conv2d(64, 8, 1))
batch = torch.randn(16, 3, 128, 128)  # maps of 65 MB: glibc maps more than 32 anew
with torch.inference_mode():
    out = net(batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        out = net(batch)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults, hashlib.sha256(out.numpy().tobytes()).hexdigest(), line, sep="|")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_the_allocator_keeps_its_pages_can_be_left_alone_and_changes_no_bit():
    kept, result, line = run(ALLOCATE).split("|")
    default, same, line_off = run(ALLOCATE, SOFTFOLD_MALLOC="0").split("|")
    assert result == same
    assert "SOFTFOLD_MALLOC=0" in line_off
    if "glibc, kept" in line:
        assert int(kept) < 0.5 * int(default)


@pytest.mark.parametrize(
    ("device", "units", "training", "expected"),
    [
        ("cpu", True, False, torch.bfloat16),
        ("cpu", True, True, torch.float32),
        ("cpu", False, False, torch.float32),
        ("cuda:0", True, False, torch.bfloat16),
        ("cuda:0", True, True, torch.bfloat16),
        ("cuda:0", False, True, torch.float32),
    ],
)
def test_precision_is_a_rule_of_device_and_use(monkeypatch, device, units, training, expected):
    monkeypatch.setattr(runtime, "_has_bfloat16", lambda torch, device: units)
    assert runtime.precision(device, training=training) == expected


@pytest.mark.parametrize(
    ("capability", "predicts", "trains"),
    [
        ((6, 1), torch.float32, torch.float32),
        ((7, 5), torch.float16, torch.float32),
        ((9, 0), torch.bfloat16, torch.bfloat16),
    ],
)
def test_a_gpu_without_bfloat16_predicts_in_float16(monkeypatch, capability, predicts, trains):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert runtime.precision("cuda:0") == predicts
    assert runtime.precision("cuda:0", training=True) == trains


def test_bfloat16_gives_the_same_within_its_rounding():
    torch.manual_seed(0)
    net, batch = small().eval(), torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        exact = net(batch)
        with runtime.autocast(torch.bfloat16, "cpu"):
            rough = net(batch).float()
    assert np.allclose(rough, exact, atol=0.02 * float(exact.abs().max()))


HELPED = """
import sys, threading
{first}
from softfold.machine import runtime
runtime.setup("cpu", threads=2)
runtime.setup("cpu", threads=2)
print(sum(t.name == runtime._HELPER for t in threading.enumerate()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP is Linux's")
def test_where_torch_came_first_a_thread_that_sleeps_stops_the_spinning():
    assert run(HELPED.format(first="import torch")).strip() == "1"
    assert run(HELPED.format(first="import torch"), OMP_WAIT_POLICY="ACTIVE").strip() == "0"
    assert run(HELPED.format(first="")).strip() == "0"
