"""A matrix in any form, with the keys of its rows and names of its columns where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from softfold.align.frames import keyed_frame
from softfold.align.keys import as_keys, find, unique_names
from softfold.errors import InputError


@dataclass(frozen=True)
class KeyedMatrix:
    """A matrix and what its rows and columns belong to.

    Attributes:
        values: (N, K) numbers, perhaps a memory map.
        item: (N,) str keys of the rows, or None where only their position is known.
        vocab: K class names of the columns, or None where only their position is known.
        what: what the matrix is called in messages.
        row: what one row is called, with its article.
    """

    values: np.ndarray
    item: np.ndarray | None = None
    vocab: tuple[str, ...] | None = None
    what: str = "predictions"
    row: str = "a prediction"


@runtime_checkable
class HasKeys(Protocol):
    """What knows the keys of its rows and the names of its columns: OutOfFold, SoftLabels."""

    def keyed(self) -> KeyedMatrix: ...


def as_keyed(
    value: Any, what: str, row: str, item: np.ndarray | None, vocab: tuple[str, ...] | None
) -> KeyedMatrix:
    """What was given as a matrix, with the keys and names it has; `item` and `vocab` are wanted."""
    if isinstance(value, np.ndarray):
        return KeyedMatrix(value, what=what, row=row)
    if isinstance(value, KeyedMatrix):
        return value
    if not isinstance(value, pd.DataFrame):
        value = keyed_frame(value, vocab)
    if isinstance(value, pd.DataFrame):
        keys = _axis_keys(value.index, item, "index")
        found = _axis_keys(value.columns, vocab, "columns")
        names = None if found is None else unique_names(found, f"columns of the {what}")
        return KeyedMatrix(_numbers(value, what, vocab), keys, names, what, row)
    if isinstance(value, HasKeys):
        return value.keyed()
    try:
        return KeyedMatrix(np.asanyarray(value), what=what, row=row)
    except ValueError:  # lists of other lengths
        raise InputError(f"{what}: no matrix, its rows differ in length") from None


def _axis_keys(index: pd.Index, wanted: Any, what: str) -> np.ndarray | None:
    """The keys that a frame's index or columns give, None where pandas numbered them."""
    if not numbered(index):
        return as_keys(index)
    if wanted is None:
        return None
    numbers = as_keys(range(len(index)))
    at = find(numbers, wanted)
    if (at < 0).any():
        return None
    if (np.diff(at) < 0).any():
        raise InputError(
            f"data frame: its {what} are 0 to {len(index) - 1}, which may be positions or names, "
            f"and the orders differ; the first wanted is {wanted[0]!r}: name the {what}"
        )
    return numbers


def numbered(index: pd.Index) -> bool:
    """Whether an index is the one that pandas gives by itself: 0, 1, 2, ..."""
    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1


def refuse_keys_of_one(value: Any, matrix: KeyedMatrix) -> None:
    """Raises InputError where a data frame has keys and the labels beside it have none.

    What softfold made itself, an OutOfFold or SoftLabels, has the order of its label table.
    """
    if matrix.item is None or isinstance(value, HasKeys | KeyedMatrix):
        return
    first = "" if not len(matrix.item) else f" (the first is {matrix.item[0]!r})"
    raise InputError(
        f"the {matrix.what} have item keys{first} and the labels have none: give labels with these "
        f"keys (frame.set_index('path')['label'], or a label table), or the {matrix.what} as an "
        "array in the labels' order (to_numpy())"
    )


def _numbers(frame: pd.DataFrame, what: str, vocab: tuple[str, ...] | None) -> np.ndarray:
    for name, kind in frame.dtypes.items():
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            advice = ""
            if name not in (vocab or ()) and frame[name].is_unique:
                advice = f": if these are the items' keys, give frame.set_index({name!r})"
            raise InputError(f"{what}: column {str(name)!r} of the data frame holds {kind}{advice}")
    return frame.to_numpy()
