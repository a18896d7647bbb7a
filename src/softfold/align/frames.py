"""Tables of polars, datasets and Arrow as data frames of pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from softfold.errors import InputError, require

_TABLES = {
    ("polars", "DataFrame"),
    ("datasets", "Dataset"),
    ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
}
_OTHERS = {
    ("polars", "LazyFrame"): "collect() it first",
    ("datasets", "DatasetDict"): "give one of its splits, such as data['train']",
    ("datasets", "IterableDatasetDict"): "give one of its splits, such as data['train']",
    ("datasets", "IterableDataset"): "load it without streaming=True",
}
"""What holds a table or several, and what to do about it."""


def as_frame(value: Any) -> Any:
    """A table of polars, datasets (Hugging Face) or Arrow as a data frame; all else as it is.

    Rows keep their order and are numbered from 0. Class numbers of datasets (ClassLabel), also
    in lists, become the classes' names, -1 a missing one.

    Raises:
        InputError: a table that is not read yet, or several, with what to do.

    >>> as_frame("labels.csv")
    'labels.csv'
    """
    kinds = [(kind.__module__.split(".")[0], kind.__name__) for kind in type(value).__mro__]
    for kind in kinds:
        if kind in _OTHERS:
            raise InputError(f"a {kind[1]} of {kind[0]} is no table: {_OTHERS[kind]}")
    if not _TABLES.intersection(kinds):
        return value
    require("pyarrow", extra="cli")
    frame = value.to_pandas()
    for name, feature in dict(getattr(value, "features", None) or {}).items():
        if hasattr(feature, "int2str"):
            names = np.array([*feature.names, None], dtype=object)
            frame[name] = names[frame[name].fillna(-1).astype(int).to_numpy()]
        inner: Any = feature[0] if isinstance(feature, list) and feature else feature
        inner = getattr(inner, "feature", inner)
        if inner is not feature and hasattr(inner, "int2str"):
            frame[name] = [_named(cell, inner.names) for cell in frame[name]]
    return frame


def _named(cell: Any, names: list[str]) -> list[str] | None:
    """The names of a cell's class numbers, those that are -1 left out."""
    return None if cell is None else [names[number] for number in cell if number >= 0]


def keyed_frame(value: Any, vocab: tuple[str, ...] | None) -> Any:
    """What `as_frame` gives; of these tables, which have no index, a column `item` has the keys."""
    frame = as_frame(value)
    if isinstance(frame, pd.DataFrame) and "item" in frame and "item" not in (vocab or ()):
        return frame.set_index("item")
    return frame
