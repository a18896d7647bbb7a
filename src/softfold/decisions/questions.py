"""What is asked of items with several labels: whether an item has a class, no or yes.

The log of decisions calls such a question by its item and its class.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

NO_YES = ("no", "yes")
"""The two classes of a question, in the order of 0 and 1."""

_BETWEEN = "\x1f"
"""Stands between item and class; a control character that neither has, made for that."""


def question_keys(items: Iterable[str], classes: Iterable[str]) -> np.ndarray:
    """(N,) objects: what the log calls the question whether each item has the class beside it."""
    pairs = zip(items, classes, strict=True)
    return np.array([f"{item}{_BETWEEN}{name}" for item, name in pairs], dtype=object)


def of_classes(decisions: pd.DataFrame) -> bool:
    """Whether decisions are answers, no or yes, about items and classes."""
    return "class" in decisions and set(decisions["label"].dropna()) <= set(NO_YES)


def with_classes(decisions: pd.DataFrame) -> pd.DataFrame:
    """Decisions of a log with the item and, beside it, the class of each question.

    Those of items with one label stay as they are.

    >>> keys = question_keys(["a.png"], ["sea"])
    >>> with_classes(pd.DataFrame({"item": keys, "label": "yes"})).to_numpy().tolist()
    [['a.png', 'sea', 'yes']]
    """
    parts = [key.rpartition(_BETWEEN) for key in decisions["item"]]
    if not parts or not all(between for _, between, _ in parts):
        return decisions
    made = decisions.assign(item=[item for item, _, _ in parts])
    made.insert(1, "class", [name for _, _, name in parts])
    return made
