"""The local engine: one task after the other in this process, or side by side in others."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softfold import stopping
from softfold.crossfit.engines.protocol import Done, Needs, Task
from softfold.crossfit.engines.working import do
from softfold.errors import InputError, count_of
from softfold.large_arrays import scratch_file

_RETRIES = 3
"""How often tasks are begun again after a process of theirs was lost."""

_LOOK = 0.5
"""Seconds between two looks whether somebody asked to stop."""

_LARGE, _ALIGNED = 1 << 20, 64
"""Bytes from which an array goes by a file, and at multiples of which it begins there."""

_SENDS_FILES = os.name == "posix"

_here: dict[str, Any] = {}
"""In a process of `Local`'s: what its tasks share, as it came (`packed`) and, once one has begun,
as it is (`shared`)."""


class Local:
    """Tasks one after the other in this process; what one yields is told as it comes.

    With `workers`, so many processes do them side by side. Each has its share of the threads that
    this process has, and a GPU of its own as far as there are some. Tasks of one thread give the
    same bytes either way.
    """

    name = "local"

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def run(self, tasks: Sequence[Task], shared: tuple[Any, ...], done: Done, needs: Needs) -> None:
        """Run every task in its order; see `Engine`.

        Side by side, the first Ctrl-C begins nothing new and waits for what is under way; the
        second ends that too. So does a task that fails, whose error comes last.
        """
        workers = min(self.workers, len(tasks))
        if workers <= 1:
            for task in tasks:
                done(task, task.work(shared, **task.own))
            return
        needs = replace(needs, threads=max(1, needs.threads // workers))
        left = list(tasks)
        with closing(_packed(shared)) as packed:
            for _ in range(_RETRIES + 1):
                left = _side_by_side(workers, left, packed, done, needs)
                stopping.stop_here()
                if not left:
                    return
        raise InputError(
            f"{left[0].name}: lost {count_of(_RETRIES + 1, 'time')} with its process: there may be "
            "too little memory for so many --workers; what was finished is kept, --resume goes on"
        )


@dataclass(frozen=True)
class _Packed:
    """What tasks share, on its way to other processes: a pickle, and beside it the large arrays, in
    a file that all of them map. A process that writes into one changes its own pages alone.

    places: where each array is in the file.
    """

    content: bytes
    places: tuple[slice, ...] = ()
    file: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """The file as the process that is being spawned will know it."""
        from multiprocessing import reduction

        file = None if self.file is None else reduction.DupFd(self.file.fileno())
        return _received, (self.content, self.places, file)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def unpacked(self) -> tuple[Any, ...]:
        if self.file is None:
            return pickle.loads(self.content)
        with self.file:
            whole = memoryview(mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_COPY))
        return pickle.loads(self.content, buffers=[whole[place] for place in self.places])


def _received(content: bytes, places: tuple[slice, ...], file: Any) -> _Packed:
    return _Packed(content, places, None if file is None else os.fdopen(file.detach(), "r+b"))


def _packed(shared: tuple[Any, ...]) -> _Packed:
    large: list[memoryview] = []

    def is_small(array: pickle.PickleBuffer) -> bool:
        raw = array.raw()
        if raw.nbytes < _LARGE:
            return True
        large.append(raw)
        return False

    try:
        if not _SENDS_FILES:
            return _Packed(pickle.dumps(shared))
        content = pickle.dumps(shared, protocol=5, buffer_callback=is_small)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"--workers: what is trained cannot be sent to other processes ({error}): define it "
            "in a module, or leave --workers out"
        ) from None
    if not large:
        return _Packed(content)
    ends = np.cumsum([-(-array.nbytes // _ALIGNED) * _ALIGNED for array in large]).tolist()
    starts = [0, *ends[:-1]]
    file = scratch_file(ends[-1])
    for start, array in zip(starts, large, strict=True):
        file.seek(start)
        file.write(array)
    file.flush()
    places = (slice(start, start + a.nbytes) for start, a in zip(starts, large, strict=True))
    return _Packed(content, tuple(places), file)


def _side_by_side(
    workers: int, tasks: list[Task], shared: _Packed, done: Done, needs: Needs
) -> list[Task]:
    """Run tasks in so many processes; the tasks that were not done, where a process was lost.

    The processes watch one end of a pipe and are gone when the other is closed: by this process
    where it does not wait for them, by the system where this process was killed.
    """
    context = multiprocessing.get_context("spawn")
    gpus, own, began = _gpus(needs), context.SimpleQueue(), context.Event()
    for number in range(workers):
        own.put(gpus[number % len(gpus)] if gpus else None)
    watched, held = context.Pipe(duplex=False)
    how = (shared, needs, own, began, watched)
    with watched, held, ProcessPoolExecutor(workers, context, _begin, how) as pool:
        try:
            left, failure = _told(pool, workers, tasks, done, needs)
        except BaseException:
            held.close()
            raise
    if failure is not None:
        raise failure
    if left and not began.is_set() and not stopping.was_asked():
        raise InputError(
            "--workers: processes ended before they began: a script that trains in several has to "
            'do so under `if __name__ == "__main__":`'
        )
    return left


def _told(
    pool: ProcessPoolExecutor, workers: int, tasks: list[Task], done: Done, needs: Needs
) -> tuple[list[Task], Exception | None]:
    """Tell of each result as it comes; the tasks that were not done, and the first that failed.

    Nothing is begun after a failure, a lost process or a wish to stop, but what is under way is
    waited for.
    """
    todo, left = list(tasks), list(tasks)
    running: dict[Future[Any], Task] = {}
    failure: Exception | None = None
    lost = False
    while True:
        while todo and len(running) < workers and not (lost or failure or stopping.was_asked()):
            try:
                running[pool.submit(_work, todo[0].work, todo[0].own, needs)] = todo[0]
                todo.pop(0)
            except BrokenProcessPool:
                lost = True
        if not running:
            return left, failure
        for future in wait(running, _LOOK, FIRST_COMPLETED).done:
            task = running.pop(future)
            try:
                made = future.result()
                with stopping.put_off():  # others are under way, and are told of as well
                    done(task, made)
                left.remove(task)
            except BrokenProcessPool:
                lost = True
            except Exception as error:
                failure = failure or error


def _gpus(needs: Needs) -> list[str]:
    """What CUDA calls the GPUs that tasks are dealt to; none where they need none of their own."""
    if not needs.gpus or needs.device is not None:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _begin(shared: _Packed, needs: Needs, own: Any, began: Any, watched: Any) -> None:
    """A process of `Local`'s begins: it has a GPU of its own, and ends with the one it is of."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it is asked, and waits
    began.set()
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(needs.threads)
    gpu = own.get()
    if gpu is not None:  # before torch looks for GPUs
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    _here["packed"] = shared


def _end_with(watched: Any) -> None:
    """End this process at once when the other end of the pipe is closed."""
    with suppress(OSError):
        watched.poll(None)
    os._exit(1)


def _work(work: Any, own: dict[str, Any], needs: Needs) -> Any:
    try:
        return do(work, own, needs, *_shared())
    except Exception as error:
        raise _sendable(error) from None


def _shared() -> tuple[Any, ...]:
    """What tasks share, unpickled by the first of them: what that raises is then the task's."""
    if "shared" not in _here:
        try:
            _here["shared"] = _here["packed"].unpacked()
        except (pickle.UnpicklingError, AttributeError, ImportError, TypeError) as error:
            raise InputError(
                f"--workers: what is trained cannot be read in other processes ({error}): define "
                "it in a module, or leave --workers out"
            ) from None
        del _here["packed"]
    return _here["shared"]


def _sendable(error: Exception) -> Exception:
    """The error, or where it cannot be sent to another process, its traceback."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
