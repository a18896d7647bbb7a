"""Errors that a user can act on: one line each, naming what is wrong and what to do."""

from __future__ import annotations

import importlib
from numbers import Integral
from types import ModuleType
from typing import Any


class InputError(ValueError):
    """Bad input: one line with what is wrong, how often, the first offender, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


class MissingDependency(InputError, ImportError):
    """A package that this feature needs is not installed."""


def require(module: str, extra: str | None) -> ModuleType:
    """Import `module`, or say which extra of softfold brings it (None: no extra does).

    >>> require("json", extra="cli").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        what = module if extra is None else f"'softfold[{extra}]'"
        raise MissingDependency(f"{module} is not installed: pip install {what}") from None


def check_top(top: Any) -> None:
    """Refuse a `top` that is no number of rows; None is all of them."""
    if top is not None and not (isinstance(top, Integral) and int(top) >= 0):
        raise InputError(f"top is {top!r}; it must be a whole number, at least 0")


def count_of(n: int, noun: str, plural: str | None = None) -> str:
    """The count with its noun, in words that read well.

    >>> count_of(1, "item"), count_of(9025, "item")
    ('1 item', '9,025 items')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
