"""Reading label tables: from CSV, Parquet, folders of class folders and data frames."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from softfold.align import find, sort_names
from softfold.data.leaving_out import (
    refusal,
)
from softfold.data.lookalikes import LookAlikes, about_names
from softfold.data.naming import Names, check_names
from softfold.data.places import place_name
from softfold.data.rows import read_rows
from softfold.data.several import SeveralLabels, about_several
from softfold.data.table import LabelTable
from softfold.errors import InputError, count_of


def read_table(
    labels: str | Path | pd.DataFrame,
    *,
    images: str | Path | None = None,
    path: str | None = None,
    item: str | None = None,
    label: str | None = None,
    valid: str | None = None,
    truth: str | None = None,
    group: str | None = None,
    holdout: str | Path | pd.DataFrame | None = None,
    holdout_label: str | None = None,
    names: Names | None = None,
    check_files: bool = True,
    keys_are_enough: bool = False,
    on_error: Literal["stop", "skip"] = "stop",
) -> LabelTable:
    """Read a label table from a CSV or Parquet file, a folder of class folders or a DataFrame.

    Args:
        labels: CSV or Parquet file, a folder with one folder a class (optionally below `train`
            and `valid`, `val` or `test`), or a DataFrame; also one of polars, a Dataset of
            Hugging Face's datasets, or an Arrow table.
        images: folder that the paths are relative to; by default the folder of the file.
        path: column of image paths or of encoded images (bytes). By default the first column
            with a usual name (path, filename, image, ...). A table without one is tabular data:
            its other columns are the features.
        item: column of item keys, of a table without image paths. By default `item` where its
            values tell the rows apart, else a data frame's own index, else the row's number from 0.
        label: column of given labels; by default `label` or another usual name.
        valid: column that says which items are the hold-out: booleans, 0 and 1, or names such as
            `train`, `valid`, `test`. By default `is_valid`, `valid` or `split` where present.
        truth: column of right labels, known in benchmarks only.
        group: column of groups; items of one group share a fold.
        holdout: a second table whose items are the hold-out.
        holdout_label: its label column; by default that of the first table.
        names: names of classes for people: a mapping, a file of two columns (class, name), or a
            column of the table. They are shown; labels stay what they are.
        check_files: look whether every image file exists.
        keys_are_enough: the items need not be here, since their features are given: paths that
            are not all images which exist are item keys and no more, and a table may have no
            columns but its labels.
        on_error: what to do about rows without a label, a path, an image file or a text: `stop`
            names them all, `skip` leaves them out (`LabelTable.left_out`).

    Raises:
        InputError: one line with what is wrong, how often, the first offender and what to do.
    """
    columns: dict[str, Any] = {
        "path": path,
        "item": item,
        "valid": valid,
        "truth": truth,
        "group": group,
    }
    how: dict[str, Any] = {"check_files": check_files, "keys_are_enough": keys_are_enough}
    raw, name, named = read_rows(
        labels,
        columns,
        images=images,
        label=label,
        holdout=holdout,
        holdout_label=holdout_label,
        names=names,
        on_error=on_error,
        **how,
    )
    broken = raw["left_out"]
    try:
        table = _assemble(raw, name)
    except InputError as error:
        if not broken:
            raise
        n = len(raw["item"]) + len(broken)
        raise InputError(f"{error}; and {refusal(name, broken, n)}") from None
    if named:
        source = f"--names {names}" if isinstance(names, str | Path) else "names"
        table = replace(table, names=check_names(named, table.vocab, source))
    counts = np.bincount(table.given, minlength=table.n_classes)
    for line in about_names(table.vocab, counts):
        warnings.warn(f"{name}: {line}", LookAlikes, stacklevel=2)
    several = about_several(table.vocab, counts)
    if several is not None:
        warnings.warn(f"{name}: {several}", SeveralLabels, stacklevel=2)
    return table


def _where(raw: dict[str, Any], i: int, name: str) -> str:
    """Where item i stands; with the file of the hold-out, where it is in that."""
    place = place_name(int(raw["place"][i]))
    other = raw["holdout_name"]
    return (
        f"{place} of {other}"
        if raw["valid"] is not None and raw["valid"][i] and other != name
        else place
    )


def _assemble(raw: dict[str, Any], name: str) -> LabelTable:
    given = raw["given"]
    valid = raw["valid"] if raw["valid"] is not None else np.zeros(len(given), dtype=bool)
    if raw["valid"] is not None and valid.all():
        raise InputError(f"{name}: all {len(given):,} items are in the hold-out, none to train on")
    vocab = sort_names(given[~valid])
    if len(vocab) < 2:
        raise InputError(
            f"{name}: all training items have the label {vocab[0]!r}; two classes are the least"
        )
    codes = find(vocab, given)
    if (codes < 0).any():
        unknown = given[codes < 0]
        raise InputError(
            f"{name}: {count_of(len(unknown), 'hold-out item')} with labels that training never "
            f"has; the first is {unknown[0]!r} in {_where(raw, int(np.argmax(codes < 0)), name)}"
        )
    truth = None
    if raw["truth"] is not None:
        truth = find(vocab, raw["truth"])
        unknown_truth = (truth < 0) & np.array([t is not None for t in raw["truth"]])
        if unknown_truth.any():
            row = int(np.argmax(unknown_truth))
            raise InputError(
                f"{name}: {count_of(int(unknown_truth.sum()), 'item')} with a truth that no given "
                f"label has; the first is {raw['truth'][row]!r} in {_where(raw, row, name)}"
            )
    return LabelTable(
        item=raw["item"],
        given=codes,
        vocab=vocab,
        valid=valid,
        truth=truth,
        group=raw["group"],
        data=raw["data"],
        name=name,
        left_out=tuple(raw["left_out"]),
    )
