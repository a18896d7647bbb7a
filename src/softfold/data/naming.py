"""Names of classes for people: `Shih-Tzu` for the class that is written `n02086240`.

A class is what stands in the label column, and stays so in everything that machines read. A name is
only shown. Classes without a name are shown as they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from softfold.data.columns import missing_names, names_of
from softfold.data.frames import read_frame
from softfold.errors import InputError, count_of

Names = Mapping[Any, Any] | str | Path
"""A mapping of classes to names, a file of two columns, or a column of the label table."""

_CLASS_COLUMNS = ("class", "label", "category", "given", "id", "code")
_NAME_COLUMNS = ("name", "names", "title")


def titles_of(vocab: Iterable[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """What people read for each class: its name, or the class as it is written.

    >>> titles_of(["n02086240", "cat"], {"n02086240": "Shih-Tzu"})
    ('Shih-Tzu', 'cat')
    """
    return tuple(names.get(each, each) for each in vocab)


def take_names(
    frame: pd.DataFrame, names: Names | None, label: str | None, table: str
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The rows of a label table without a column of names, and (class, name) pairs.

    Args:
        frame: the rows.
        names: as they were asked for.
        label: the column of labels.
        table: the table's name, for messages.

    Raises:
        InputError: no such file or column, no two columns in it, a class with several names.
    """
    if names is None:
        return frame, []
    if isinstance(names, Mapping):
        return frame, [(str(k), str(v)) for k, v in names.items()]
    if Path(names).is_file():
        return frame, read_names(names)
    column = str(names)
    if column not in frame.columns or column == label:
        raise InputError(f"--names {names}: neither a file nor another column of {table}")
    pairs = [] if label not in frame.columns else _pairs(frame[label], frame[column], table)
    return frame.drop(columns=column), pairs


def read_names(file: str | Path) -> list[tuple[str, str]]:
    """(class, name) pairs of a CSV, TSV or Parquet file.

    Columns `class` (or `label`, ...) and `name` where there are such, else the first two. The
    header is the first pair: `check_names` leaves it out where it begins with no class.

    Raises:
        InputError: the file cannot be read, has one column, or gives a class several names.
    """
    frame, name, _ = read_frame(file)
    columns = {str(c).lower(): c for c in reversed(list(frame.columns))}
    by = [next((columns[c] for c in these if c in columns), None) for these in _USUAL]
    if None in by or by[0] == by[1]:
        by = list(frame.columns[:2])
    if len(by) < 2:
        raise InputError(f"{name}: names of classes need two columns, class and name")
    return [(str(by[0]), str(by[1])), *_pairs(frame[by[0]], frame[by[1]], name)]


_USUAL = (_CLASS_COLUMNS, _NAME_COLUMNS)


def _pairs(classes: pd.Series, names: pd.Series, table: str) -> list[tuple[str, str]]:
    """The different pairs of two columns; cells without a class or a name say nothing."""
    known: dict[str, str] = {}
    written, shown = names_of(classes, table), names_of(names, table)
    for i in (~(missing_names(written) | missing_names(shown))).nonzero()[0]:
        first = known.setdefault(written[i], shown[i])
        if first != shown[i]:
            raise InputError(
                f"{table}: class {written[i]!r} has two names, {first!r} and {shown[i]!r}: keep one"
            )
    return list(known.items())


def check_names(
    pairs: Sequence[tuple[str, str]], vocab: Sequence[str], source: str
) -> dict[str, str]:
    """Names by class, one each; what is named and is no class is refused.

    Args:
        pairs: (class, name); the first may be a header.
        vocab: the K classes, as they are written.
        source: where the names come from, for messages.

    Raises:
        InputError: a name for no class; two classes that would read the same.
    """
    classes = set(vocab)
    if pairs and pairs[0][0] not in classes and pairs[0][0].lower() in _CLASS_COLUMNS:
        pairs = pairs[1:]
    names = {written: name for written, name in pairs if name.strip()}
    unknown = [written for written in names if written not in classes]
    if unknown:
        raise InputError(
            f"{source}: {count_of(len(unknown), 'name')} for no class of the labels; the first is "
            f"{names[unknown[0]]!r} for {unknown[0]!r}: leave it out"
        )
    read: dict[str, str] = {}
    for written, title in zip(vocab, titles_of(vocab, names), strict=True):
        other = read.setdefault(title, written)
        if other != written:
            raise InputError(
                f"{source}: classes {other!r} and {written!r} would both be called {title!r}: give "
                "each its own name"
            )
    return {written: names[written] for written in vocab if written in names}
