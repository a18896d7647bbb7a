"""The local engine: one task after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softfold.crossfit.engines.protocol import Done, Needs, Task


class Local:
    """Tasks one after the other in this process; what one yields is told as it comes."""

    name = "local"

    def run(self, tasks: Sequence[Task], shared: tuple[Any, ...], done: Done, needs: Needs) -> None:
        """Run every task in its order; see `Engine`."""
        for task in tasks:
            done(task, task.work(shared, **task.own))
