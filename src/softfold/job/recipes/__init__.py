"""Recipes: whole protocols by name. A new one is one file and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from softfold.errors import InputError

RECIPES = {"post": "softfold.job.recipes.post"}


def get_recipe(name: str) -> Any:
    """The recipe's module: `SETTINGS`, `run(settings, out, resume, quiet)`, `summary(metrics)`."""
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: there is {', '.join(RECIPES)}")
    return import_module(RECIPES[name])
