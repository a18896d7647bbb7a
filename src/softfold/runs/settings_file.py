"""A file of settings: a run's config.json, or one that somebody wrote."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Any

from softfold.errors import InputError
from softfold.runs.settings import settings_table

ON_THE_COMMAND_LINE = ("out", "resume", "quiet", "json", "profile", "config")
"""Options of `softfold run` that are no settings."""


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings of a file, by name: a run's config.json, or a .toml or .json file of one's own.

    What a run left to softfold (null) is left to it again. Paths are those of the file; relative
    ones start from the working folder.

    Raises:
        InputError: no such file, not TOML or JSON, a name that is no setting, or a value that its
            setting refuses.
    """
    file = Path(path)
    if file.is_dir():
        file /= "config.json"
    try:
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise InputError(f"--config {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(
            f"--config {path}: neither a run's config.json nor a file of settings ({error})"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("settings"), dict):
        found = found["settings"]
    if not isinstance(found, dict):
        raise InputError(f"--config {path}: want names of settings with their values")
    known = {each.name: each for each in settings_table()}
    named = {name.replace("-", "_"): value for name, value in found.items()}
    for name in named:
        if name not in known:
            raise InputError(f"--config {path}: {_no_setting(name, list(known))}")
    return {
        name: known[name].checked(value, called=f"--config {path}: {name}")
        for name, value in named.items()
        if value is not None
    }


def _no_setting(name: str, known: list[str]) -> str:
    if name in ON_THE_COMMAND_LINE:
        return f"{name!r} is no setting: give it on the command line, --{name}"
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"; did you mean {near[0]}?" if near else ""
    return f"{name!r} is no setting of softfold run{advice}"
