"""A table with one row a vote, as the settings of a job name it: its label table and its votes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from softfold.data.finding import LABEL_NAMES, PATH_NAMES, usual_column
from softfold.data.frames import set_name
from softfold.data.reading import read_table
from softfold.data.table import LabelTable
from softfold.runs.settings import Settings
from softfold.votes.reading import ITEM_NAMES, Votes, one_row_an_item

_CHECKED = "checked label"


def read_voted(settings: Settings, on_error: Literal["stop", "skip"] = "stop") -> LabelTable:
    """The label table: what most annotators say of an item, or what was checked.

    Items with a checked label and no vote are the hold-out, where no other is named; their label
    is their truth.
    """
    frame, _ = _items_and_votes(settings)
    valid, truth = settings.valid, settings.truth
    if valid is None and settings.holdout is None and "is_valid" not in frame:
        checked = (frame["votes"] == 0) & frame["checked"]
        if checked.any():
            valid = "is_valid"
            frame["is_valid"] = checked
            if truth is None:
                truth = _CHECKED
                frame[_CHECKED] = frame[_label_column(settings, frame)].where(checked, None)
    item = _item_column(settings, frame)
    folder = Path(settings.images or Path(str(settings.labels)).parent)
    pictures = (
        settings.images is not None
        or item in PATH_NAMES
        or (len(frame) > 0 and (folder / str(frame[item].iloc[0])).is_file())
    )
    frame = frame.drop(columns=["votes", "checked"])
    set_name(frame, Path(str(settings.labels)).name)
    return read_table(
        frame,
        images=str(folder) if pictures else None,
        path=item if pictures else None,
        item=None if pictures else item,
        label=settings.label,
        valid=valid,
        truth=truth,
        group=settings.group,
        holdout=settings.holdout,
        holdout_label=settings.holdout_label,
        names=settings.names,
        keys_are_enough=settings.features is not None,
        on_error=on_error,
    )


def read_run_votes(settings: Settings) -> Votes:
    """The votes; not those on checked items, whose label is final."""
    frame, votes = _items_and_votes(settings)
    item = _item_column(settings, frame)
    return votes.of(frame.loc[~frame["checked"], item].astype(str).to_numpy(dtype=object))


def _items_and_votes(settings: Settings) -> tuple[pd.DataFrame, Votes]:
    return one_row_an_item(
        str(settings.labels),
        annotator=str(settings.annotator),
        item=settings.path,
        label=settings.label,
    )


def _item_column(settings: Settings, frame: pd.DataFrame) -> str:
    return settings.path or str(usual_column(frame, ITEM_NAMES))


def _label_column(settings: Settings, frame: pd.DataFrame) -> str:
    return settings.label or str(usual_column(frame, LABEL_NAMES))
