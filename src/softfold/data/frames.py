"""The rows of a label table as they stand: out of a file, a folder or a data frame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from softfold.align import as_frame
from softfold.data.delimited import is_delimited, read_delimited
from softfold.data.folders import scan_folder
from softfold.errors import InputError, count_of, require

KNOWN_DATASETS = ("digits", "imagewoof", "imagenette", "cifar10n", "fashion-mnist")
"""What `softfold.data.datasets` loads by name; what is not found may be a misspelt one of these."""


_NAME = "softfold name"


def set_name(frame: pd.DataFrame, name: str) -> None:
    """Remember the file that a frame was made of, for messages about the frame."""
    frame.attrs[_NAME] = name


def read_frame(labels: Any) -> tuple[pd.DataFrame, str, Path | None]:
    """The rows, a name for messages, and the folder that relative paths start from.

    Labels are a file, a folder, a data frame, or a table that `softfold.align.as_frame` takes.
    Cells of text files are text as written (see `softfold.data.delimited`). Images that are
    dictionaries, as Hugging Face's datasets and their Parquet files have them, are their bytes;
    their paths where none of the column has bytes.
    """
    labels = as_frame(labels)
    if isinstance(labels, pd.DataFrame):
        name = labels.attrs.get(_NAME, "the data frame")
        _refuse_twice(labels, name)
        return _plain_images(labels), name, None
    if not isinstance(labels, str | os.PathLike):
        raise InputError(
            f"{type(labels).__name__} is no label table: give a file, a folder or a data frame, "
            "such as its to_pandas() where it has one"
        )
    file = Path(labels)
    if file.is_dir():
        return scan_folder(file), str(file), file
    if not file.exists():
        known = ", ".join(KNOWN_DATASETS)
        raise InputError(f"{labels}: no such file, folder or known dataset ({known})")
    if not file.is_file():
        raise InputError(f"{file}: no regular file; a label table is a file or a folder")
    kind = file.suffix.lower()
    if not is_delimited(file) and kind not in {".parquet", ".pq"}:
        raise InputError(f"{file}: a label table is a .csv, .tsv or .parquet file or a folder")
    try:
        if is_delimited(file):
            frame = read_delimited(file)
        else:
            arrow = require("pyarrow", extra="cli")
            frame = pd.read_parquet(file)
            # text is decoded when it is looked at: look now
            for _, column in frame.items():  # noqa: PERF102
                if isinstance(column.dtype, pd.StringDtype):
                    arrow.array(column).validate(full=True)
    except InputError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: cannot be read as {kind[1:]}: {reason}") from error
    if frame.empty:
        raise InputError(f"{file}: the table has no rows")
    _refuse_twice(frame, file.name)
    return _plain_images(frame), file.name, file.parent


def _plain_images(frame: pd.DataFrame) -> pd.DataFrame:
    for name in [name for name in frame if pd.api.types.is_object_dtype(frame[name])]:
        first = next((cell for cell in frame[name] if isinstance(cell, dict)), None)
        if first is None or not first.keys() <= {"bytes", "path"}:
            continue
        cells = [cell if isinstance(cell, dict) else {"bytes": cell} for cell in frame[name]]
        part = "path" if all(cell.get("bytes") is None for cell in cells) else "bytes"
        plain = [cell.get(part) for cell in cells]
        frame = frame.copy(deep=False)
        frame[name] = pd.Series(plain, index=frame.index, dtype=object)
    return frame


def _refuse_twice(frame: pd.DataFrame, name: str) -> None:
    names = pd.Index(frame.columns).map(str)
    if names.has_duplicates:
        twice = names[names.duplicated()].unique()
        raise InputError(
            f"{name}: {count_of(len(twice), 'name is', 'names are')} that of several columns; the "
            f"first is {twice[0]!r}: give each column its own name"
        )
