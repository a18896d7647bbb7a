"""A task in another process than the one that wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from softfold.crossfit.engines.protocol import Needs
from softfold.machine import runtime


def do(work: Any, own: dict[str, Any], needs: Needs, *shared: Any) -> Any:
    """The result of `work(shared, **own)`, with the threads and the device that it needs."""
    with ExitStack() as stack:
        try:
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(needs.threads))
        except ImportError:
            pass
        if needs.uses_torch:
            device = needs.device or ("cuda" if needs.gpus else "cpu")
            runtime.setup(device, threads=needs.threads)
        made = work(shared, **own)
        return list(made) if isinstance(made, Iterator) else made
