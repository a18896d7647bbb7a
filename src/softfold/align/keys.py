"""Positions of item keys among keys and of class names among names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from softfold.errors import InputError, count_of

_UNCLEAR = -1
"""The row of a path that two keys may name."""

_WHOLE = re.compile(r"-?[0-9]{1,18}")


def find(known: Any, wanted: Any) -> np.ndarray:
    """(n,) int64 positions of `wanted` in `known`, which are unique; -1 where it is not there.

    >>> find(["a", "b"], ["b", "c", None])
    array([ 1, -1, -1])
    """
    index = pd.Index(as_objects(known), dtype=object)
    rows = index.get_indexer(pd.Index(as_objects(wanted), dtype=object))
    return rows.astype(np.int64, copy=False)


def match_rows(
    known: Any,
    wanted: Any,
    lacks: str = "without a prediction",
    *,
    noun: str = "item",
    of: str = "keys",
    before: str = "",
    after: str = "",
) -> np.ndarray:
    """(n,) int64 rows of the keys `wanted` among the keys `known`.

    Args:
        lacks: what is said of a key that is not there.
        noun: what the wanted are called.
        of: what the known keys are called.
        before, after: the message's beginning, and its end: what to do.

    Raises:
        InputError: known keys repeat, or a wanted one is not among them.
    """
    known, wanted = as_keys(known), as_keys(wanted)
    if len(known) == len(wanted) and np.array_equal(known, wanted):
        return np.arange(len(wanted))
    refuse_repeats(known, f"{before}{of}")
    rows = find(known, wanted)
    missing = rows < 0
    if missing.any():
        raise InputError(
            f"{before}{count_of(int(missing.sum()), noun)} of {len(wanted):,} {lacks}; the first "
            f"is {wanted[int(np.argmax(missing))]!r}{after}"
        )
    return rows


def match_columns(
    own: Sequence[Any], wanted: Sequence[Any], of: str, asked: str = "label table"
) -> np.ndarray | None:
    """(K,) columns of a matrix in the order of the names `wanted`; None where it has that order.

    Args:
        own: class names of the matrix's columns.
        of: what the matrix is called.
        asked: what the wanted names belong to.

    Raises:
        InputError: a class that only one of them has, or has twice.
    """
    names = unique_names(wanted, f"classes of the {asked}")
    have = unique_names(own, f"classes of the {of}")
    if names == have:
        return None
    lacking = [name for name in names if name not in set(have)]
    more = [name for name in have if name not in set(names)]
    if lacking:
        beside = f", and {more[0]!r} is no class of the {asked}" if more else ""
        raise InputError(f"classes differ: the {_lacks(of, lacking, have)}{beside}")
    if more:
        raise InputError(f"classes differ: the {_lacks(asked, more, names)}")
    return find(have, names)


def _lacks(what: str, lacking: Sequence[str], there: Sequence[str]) -> str:
    verb = "lack" if what.endswith("s") else "lacks"
    return f"{what} {verb} {lacking[0]!r} (there are {some(there)})"


def take_part(
    values: np.ndarray, rows: np.ndarray | None, columns: np.ndarray | None
) -> np.ndarray:
    """These rows and columns of a matrix; not copied where they are in order without a gap."""
    if rows is not None and len(rows) and (np.diff(rows) == 1).all():
        values = values[int(rows[0]) : int(rows[-1]) + 1]
    elif rows is not None:
        values = values[rows]
    return values if columns is None else values[:, columns]


def sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in a fixed order: whole numbers by value, all else by text.

    >>> sort_names({"10", "9"}), sort_names({"b", "a"})
    (('9', '10'), ('a', 'b'))
    """
    names = set(names)
    if all(_WHOLE.fullmatch(n) for n in names):
        return tuple(sorted(names, key=lambda n: (int(n), n)))
    return tuple(sorted(names))


def as_keys(values: Any) -> np.ndarray:
    """(n,) str objects: item keys, whatever they were written as."""
    keys = as_objects(values)
    if pd.api.types.infer_dtype(keys, skipna=False) in ("string", "empty"):
        return keys
    return as_objects([str(key) for key in keys])


def unique_names(names: Iterable[Any], what: str) -> tuple[str, ...]:
    """Class names as text. Raises InputError where one repeats."""
    found = tuple(str(name) for name in names)
    if len(set(found)) < len(found):
        refuse_repeats(as_objects(found), what)
    return found


def refuse_repeats(values: np.ndarray, what: str) -> None:
    """Raises InputError naming the first of `values` that was there before."""
    index = pd.Index(values, dtype=object)
    if index.has_duplicates:
        repeated = index.duplicated()
        raise InputError(
            f"{what}: {int(repeated.sum()):,} of {len(index):,} repeat an earlier one; the "
            f"first is {index[int(np.argmax(repeated))]!r}"
        )


class RowIndex:
    """Finds the row of a key, one at a time or many, however a path is spelled.

    A key is written exactly alike, or else names the same path: both relative to `root` where
    they lie below it. Where `root` is below the working folder, as `photos` is, relative paths may
    also start there and name `root`, as `photos/cat/a.png` does; not where `root` itself has a
    folder of that name.

    Args:
        keys: unique keys; row i has the i-th.
        root: folder that relative paths start from.
        home: folder in which the keys' items are known to lie, where it is: a path that is not
            found otherwise is also looked for as one below it.

    Raises:
        InputError: a key that is there twice, or two that are the same path.
    """

    def __init__(
        self, keys: Iterable[Any], root: str | Path = ".", home: str | None = None
    ) -> None:
        self.root = os.path.abspath(root)
        names = as_keys(keys if isinstance(keys, np.ndarray) else list(keys))
        refuse_repeats(names, "soft labels")
        self.exact = {key: row for row, key in enumerate(names)}
        self._below = _from_here(self.root)
        self._home = home

    @cached_property
    def _at_home(self) -> RowIndex | None:
        return None if self._home is None else RowIndex(self.exact, self._home)

    @cached_property
    def by_path(self) -> dict[str, int]:
        """Rows by path relative to the root, in both readings of a relative path."""
        rows: dict[str, int] = {}
        for key, row in self.exact.items():
            if rows.setdefault(relative_path(key, self.root), row) != row:
                raise InputError(
                    f"soft labels: {key!r} and another key are the same path below {self.root}; "
                    "keep one"
                )
        if self._below is not None:
            for path, row in list(rows.items()):
                if path.startswith(self._below):
                    inner = path.removeprefix(self._below)
                    if rows.setdefault(inner, row) != row:
                        rows[inner] = rows[path] = _UNCLEAR
        return rows

    def get(self, key: str) -> int | None:
        """The row of one key, None where there is none."""
        row = self.exact.get(key)
        if row is not None and (self._below is None or not key.startswith(self._below)):
            return row
        path = relative_path(key, self.root)
        found = {row, self.by_path.get(path)}
        if self._below is not None and path.startswith(self._below):
            found.add(self.by_path.get(path.removeprefix(self._below)))
        found.discard(None)
        if len(found) > 1 or _UNCLEAR in found:
            raise InputError(
                f"{key!r} may start from {self.root} or from the working folder, and both have a "
                "soft label: write the keys as absolute paths"
            )
        if not found and self._at_home is not None:
            return self._at_home.get(key)
        return found.pop() if found else None

    def rows(self, keys: Sequence[str], what_to_do: str) -> np.ndarray:
        """(n,) int64 rows of training items; one without a row is an error that names it."""
        rows = [self.get(key) for key in keys]
        missing = [key for key, row in zip(keys, rows) if row is None]
        if missing:
            raise InputError(
                f"{count_of(len(missing), 'training item')} of {len(keys):,} without a soft label; "
                f"the first is {missing[0]!r}, soft labels have keys such as "
                f"{next(iter(self.exact), None)!r}{self._folder(missing[0])} ({what_to_do})"
            )
        return np.array(rows, dtype=np.int64)

    def _folder(self, path: str) -> str:
        """What a message says of a path that ends in a key: the folder it may start from."""
        parts = PurePath(path).parts
        tails = {i: PurePath(*parts[i:]).as_posix() for i in range(1, len(parts))}
        folders = [PurePath(*parts[:i]) for i, tail in tails.items() if tail in self.exact]
        return f", which it ends in: root={str(folders[0])!r}?" if len(folders) == 1 else ""

    def knows(self, keys: Sequence[str]) -> bool:
        """Whether every key has a row."""
        return all(self.get(key) is not None for key in keys)


def _from_here(root: str) -> str | None:
    """How relative paths that start from the working folder name the root: `photos/`.

    None where the root is not below the working folder, or has a folder of that name itself.
    """
    here = os.getcwd().rstrip(os.sep) + os.sep
    if not root.startswith(here):
        return None
    below = root.removeprefix(here)
    return None if os.path.isdir(os.path.join(root, below)) else f"{PurePath(below).as_posix()}/"


def relative_path(key: str, root: str) -> str:
    """A path in one spelling: relative to `root` where it lies below it.

    >>> relative_path("/data/woof/train/a.jpg", "/data/woof"), relative_path("./b.jpg", "/data")
    ('train/a.jpg', 'b.jpg')
    """
    path = os.path.normpath(key)
    if os.path.isabs(path) and path.startswith(root + os.sep):
        path = path[len(root) + 1 :]
    return PurePath(path).as_posix()


def as_objects(values: Any) -> np.ndarray:
    """(n,) objects; also of tuples, which NumPy would make a matrix of."""
    if isinstance(values, np.ndarray | pd.Index | pd.Series):
        return np.asarray(values, dtype=object)
    values = list(values)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def some(names: Sequence[str], limit: int = 8) -> str:
    """The first names, for a message.

    >>> some(["a", "b", "c"], limit=2)
    'a, b, ... (3 in all)'
    """
    shown = ", ".join(map(str, names[:limit]))
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in all)"
