"""Which column of a table holds what: the one that was named, else one with a usual name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pandas as pd

from softfold.errors import InputError

PATH_NAMES = ("path", "image_path", "filepath", "file", "filename", "file_name", "fname", "image")
LABEL_NAMES = ("label", "given", "labels", "class", "target", "category")
VALID_NAMES = ("is_valid", "valid", "split")

_MOST_COLUMNS = 12


def find_column(
    frame: pd.DataFrame, name: str, asked: str | None, usual: Sequence[str], option: str
) -> str | None:
    """The column asked for, else one with a usual name, else None.

    Raises:
        InputError: the column asked for is not there.
    """
    if asked is None:
        return usual_column(frame, usual)
    if asked not in frame.columns:
        raise InputError(f"{name}: no column {asked!r} (--{option}); {columns_in_words(frame)}")
    return asked


def usual_column(frame: pd.DataFrame, usual: Sequence[str]) -> str | None:
    """The first usual name that is a column's, written so or with other capitals.

    Capitals count where several columns differ in nothing else.

    >>> usual_column(pd.DataFrame(columns=["Path", "LABEL"]), LABEL_NAMES)
    'LABEL'
    """
    exact = next((name for name in usual if name in frame.columns), None)
    if exact is not None:
        return exact
    for name in usual:
        alike = [c for c in frame.columns if isinstance(c, str) and c.casefold() == name]
        if len(alike) == 1:
            return alike[0]
    return None


def say_which_label(frame: pd.DataFrame, name: str, taken: str) -> None:
    """Warn where other columns are called as a column of labels may be."""
    # exports of softfold have `given` beside `label`: what stood there before
    usual = set(LABEL_NAMES) - ({"given"} if taken == "label" else set())
    others = [c for c in frame.columns if isinstance(c, str) and c.casefold() in usual]
    others = [c for c in others if c != taken]
    if others:
        warnings.warn(
            f"{name}: column {taken!r} is taken for the labels; "
            f"{', '.join(map(repr, others[:_MOST_COLUMNS]))} could be too (--label says which)",
            stacklevel=2,
        )


def columns_in_words(frame: pd.DataFrame) -> str:
    """What columns there are; where it is one alone, what may have gone wrong.

    >>> columns_in_words(pd.DataFrame(columns=["path", "label"]))
    'it has: path, label'
    """
    names = [str(c) for c in frame.columns]
    if len(names) == 1 and "delimiter" in frame.attrs:
        return (
            f"its only column is {names[0]!r}: fields are divided by commas, semicolons or tabs "
            "(another sign, such as |, is read where the first line is sep=|)"
        )
    more = f" and {len(names) - _MOST_COLUMNS:,} more" if len(names) > _MOST_COLUMNS else ""
    return f"it has: {', '.join(names[:_MOST_COLUMNS])}{more}"
