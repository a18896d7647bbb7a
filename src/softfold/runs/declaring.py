"""How a setting of a job is declared: its type, default, check and help, and who takes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from softfold.errors import InputError

Check = Callable[[Any], str | None]
"""What is wrong with a value, None where nothing is."""


def at_least(least: int) -> Check:
    """A check of whole numbers."""
    return lambda value: None if value >= least else f"at least {least} is needed"


def fraction(value: float) -> str | None:
    """A check of shares."""
    return None if 0 <= value <= 1 else "want a number between 0 and 1"


def existing_file(value: str) -> str | None:
    """A check of names of files."""
    return None if Path(value).is_file() else "no such file"


def one_of(names: Callable[[], Iterable[str]]) -> Check:
    """A check of names; the function that gives them imports what holds them."""

    def check(value: str) -> str | None:
        known = list(names())
        return None if value in known else f"there are {', '.join(known)}"

    return check


def setting(
    default: Any,
    help: str,
    commands: str,
    *,
    check: Check | None = None,
    flags: str | None = None,
    is_path: bool = False,
    positional: bool = False,
) -> Any:
    """A field of `Settings`.

    Args:
        default: its value where nobody gives one.
        help: one line, as `--help` shows it.
        commands: the commands that take it, by name, with blanks between.
        check: what is wrong with a value.
        flags: its option where that is not `--name`.
        is_path: it names a file or folder; config.json keeps it absolute.
        positional: it is the command's argument, not an option.
    """
    about = {
        "help": help,
        "commands": tuple(commands.split()),
        "check": check,
        "flags": flags,
        "is_path": is_path,
        "positional": positional,
    }
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Setting:
    """One field of `Settings`: what the command line, the checks and the docs know about it."""

    name: str
    type: type
    optional: bool
    default: Any
    help: str
    commands: tuple[str, ...]
    check: Check | None
    flags: str | None
    is_path: bool
    positional: bool

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    def checked(self, value: Any, called: str | None = None) -> Any:
        """The value in the setting's type.

        called: where it was given, for messages; its option where None.

        Raises:
            InputError: it is of another type, or refused by the check.
        """
        called = called or self.option
        wanted = {int: "a whole number", float: "a number", bool: "True or False"}.get(self.type)
        kind = {int: Integral, float: Real, bool: bool}.get(self.type, object)
        if not isinstance(value, kind) or (isinstance(value, bool) and self.type in (int, float)):
            raise InputError(f"{called} {value!r}: want {wanted}")
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        wrong = None if self.check is None else self.check(value)
        if wrong is not None:
            raise InputError(f"{called} {value}: {wrong}")
        return value if wanted is None else self.type(value)
