"""Engines: where the trainings of a job run. A new engine is one file and one line here."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from softfold.crossfit.engines.protocol import Engine, Needs, Task
from softfold.errors import InputError

__all__ = ["ENGINES", "Engine", "Needs", "Task", "get_engine"]

ENGINES = {
    "local": "softfold.crossfit.engines.local:Local",
    "ray": "softfold.crossfit.engines.ray:Ray",
}


def get_engine(engine: str | Engine, **settings: Any) -> Engine:
    """An engine by its name, or one that is made already.

    Args:
        engine: a name in `ENGINES`, or an `Engine`, which comes back as it is.
        settings: of an engine given by name; those that it does not know are left out.

    Raises:
        InputError: no such name, or a package that the engine needs is not installed.
    """
    if not isinstance(engine, str):
        return engine
    if engine not in ENGINES:
        raise InputError(f"no engine {engine!r}: there are {', '.join(ENGINES)}")
    module, name = ENGINES[engine].split(":")
    factory = getattr(import_module(module), name)
    known = inspect.signature(factory).parameters
    return factory(**{k: v for k, v in settings.items() if k in known})
