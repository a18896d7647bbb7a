"""Recipes: whole protocols by name. A new one is one file and one line here.

A recipe is a module with

- `SETTINGS`: its settings; what the user gives comes first,
- `choose_trainers(table, settings)`: its `softfold.job.trainers.Trainers`, before anything is
  written,
- `finish(job)`: its steps, up to metrics.json, which it returns,
- `summary(metrics)`: what the command line prints; None where that is what every run prints.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from softfold.errors import InputError
from softfold.runs.settings import Settings

RECIPES = {"post": "softfold.job.recipes.post", "kaggle": "softfold.job.recipes.kaggle"}


def get_recipe(name: str) -> Any:
    """The recipe's module."""
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: there is {', '.join(RECIPES)}")
    return import_module(RECIPES[name])


def settings_of(**asked: Any) -> Settings:
    """The settings that were asked for; where a recipe was, on top of its own."""
    recipe = asked.get("recipe")
    return Settings(**{**({} if recipe is None else get_recipe(recipe).SETTINGS), **asked})
