"""Engines: where the folds of a cross-fit run. A new engine is one file and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from softfold.errors import InputError

ENGINES = {"local": "softfold.crossfit.engines.local"}


def get_engine(name: str) -> Any:
    """The engine's module; it has `run(trainer, table, tasks, targets, noise, done)`."""
    if name not in ENGINES:
        raise InputError(f"no engine {name!r}: there are {', '.join(ENGINES)}")
    return import_module(ENGINES[name])
