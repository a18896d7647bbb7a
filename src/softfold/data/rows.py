"""The rows of a label table: its columns by what they mean, those that cannot be used left out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from softfold.data.columns import (
    ITEM,
    holdout_rows,
    identifiers,
    label_names,
    names_of,
    row_keys,
    truth_names,
)
from softfold.data.finding import (
    LABEL_NAMES,
    PATH_NAMES,
    VALID_NAMES,
    columns_in_words,
    find_column,
    say_which_label,
    usual_column,
)
from softfold.data.folders import all_are_images
from softfold.data.frames import read_frame
from softfold.data.leaving_out import (
    NO_TEXT,
    ON_ERROR,
    LeftOut,
    lost_files,
    refusal,
    whole_rows,
)
from softfold.data.naming import Names, take_names
from softfold.data.numbers import like_training, read_numbers
from softfold.data.places import place_name, place_of, places_of, renumbered
from softfold.data.repeats import drop_repeats, plain_path
from softfold.data.several import columns_of_several
from softfold.data.table import Data, empty_texts
from softfold.errors import InputError, count_of
from softfold.pixels.images import Images

Relabelled = Callable[[pd.DataFrame, str, str | None], tuple[pd.DataFrame, str]]
"""Takes a frame, its name and the label column asked for; gives a frame and its label column."""


def read_rows(
    labels: str | Path | pd.DataFrame,
    columns: dict[str, Any],
    *,
    images: str | Path | None,
    label: str | None,
    holdout: str | Path | pd.DataFrame | None,
    holdout_label: str | None,
    names: Names | None,
    on_error: str,
    relabelled: Relabelled | None = None,
    **how: Any,
) -> tuple[dict[str, Any], str, list[tuple[str, str]]]:
    """The table's columns by meaning with labels as written, its name, and its classes' names.

    Args are those of `read_table`. columns: by meaning, all but the label's; relabelled: gives a
    frame another column of labels, and says which.
    """
    if on_error not in ON_ERROR:
        raise InputError(f"on_error {on_error!r}: there are {', '.join(ON_ERROR)}")
    frame, name, base = read_frame(labels)
    if relabelled is not None:
        frame, label = relabelled(frame, name, label)
    frame, named = take_names(frame, names, label or usual_column(frame, LABEL_NAMES), name)
    raw = _columns(frame, name, base, images, label=label, **how, **columns)
    valid = columns["valid"]
    if holdout is None and valid is not None and not raw["valid"].any():
        raise InputError(
            f"{name}: column {valid!r} puts none of {len(frame):,} items in the hold-out"
        )
    if holdout is not None:
        if raw["valid"] is not None and raw["valid"].any() and valid is not None:
            raise InputError(f"{name}: give either a hold-out file or a split column, not both")
        raw["valid"] = np.zeros(len(raw["item"]), dtype=bool)
        raw = _join(raw, holdout, images, label, holdout_label, columns, how, relabelled)
    broken = raw["left_out"]
    if broken and on_error == "stop":
        raise refusal(name, broken, len(raw["item"]) + len(broken))
    return raw, name, named


class _Chosen(NamedTuple):
    """A table's columns by meaning; None where there is none."""

    label: str
    valid: str | None
    truth: str | None
    group: str | None
    path: str | None


def _chosen(
    frame: pd.DataFrame,
    name: str,
    images: str | Path | None,
    *,
    label: str | None,
    path: str | None,
    valid: str | None,
    truth: str | None,
    group: str | None,
    prefix: str,
) -> _Chosen:
    """The columns that were asked for, or have the usual names."""
    option = "holdout-label" if prefix else "label"
    label_column = find_column(frame, name, label, LABEL_NAMES, option)
    if label_column is None:
        raise InputError(
            f"{name}: say which column holds the labels (--{option}); "
            f"{columns_in_words(frame)}{columns_of_several(frame)}"
        )
    if label is None and not prefix:
        say_which_label(frame, name, label_column)
    chosen = _Chosen(
        label_column,
        find_column(frame, name, valid, VALID_NAMES, "valid"),
        find_column(frame, name, truth, (), "truth"),
        find_column(frame, name, group, (), "group"),
        find_column(frame, name, path, PATH_NAMES, "path"),
    )
    if chosen.path is None and images is not None:
        raise InputError(
            f"{name}: say which column holds the image paths (--path); {columns_in_words(frame)}"
        )
    if images is not None and not Path(images).is_dir():
        raise InputError(f"--images {images}: no such folder")
    return chosen


def _columns(
    frame: pd.DataFrame,
    name: str,
    base: Path | None,
    images: str | Path | None,
    *,
    item: str | None,
    check_files: bool,
    keys_are_enough: bool,
    prefix: str = "",
    **asked: str | None,
) -> dict[str, Any]:
    """The table's columns by meaning; labels still as written. Broken rows are in `left_out`."""
    if frame.empty:
        raise InputError(f"{name}: the table has no rows")
    chosen = _chosen(frame, name, images, prefix=prefix, **asked)
    taken = {*chosen}
    if keys_are_enough and item is None and chosen.path is None and ITEM in {*frame} - taken:
        item = ITEM  # also where it is all that there is beside the labels
    of_files = chosen.path is not None and any(isinstance(v, str) for v in frame[chosen.path])
    known = taken | {ITEM} if of_files else taken  # a path names its row, whatever is beside it
    item_column, every_key = row_keys(frame, item, known, prefix, name)
    n = len(frame)
    of = None if item_column is not None else name if prefix else ""
    frame, left_out = whole_rows(renumbered(frame), chosen.label, chosen.path, every_key, of)
    if frame.empty:
        raise refusal(name, left_out, n)
    keys = every_key[frame.index]
    out: dict[str, Any] = {
        "item": keys,
        "given": label_names(frame[chosen.label], name, chosen.label),
        "valid": None if chosen.valid is None else holdout_rows(frame[chosen.valid], name),
        "truth": None if chosen.truth is None else truth_names(frame[chosen.truth], name),
        "group": None,
        "left_out": left_out,
        "place": places_of(frame),
        "holdout_name": name,
    }
    if chosen.group is not None:
        values = names_of(frame[chosen.group], name)
        alone = np.array([f"item {key}" for key in keys], dtype=object)
        out["group"] = np.where(pd.isna(values), alone, values)
    if chosen.path is None:
        out |= _cells(frame, taken | {item_column}, out["given"], name, keys_are_enough, prefix)
        return _without(out, _without_text(out, of), name)
    where = Path(images) if images is not None else base
    paths, out["data"] = image_column(frame[chosen.path], where)
    if out["data"].path(0) is None:
        return out
    if item is not None:
        raise InputError(f"{name}: image files are known by their paths; leave --item {item} out")
    return _of_files(out | {"item": paths}, name, check_files, keys_are_enough)


def _cells(
    frame: pd.DataFrame,
    taken: set[str | None],
    given: np.ndarray,
    name: str,
    keys_are_enough: bool,
    prefix: str,
) -> dict[str, Any]:
    """`data`: the columns that items are learned by, and `cells`: the same as they are written."""
    # labels of other noise rates, as `softfold corrupt` writes them, would give the truth away
    used = taken | {c for c in frame.columns if str(c).startswith("noisy_labels_")}
    cells = frame.loc[:, [c is None or c not in used for c in frame.columns]]
    data = read_numbers(cells, None if prefix else name)
    data = data.drop(columns=list(_other_labels(data, given, name)))
    if not prefix:  # the columns of a hold-out are those of training
        data = data.drop(columns=_said_identifiers(data, name))
    if data.shape[1] == 0 and keys_are_enough:
        return {"data": None}
    if data.shape[1] == 0:
        raise InputError(f"{name}: it has neither a path column (--path) nor feature columns")
    parts = {"data": data, "cells": cells}
    return {part: each.reset_index(drop=True).rename(columns=str) for part, each in parts.items()}


def _without_text(raw: dict[str, Any], of: str | None) -> dict[int, LeftOut]:
    """The rows whose text is empty; of: the table that a row without a key is said to be of."""
    empty = {int(i): raw["place"][i] for i in empty_texts(raw["data"])}
    lines = {i: "" if of is None else place_name(at, of) for i, at in empty.items()}
    return {i: LeftOut("", NO_TEXT, place=at) for i, at in lines.items()}


def _of_files(
    raw: dict[str, Any], name: str, check_files: bool, keys_are_enough: bool
) -> dict[str, Any]:
    """The columns of items that are files, each file once, without those that are not there."""
    data = raw["data"]
    if keys_are_enough and not all_are_images(map(data.path, range(len(data))), name):
        raw["data"] = None
    _take(raw, drop_repeats(raw["item"], raw["given"], raw["valid"], name))
    if raw["data"] is None:
        return raw
    return _without(raw, lost_files(raw["data"]) if check_files else {}, name)


def _without(raw: dict[str, Any], broken: dict[int, LeftOut], name: str) -> dict[str, Any]:
    """The columns without the broken rows, which join `left_out`."""
    if not broken:
        return raw
    item, given = raw["item"], raw["given"]
    named = [each._replace(item=item[i], label=given[i]) for i, each in broken.items()]
    raw["left_out"] = [*raw["left_out"], *named]
    n = len(raw["item"])
    if len(broken) == n:
        raise refusal(name, raw["left_out"], n + len(raw["left_out"]) - len(broken))
    _take(raw, np.setdiff1d(np.arange(n), list(broken)))
    return raw


def _take(raw: dict[str, Any], rows: np.ndarray) -> None:
    for field in ("item", "given", "valid", "truth", "group", "place"):
        if raw[field] is not None:
            raw[field] = raw[field][rows]
    for field in ("data", "cells"):
        if isinstance(raw.get(field), pd.DataFrame):
            raw[field] = raw[field].iloc[rows].reset_index(drop=True)
        elif raw.get(field) is not None:
            raw[field] = raw[field].take(rows)


def image_column(column: pd.Series, base: Path | None = None) -> tuple[np.ndarray, Images]:
    """Item keys and images of a column of paths or of encoded images (bytes).

    Encoded images have the numbers of their rows as keys.
    """
    values = column.tolist()
    encoded = [isinstance(v, (bytes, bytearray, memoryview)) for v in values]
    if any(encoded):
        if not all(encoded):
            row = encoded.index(False)
            raise InputError(
                f"column {column.name!r} holds encoded images and, in {place_of(column, row)}, "
                f"{type(values[row]).__name__}: make them one kind"
            )
        keys = np.array([str(i) for i in column.index], dtype=object)
        return keys, Images(encoded=[bytes(v) for v in values])
    keys = np.array([str(v) for v in values], dtype=object)
    return keys, Images(keys if base is None else [os.path.join(base, k) for k in keys])


def _other_labels(features: pd.DataFrame, given: np.ndarray, name: str) -> set[Any]:
    """Columns of words that are exactly the class names: labels, which as features would tell."""
    classes = set(given)
    words = [c for c in features.columns if not pd.api.types.is_numeric_dtype(features[c])]
    found = {c for c in words if set(features[c].dropna().map(str).unique()) == classes}
    for column in sorted(map(str, found)):
        warnings.warn(
            f"{name}: column {column!r} holds the class names; it is taken for labels and left out "
            "of the features",
            stacklevel=2,
        )
    return found


def _said_identifiers(features: pd.DataFrame, name: str) -> list[Any]:
    """Columns that name the rows: what each holds is in one row alone. A warning says so."""
    found = identifiers(features)
    if found:
        shown = ", ".join(repr(str(column)) for column in found[:3])
        more = "" if len(found) <= 3 else f" and {len(found) - 3} more"
        warnings.warn(
            f"{name}: {shown}{more}: a value of its own in every row names it and describes "
            f"nothing; left out of the features (--item {found[0]} makes it the items' key)",
            stacklevel=2,
        )
    return found


def _join(
    raw: dict[str, Any],
    holdout: str | Path | pd.DataFrame,
    images: str | Path | None,
    label: str | None,
    holdout_label: str | None,
    columns: dict[str, Any],
    how: dict[str, Any],
    relabelled: Relabelled | None = None,
) -> dict[str, Any]:
    """Add the items of the hold-out's own table."""
    frame, name, base = read_frame(holdout)
    if relabelled is not None:
        frame, holdout_label = relabelled(frame, name, holdout_label)
    column = holdout_label or (label if label in frame.columns else None)
    optional: dict[str, Any] = {k: v if v in frame.columns else None for k, v in columns.items()}
    optional["path"] = columns["path"]
    optional |= {"label": column}
    other = _columns(frame, name, base, images, prefix="holdout/", **how, **optional)
    other["valid"] = np.ones(len(other["item"]), dtype=bool)
    if type(raw["data"]) is not type(other["data"]):
        raise InputError(f"{name}: the hold-out's items are not of the kind of the training items")
    if raw["data"] is None:
        data: Data | None = None
    elif isinstance(raw["data"], Images):
        data = Images.join(raw["data"], other["data"])
    else:
        lacking = [c for c in raw["data"].columns if c not in other["data"].columns]
        if lacking:
            raise InputError(f"{name}: the hold-out lacks the feature column {lacking[0]!r}")
        own = like_training(other["data"], other["cells"], raw["data"], name)
        data = pd.concat([raw["data"], own], ignore_index=True)
    joined: dict[str, Any] = {"data": data, "left_out": [*raw["left_out"], *other["left_out"]]}
    joined["holdout_name"] = name
    for field in ("item", "given", "valid", "place"):
        joined[field] = np.concatenate([raw[field], other[field]])
    both = set(map(plain_path, raw["item"])) & set(map(plain_path, other["item"]))
    if both:
        raise InputError(
            f"{name}: {count_of(len(both), 'item')} of the hold-out also in training; "
            f"the first is {min(both)}"
        )
    joined["truth"] = None
    if raw["truth"] is not None:
        own = other["truth"] if other["truth"] is not None else other["given"]
        joined["truth"] = np.concatenate([raw["truth"], own])
    joined["group"] = None
    if raw["group"] is not None:
        own = other["group"] if other["group"] is not None else other["item"]
        joined["group"] = np.concatenate([raw["group"], own])
    return joined
