"""Paths that several rows of a label table have."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from softfold.errors import InputError, count_of


def drop_repeats(
    keys: np.ndarray, given: np.ndarray, valid: np.ndarray | None, name: str
) -> np.ndarray:
    """Rows to keep: the first of every path; repeats that contradict each other are refused.

    `a.jpg` and `./a.jpg` are one path.
    """
    keys = np.array([plain_path(key) for key in keys], dtype=object)
    repeated = pd.Index(keys).duplicated()
    if not repeated.any():
        return np.arange(len(keys))
    for what, values in (("labels", given), ("splits", valid)):
        if values is None:
            continue
        kinds = pd.Series(values).groupby(keys).nunique()
        bad = kinds[kinds > 1]
        if len(bad):
            raise InputError(
                f"{name}: {count_of(len(bad), 'path')} in several rows with different {what}; "
                f"the first is {bad.index[0]}: keep one row a path"
            )
    warnings.warn(
        f"{name}: {count_of(int(repeated.sum()), 'row repeats', 'rows repeat')} a path with the "
        "same label; one row of each is kept",
        stacklevel=2,
    )
    return np.flatnonzero(~repeated)


def plain_path(path: str) -> str:
    """A path without `.` and empty parts; `..` stays, since links may lead elsewhere.

    >>> plain_path("./a//b/./c.jpg"), plain_path("../a.jpg"), plain_path("3")
    ('a/b/c.jpg', '../a.jpg', '3')
    """
    if not (path.startswith("./") or "/./" in path or "//" in path):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)
