"""Features that a job was given: out of the file that its settings name, or out of the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from softfold.data.item_features import ItemFeatures, read_item_features
from softfold.errors import InputError
from softfold.runs.settings import Settings

if TYPE_CHECKING:
    from softfold.data.table import LabelTable
    from softfold.runs.folder import Run

FEATURES = "features.safetensors"
"""The run's own copy: the features of its items, in the order of items.parquet."""


def features_for(settings: Settings, table: LabelTable | None) -> ItemFeatures | None:
    """The features that the settings name, None where they name none.

    Args:
        settings: of the job.
        table: the label table as it was read, whose order a .npy file has; None where it is not
            known any more.

    Raises:
        InputError: see `read_item_features`; a .npy file, and rows that are not those of the table.
    """
    if settings.features is None:
        return None
    file = settings.features
    if not file.lower().endswith(".npy"):
        return read_item_features(file)
    if settings.annotator is not None:
        raise InputError(
            f"--features {file}: labels of several annotators have no row an item; give a .parquet "
            "or .safetensors file, which has item keys"
        )
    if table is not None and table.left_out:
        raise InputError(
            f"--features {file}: {len(table.left_out):,} rows of the labels cannot be used, so "
            "that rows cannot be counted; give a .parquet or .safetensors file, which has item keys"
        )
    return read_item_features(file, None if table is None else table.item)


def known_features(run: Run, trainer_settings: dict[str, Any]) -> ItemFeatures | None:
    """The features that a trainer of a run was given; None where it was given none.

    Raises:
        InputError: they are not what they were.
    """
    wanted = trainer_settings.get("features")
    if wanted is None:
        return None
    tried = []
    if run.has(FEATURES):
        tried.append(read_item_features(run.file(FEATURES)))
    settings = run.settings
    if settings.features is not None and Path(settings.features).is_file():
        table = settings.read_labels(on_error="skip") if settings.can_be_read else None
        found = features_for(settings, table)
        if found is not None:
            tried.append(found.take(run.items["item"]))
    for features in tried:
        if features.digest == wanted:
            return features
    raise InputError(
        f"{run.path}: the features that the run was made with are gone or are others now "
        f"({settings.features}): bring them back, or make another run"
    )
