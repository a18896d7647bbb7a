"""The local engine: one task after the other in this process, or side by side in others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

from softfold import stopping
from softfold.crossfit.engines.protocol import Done, Needs, Task
from softfold.crossfit.engines.working import do
from softfold.errors import InputError, count_of

_RETRIES = 3
"""How often tasks are begun again after a process of theirs was lost."""

_LOOK = 0.5
"""Seconds between two looks whether somebody asked to stop."""

_here: dict[str, Any] = {}
"""In a process of `Local`'s: what its tasks share, and its device."""


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

        Side by side, the first Ctrl-C begins nothing new and waits for what is under way.
        """
        workers = min(self.workers, len(tasks))
        if workers <= 1:
            for task in tasks:
                done(task, task.work(shared, **task.own))
            return
        needs = replace(needs, threads=max(1, needs.threads // workers))
        left = list(tasks)
        for _ in range(_RETRIES + 1):
            left = _side_by_side(workers, left, _packed(shared), done, needs)
            stopping.stop_here()
            if not left:
                return
        raise InputError(
            f"{left[0].name}: lost {count_of(_RETRIES + 1, 'time')} with its process: there may be "
            "too little memory for so many --workers; what was finished is kept, --resume goes on"
        )


def _packed(shared: tuple[Any, ...]) -> bytes:
    try:
        return pickle.dumps(shared)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"--workers: what is trained cannot be sent to other processes ({error}): define it "
            "in a module, or leave --workers out"
        ) from None


def _side_by_side(
    workers: int, tasks: list[Task], shared: bytes, done: Done, needs: Needs
) -> list[Task]:
    """Run tasks in so many processes; the tasks that were not done, where a process was lost."""
    context = multiprocessing.get_context("spawn")
    numbers = context.SimpleQueue()
    for number in range(workers):
        numbers.put(number)
    todo, left = list(tasks), list(tasks)
    running: dict[Future[Any], Task] = {}
    with ProcessPoolExecutor(workers, context, _begin, (shared, needs, numbers)) as pool:
        while running or (todo and not stopping.was_asked()):
            while todo and len(running) < workers and not stopping.was_asked():
                task = todo.pop(0)
                try:
                    running[pool.submit(_work, task.work, task.own, needs)] = task
                except BrokenProcessPool:
                    return left
            for future in wait(running, _LOOK, FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    made = future.result()
                except BrokenProcessPool:
                    continue
                with stopping.put_off():  # others are under way, and are told of as well
                    done(task, made)
                left.remove(task)
    return left


def _begin(shared: bytes, needs: Needs, numbers: Any) -> None:
    """A process of `Local`'s begins: what is shared, and which GPU is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it is asked, and waits
    number, device = numbers.get(), None
    os.environ["OMP_NUM_THREADS"] = str(needs.threads)
    if needs.gpus:
        import torch

        device = f"cuda:{number % torch.cuda.device_count()}"
    _here.update(shared=pickle.loads(shared), device=device)


def _work(work: Any, own: dict[str, Any], needs: Needs) -> Any:
    return do(work, own, needs, *_here["shared"], device=_here["device"])
