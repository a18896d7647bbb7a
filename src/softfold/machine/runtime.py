"""The machine used well: device, threads, precision, memory format, allocator.

`setup()` is called once, before the first tensor; `describe()` tells in one line what it chose.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softfold.errors import InputError, require

if TYPE_CHECKING:
    import torch

# numbers of glibc's mallopt(3) settings, from its malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def before_torch() -> None:
    """Let waiting threads sleep; it can only be said before torch is imported,
    so importing this module says it.

    By default a thread that waits for the others of an operation spins. On a machine with other
    work the others are not running, and the spinning takes the core that they need: with two
    training jobs on two cores a step took several times as long. `OMP_WAIT_POLICY=ACTIVE` brings
    the spinning back. Where torch was imported first, `setup` stops it another way.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


before_torch()

_HELPER = "softfold: lets OpenMP sleep"


def let_wait_asleep() -> None:
    """Stop the spinning of OpenMP's threads where torch was imported before softfold.

    GNU's OpenMP spins only as long as it manages no more threads than there are processors. A
    thread that ran one operation and then sleeps forever has a team of its own, which counts.
    """
    told = "OMP_WAIT_POLICY" in os.environ
    named = any(thread.name == _HELPER for thread in threading.enumerate())
    if told or named or not sys.platform.startswith("linux"):
        return
    import torch

    ready = threading.Event()

    def work() -> None:
        torch.zeros(1 << 18).add_(1)  # large enough for a team
        ready.set()
        threading.Event().wait()

    threading.Thread(target=work, name=_HELPER, daemon=True).start()
    ready.wait()


@dataclass(frozen=True)
class Runtime:
    """What was chosen for this machine.

    Attributes:
        device: torch device, such as `cpu` or `cuda:0`.
        threads: threads of a torch operation on the CPU.
        decode_threads: threads that decode images.
        channels_last: keep images as (n, height, width, channels) in memory.
        bfloat16: whether the device computes in bfloat16; `precision` says what is computed in it.
        allocator: `glibc, kept` where freed memory is kept for the next batch, else `default`.
    """

    device: str
    threads: int
    decode_threads: int
    channels_last: bool
    bfloat16: bool
    allocator: str

    def describe(self) -> str:
        """One line for people."""
        parts = [self.device if self.device != "cpu" else f"cpu, {self.threads} threads"]
        parts.append(str(precision(self.device)).removeprefix("torch."))
        if self.channels_last:
            parts.append("channels_last")
        parts.append(f"allocator {self.allocator}")
        return "; ".join(parts)


_chosen: Runtime | None = None


def setup(device: str | None = None, threads: int | None = None) -> Runtime:
    """Choose and apply the settings of this process; a second call changes only what it names.

    Environment: `SOFTFOLD_MALLOC=0` leaves the allocator alone, `OMP_NUM_THREADS` bounds threads.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, `mps`; the best there is where None.
        threads: of a torch operation on the CPU; what the process may use where None.

    Raises:
        InputError: a device that is not there.
    """
    global _chosen
    if _chosen is not None and device in (None, _chosen.device) and threads is None:
        return _chosen
    allocator = _tune_allocator()  # before torch allocates anything large
    torch = require("torch", extra="torch")
    name = _pick_device(torch, device)
    cores = available_cores()
    wanted = threads or wanted_threads()
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
    if wanted > 1:
        let_wait_asleep()
    if name.startswith("cuda"):
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    _chosen = Runtime(
        device=name,
        threads=wanted,
        decode_threads=cores,
        channels_last=True,
        bfloat16=_has_bfloat16(torch, name),
        allocator=allocator,
    )
    return _chosen


@contextmanager
def set_up(device: str | None) -> Iterator[None]:
    """`setup(device)` in here; afterwards the process has the device that it had before."""
    global _chosen
    before = _chosen
    setup(device)
    try:
        yield
    finally:
        if device is not None:
            _chosen = before


def describe() -> str:
    """The choices in one line (applies `setup()` where that has not happened)."""
    return setup().describe()


def wanted_threads() -> int:
    """Threads of an operation on the CPU in this process: `OMP_NUM_THREADS`, else its cores."""
    return _number("OMP_NUM_THREADS") or available_cores()


def available_cores() -> int:
    """Cores this process may use: its affinity, and a container's share of them."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    try:
        with Path("/sys/fs/cgroup/cpu.max").open() as file:
            quota, period = file.read().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return max(1, cores or 1)


def autocast(dtype: torch.dtype, device: str | None = None) -> AbstractContextManager:
    """Autocast to bfloat16 or float16; nothing for float32."""
    import torch

    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast((device or setup().device).split(":")[0], dtype)


def to_device(array: np.ndarray, device: str) -> torch.Tensor:
    """A NumPy array as a tensor on the device.

    A GPU fetches it from pinned memory while it works on the last one.
    """
    import torch

    tensor = torch.from_numpy(array)
    if not device.startswith("cuda"):
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def one_late(made: Iterable[tuple[torch.Tensor, int]], device: str) -> Iterator[np.ndarray]:
    """The first rows of each tensor as float32 NumPy, of a GPU only when the next one is begun.

    Reading waits until a GPU is done; one batch late, it has the next one to work on meanwhile.

    Args:
        made: tensors on the device, and how many of their rows count.
    """
    waiting: list[tuple[torch.Tensor, int]] = []
    late = 0 if device.startswith("cpu") else 1
    for pair in made:
        waiting.append(pair)
        while len(waiting) > late:
            tensor, rows = waiting.pop(0)
            yield tensor[:rows].float().cpu().numpy()
    for tensor, rows in waiting:
        yield tensor[:rows].float().cpu().numpy()


def solving_device(size: int, device: str | None = None) -> str:
    """Where a matrix of so many bytes is multiplied again and again: a GPU with room for it.

    `cpu` where there is none, and beside Apple's, which have no float64. Room is four times the
    matrix: what is computed of it needs some, and it may stay while a network is trained.

    Args:
        size: of the matrix.
        device: torch device; the one that `setup` chose where None.
    """
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    name = setup().device if device is None else _pick_device(torch, device)
    if not name.startswith("cuda"):
        return "cpu"
    kept = torch.cuda.memory_reserved(name) - torch.cuda.memory_allocated(name)
    free = torch.cuda.mem_get_info(name)[0] + kept
    return name if 4 * size <= free else "cpu"


def gpu_cells(device: torch.device | str) -> int:
    """Numbers of one result that a GPU computes at a time: 256 MiB of float32, less on small GPUs.

    By the memory that it has, not by what is free: the same command gives the same bytes.
    """
    import torch

    return min(1 << 26, torch.cuda.get_device_properties(device).total_memory >> 10)


@contextmanager
def full_float32(device: torch.device | str) -> Iterator[None]:
    """Products of float32 matrices are not rounded to TensorFloat-32 in here.

    `setup` lets GPUs do so; on a processor nothing changes.
    """
    if not str(device).startswith("cuda"):
        yield
        return
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def precision(device: str | None = None, *, training: bool = False) -> torch.dtype:
    """What networks compute in: a rule, so that the same command gives the same bytes.

    bfloat16 on GPUs that have it, and for predicting on processors that have it. For predicting
    on NVIDIA's GPUs before Ampere float16, whose overflow `softfold.vision.inference.prepare` looks
    for. float32 else. Training on a processor stays in float32: depthwise convolutions gain little
    there, and the conversions cost. A clock never decides.

    Args:
        device: torch device; the one that `setup` chose where None.
        training: for a network that is trained, not only asked.
    """
    import torch

    device = device or setup().device
    if training and device.startswith("cpu"):
        return torch.float32
    if _has_bfloat16(torch, device):
        return torch.bfloat16
    return torch.float16 if not training and _has_float16(torch, device) else torch.float32


def _pick_device(torch: Any, device: str | None) -> str:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device is None:
        return "cuda:0" if cuda else "mps" if mps else "cpu"
    kind, _, number = device.partition(":")
    there = {"cpu": True, "mps": mps, "cuda": cuda}.get(kind, False)
    if kind == "cuda" and there:
        there = int(number or 0) < torch.cuda.device_count()
        device = f"cuda:{number or 0}"
    if not there:
        has = ", ".join(["cpu", *(["mps"] if mps else []), *(["cuda"] if cuda else [])])
        raise InputError(f"--device {device}: this machine has {has}")
    return device


def _has_bfloat16(torch: Any, device: str) -> bool:
    """Whether the device has bfloat16 arithmetic (not merely emulates it)."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device != "cpu":
        return False
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(unit) for unit in ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"))


def _has_float16(torch: Any, device: str) -> bool:
    """Whether float16 is fast on the device: on NVIDIA's GPUs since Volta."""
    return device.startswith("cuda") and torch.cuda.get_device_capability(device) >= (7, 0)


def _tune_allocator() -> str:
    """Let glibc keep freed memory for the next batch instead of giving it back page by page.

    Without this each large tensor is a new mapping whose pages the kernel must zero, which on
    small machines costs more than the arithmetic. The process stays at its peak memory.
    """
    if os.environ.get("SOFTFOLD_MALLOC") == "0":
        return "default (SOFTFOLD_MALLOC=0)"
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return "default"
    try:
        libc = ctypes.CDLL(None)
        ok = libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, -1)
        libc.mallopt(_M_ARENA_MAX, 1)  # other arenas give their memory back whatever is asked
    except (OSError, AttributeError):
        ok = 0
    return "glibc, kept" if ok else "default"


@lru_cache(maxsize=1)
def _processor() -> str:
    """The processor's name, such as `AMD EPYC`."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            pairs = (line.split(":", 1) for line in file if ":" in line)
            found = {name.strip(): value.strip() for name, value in pairs}
        return f"{found['model name']} {found.get('cpu family', '')}.{found.get('model', '')}"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def _number(variable: str) -> int:
    """A positive whole number in the environment, 0 where there is none."""
    value = os.environ.get(variable, "")
    return int(value) if value.isdigit() else 0


def machine() -> dict[str, Any]:
    """Processor, cores, memory, GPU and the versions that matter, for records."""
    import torch

    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_gb"] = round(
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1
        )
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
    return found
