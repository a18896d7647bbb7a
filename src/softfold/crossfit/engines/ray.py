"""The Ray engine: every task on a node of a Ray cluster, its result written by this process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from softfold import stopping
from softfold.crossfit.engines.protocol import Done, Needs, Task
from softfold.crossfit.engines.working import do
from softfold.errors import InputError, count_of, require

_RETRIES = 3
"""How often a task is begun again whose worker or node was lost."""

_PATIENCE = 5.0
"""Seconds that an address has to answer."""

_LOOK = 0.5
"""Seconds between two looks whether somebody asked to stop."""


class Ray:
    """Tasks on a Ray cluster, side by side.

    What tasks share goes to Ray's object store once; nodes that hold it do not ask for it again.
    Results come back through the store. This process alone writes the run. The nodes need softfold
    and what the trainer needs installed, and files of images by the same paths.

    Args:
        ray_address: of the cluster, as `ray.init` takes it. None: the one that the environment
            or this machine knows (RAY_ADDRESS, `ray start`), else one that is started here.

    Where an address is given, it is connected to at once.

    Raises:
        MissingDependency: Ray is not installed.
        InputError: no cluster answers at the address.
    """

    name = "ray"

    def __init__(self, ray_address: str | None = None) -> None:
        self.address = ray_address
        self._ray: Any = require("ray", extra="ray")
        self._kept: list[tuple[Any, Any]] = []
        if ray_address is not None or "RAY_ADDRESS" in os.environ:
            self._connect()

    def run(self, tasks: Sequence[Task], shared: tuple[Any, ...], done: Done, needs: Needs) -> None:
        """Run every task on the cluster; see `Engine`.

        Where one fails, those that are finished are told of, and the others are ended.
        The first Ctrl-C ends what no node has begun, and waits for what is under way; the second
        ends that too.
        """
        ray = self._connect()
        slots, cpus = self._room(needs)
        parts = [self._put(part) for part in shared]
        asked = {"num_cpus": cpus, "num_gpus": needs.gpus, "max_retries": _RETRIES}
        work, left = ray.remote(do), {}
        for task in tasks:
            named = work.options(name=task.name, retry_exceptions=False, **asked)
            left[named.remote(task.work, task.own, needs, *parts)] = task
        stops, failure = False, None
        try:
            while left:
                ray.wait(list(left), timeout=_LOOK)
                for ref in ray.wait(list(left), num_returns=len(left), timeout=0)[0]:
                    task = left.pop(ref)
                    try:
                        with stopping.put_off():  # others are finished, and are told of as well
                            done(task, self._result(ref, task))
                    except Exception as error:
                        failure = failure or error
                if failure is not None:
                    raise failure
                if stopping.was_asked() and not stops:
                    stops = True
                    for ref in list(left)[slots:]:
                        ray.cancel(ref, force=True)
                        del left[ref]
            stopping.stop_here()
        finally:
            for ref in left:
                ray.cancel(ref, force=True)

    def _connect(self) -> Any:
        ray = self._ray
        if ray.is_initialized():
            return ray
        _refuse_silence(self.address or os.environ.get("RAY_ADDRESS", ""))
        is_main = threading.current_thread() is threading.main_thread()
        handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            where = self.address or "RAY_ADDRESS"
            raise InputError(
                f"--ray-address {where}: no Ray cluster answers ({str(error).splitlines()[0]})"
            ) from None
        finally:
            for number, handler in handlers.items():
                if is_main and handler is not None:  # Ray puts its own in place of ours
                    signal.signal(number, handler)
        return ray

    def _room(self, needs: Needs) -> tuple[int, int]:
        """How many tasks the cluster has room for, and the CPUs that each asks for."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        if most < 1:
            raise InputError("no node of the Ray cluster has a CPU for tasks: ray start --num-cpus")
        if needs.gpus and not any(node.get("GPU", 0) >= needs.gpus for node in nodes):
            raise InputError("no node of the Ray cluster has a GPU: --device cpu trains without")
        cpus = min(needs.threads, most)
        return sum(int(node.get("CPU", 0)) // cpus for node in nodes), cpus

    def _put(self, part: Any) -> Any:
        """A reference to a part in the object store; the last parts are put there once."""
        for known, ref in self._kept:
            if _is_same(known, part):
                return ref
        ref = self._ray.put(part)
        self._kept = [*self._kept[-2:], (part, ref)]
        return ref

    def _result(self, ref: Any, task: Task) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise InputError(str(error.cause)) from None
            raise
        except errors.RayError as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"{task.name}: lost {count_of(_RETRIES + 1, 'time')}, with its worker or node "
                f"({why}): nodes may have too little memory; what was finished is kept, --resume "
                "goes on"
            ) from None


def _is_same(known: Any, part: Any) -> bool:
    """Whether two parts are the same objects."""
    if isinstance(known, tuple) and isinstance(part, tuple):
        return len(known) == len(part) and all(a is b for a, b in zip(known, part))
    return known is part


def _own_address() -> str:
    return require("ray.util", extra="ray").get_node_ip_address()


def _refuse_silence(address: str) -> None:
    """Refuse a host and port where nothing listens: Ray would try for minutes.

    Other addresses, such as `auto`, Ray looks up at once.
    """
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:
        return
    if host is None or port is None:
        return
    # Ray itself takes the machine's own address for a loopback one
    own = [_own_address()] if host in ("localhost", "127.0.0.1") else []
    for where in (host, *own):
        try:
            socket.create_connection((where, port), timeout=_PATIENCE).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
    raise InputError(
        f"--ray-address {address}: nothing answers there ({reason}): name the address that `ray "
        "start --head` printed, and look whether this machine reaches it"
    )
