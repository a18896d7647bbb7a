"""Where a row stands, for messages: the line of its text file, else its number.

A person who mends a file looks for the line that an editor or a spreadsheet shows, which counts the
header and begins with 1. Rows of frames and of Parquet files have no lines; they count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

_LINES = "lines"


class _Lines:
    """The line that each row begins on; pandas copies attributes at every step, so not this one."""

    def __init__(self, numbers: Sequence[int] | np.ndarray) -> None:
        self.numbers = numbers

    def __deepcopy__(self, memo: Any) -> _Lines:
        return self


def set_lines(frame: pd.DataFrame, numbers: Sequence[int] | np.ndarray) -> None:
    """Remember (N,) lines of the file, counted from 1, for the rows 0 to N-1 of the index."""
    frame.attrs[_LINES] = _Lines(numbers)


def renumbered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with an index of 0 to n-1; each keeps its line.

    >>> frame = pd.DataFrame({"x": [5, 6, 7]})
    >>> set_lines(frame, [2, 3, 5])
    >>> place_of(renumbered(frame[1:]), 1)
    'line 5'
    """
    made = rows.reset_index(drop=True)
    if _LINES in rows.attrs and not rows.index.equals(made.index):
        set_lines(made, places_of(rows))
    return made


def places_of(rows: pd.DataFrame | pd.Series) -> np.ndarray:
    """(n,) int64: the line of each row where it came from a text file, else -1 less its number.

    The index has the rows' numbers, where it is one of whole numbers.

    >>> frame = pd.DataFrame({"x": [5, 6, 7]})
    >>> places_of(frame[1:]).tolist()
    [-2, -3]
    >>> set_lines(frame, [2, 3, 5])
    >>> places_of(frame[1:]).tolist()
    [3, 5]
    """
    numbers = np.arange(len(rows))
    if pd.api.types.is_integer_dtype(rows.index.dtype):
        numbers = rows.index.to_numpy()
    lines = rows.attrs.get(_LINES)
    if lines is None:
        return -1 - numbers.astype(np.int64)
    return np.asarray(lines.numbers, dtype=np.int64)[numbers]


def place_name(place: int, of: str = "") -> str:
    """A place of `places_of` in words, with the file that it is in where that is named.

    >>> place_name(3), place_name(3, "test.csv"), place_name(-3)
    ('line 3', 'line 3 of test.csv', 'row 2 (counted from 0)')
    """
    where = f"line {place}" if place > 0 else f"row {-1 - place} (counted from 0)"
    return f"{where} of {of}" if of else where


def place_of(rows: pd.DataFrame | pd.Series, i: int) -> str:
    """Where the row at position i stands, in words."""
    return place_name(int(places_of(rows.iloc[[i]])[0]))
