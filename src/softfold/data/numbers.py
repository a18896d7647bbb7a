"""Cells of text as numbers: a column is one of numbers where every cell is, and a few that are not
are told.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd

from softfold.data.columns import NO_NUMBER
from softfold.data.places import place_of
from softfold.errors import InputError, count_of

_TRUTHS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
_DECIMAL = re.compile(r"\s*[+-]?\d+(,\d+)?([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}([,.'’ \u00a0\u202f]\d{3})+([.,]\d+)?\s*")
_SAMPLE = 64


class TakenAsText(UserWarning):
    """Columns of numbers that a few cells turn into text."""


def read_numbers(frame: pd.DataFrame, name: str | None = None) -> pd.DataFrame:
    """A frame of text cells with its columns of numbers as numbers.

    A column is one of numbers where every cell is a number, empty or a word of `NO_NUMBER`, and
    one of truths where every cell is true or false. In files divided by semicolons or tabs a
    number may have a decimal comma. All other columns stay as they are written.

    Args:
        frame: the cells.
        name: of the table. Where it is given, a column that is one of numbers but for fewer than
            half of its cells is warned about.

    Raises:
        InputError: a column of numbers some of which have a decimal comma, and others a point.

    >>> cells = pd.DataFrame({"x": ["1", "NA"], "y": ["1", "b"]}, dtype=object)
    >>> read_numbers(cells).dtypes.tolist()
    [dtype('float64'), dtype('O')]
    """
    comma = frame.attrs.get("delimiter", ",") != ","
    made = {c: _numbers_or_same(frame[c], comma, name) for c in frame.columns}
    if name is not None:
        for values in made.values():
            _say_endless(values, frame, name)
    return pd.DataFrame(made, index=frame.index)


def _say_endless(values: pd.Series, frame: pd.DataFrame, name: str) -> None:
    """Warn about numbers that are infinite, or too large for one (1e400)."""
    if not pd.api.types.is_float_dtype(values):
        return
    endless = np.isinf(values.to_numpy(dtype=float, na_value=np.nan))
    if endless.any():
        first = int(np.argmax(endless))
        warnings.warn(
            f"{name}: column {values.name!r} is infinite in "
            f"{count_of(int(endless.sum()), 'cell')}; the first is "
            f"{str(frame[values.name].iloc[first])!r} in {place_of(frame, first)}: leave empty "
            "what is not known",
            stacklevel=3,
        )


def like_training(
    data: pd.DataFrame, cells: pd.DataFrame, training: pd.DataFrame, name: str
) -> pd.DataFrame:
    """The columns of `training` out of other rows, as numbers or as text as they are there.

    Args:
        data: the rows with their numbers read.
        cells: the same rows as they were written.
        training: what the columns are like.
        name: of the other rows, for messages.

    Raises:
        InputError: a column of numbers in training that holds something else.
    """
    made = {}
    for column in training.columns:
        numeric = pd.api.types.is_numeric_dtype(training[column])
        made[column] = data[column] if numeric else cells[column]
        if numeric and not pd.api.types.is_numeric_dtype(data[column]):
            values = pd.to_numeric(cells[column], errors="coerce")
            row = int(np.argmax((values.isna() & cells[column].notna()).to_numpy()))
            raise InputError(
                f"{name}: column {column!r} holds numbers in training, and "
                f"{cells[column].iloc[row]!r} in {place_of(cells, row)}"
            )
    return pd.DataFrame(made)


def _numbers_or_same(values: pd.Series, comma: bool, name: str | None) -> pd.Series:
    if values.dtype != object:
        return values
    cells = values.to_numpy(dtype=object)
    sample = [c for c in cells[:_SAMPLE] if c is not None]
    if any(not isinstance(c, str) for c in sample):
        return values
    usable = sum(c in _TRUTHS or _one_number(c, comma) is not None for c in sample)
    if usable < len(sample) and (name is None or 2 * usable < len(sample)):
        return values  # most columns of words end here
    made = _truths(values)
    if made is None:
        made = _numbers(values, comma, name or "the table")
    if made is not None:
        return made
    if name is not None:
        _say_what_is_no_number(values, comma, name)
    return values


def _one_number(cell: str, comma: bool) -> float | None:
    if cell.strip() in NO_NUMBER:
        return float("nan")
    if comma and _DECIMAL.fullmatch(cell):
        cell = cell.replace(",", ".")
    if "_" in cell or not cell.isascii():
        return None  # Python reads 1_000 and other scripts' digits as numbers
    try:
        return float(cell)
    except ValueError:
        return None


def _truths(values: pd.Series) -> pd.Series | None:
    mapped = values.map(_TRUTHS)
    missing = values.isna()
    if missing.all() or mapped.isna()[~missing].any():
        return None
    return mapped.astype(float) if missing.any() else mapped.astype(bool)


def _numbers(values: pd.Series, comma: bool, name: str) -> pd.Series | None:
    """The column as int64 or float64, None where a cell is no number."""
    if values.isna().all():
        return values.astype(float)
    try:
        made = pd.to_numeric(values)
    except (ValueError, TypeError, OverflowError):
        numbers = [np.nan if c is None else _one_number(c, comma) for c in values]
        if any(n is None for n in numbers):
            return None
        if comma:
            _refuse_two_signs(values, name)
        made = pd.Series(numbers, index=values.index, name=values.name, dtype=float)
    return made.astype(float) if made.dtype == object else made


def _refuse_two_signs(values: pd.Series, name: str) -> None:
    """Refuse 1,5 beside 1.5: one of them may divide thousands, and nothing says which."""
    cells = [c if isinstance(c, str) else "" for c in values]
    firsts = [next((i for i, c in enumerate(cells) if sign in c), None) for sign in ",."]
    if None not in firsts:
        shown = [f"{cells[i].strip()} in {place_of(values, i)}" for i in firsts if i is not None]
        raise InputError(
            f"{name}: column {values.name!r} has numbers with a decimal comma ({shown[0]}) and "
            f"numbers with a decimal point ({shown[1]}): write all with the same sign, and "
            "thousands without one"
        )


def _say_what_is_no_number(values: pd.Series, comma: bool, name: str) -> None:
    """Warn of a column of text most of whose cells are numbers, or true and false."""
    cells = [c if isinstance(c, str) else "" for c in values]
    numbers = [_one_number(c, comma) for c in cells]
    present = np.array([n is None or not np.isnan(n) for n in numbers])  # "" and NA are missing
    is_number = np.array([n is not None for n in numbers]) & present
    is_truth = np.array([c in _TRUTHS for c in cells])
    truths = is_truth.sum() > is_number.sum()
    bad = np.flatnonzero(present & ~(is_truth if truths else is_number))
    if not len(bad) or 2 * len(bad) >= present.sum():
        return
    advice = "mend such cells or leave them empty"
    if any(_THOUSANDS.fullmatch(cells[i]) for i in bad):
        advice += ", and write thousands without a sign"
    what = "is no number" if len(bad) == 1 else "are no numbers"
    if truths:
        what = f"{'is' if len(bad) == 1 else 'are'} neither true nor false"
    warnings.warn(
        f"{name}: column {values.name!r} is taken as text, each value a category, since "
        f"{len(bad):,} of {count_of(int(present.sum()), 'cell')} {what}; "
        f"the first is {cells[bad[0]][:60]!r} in "
        f"{place_of(values, int(bad[0]))}: {advice}",
        TakenAsText,
        stacklevel=2,
    )
