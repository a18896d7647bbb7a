"""Near copies of a job: which there are, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from softfold.data.item_features import ItemFeatures
from softfold.data.leaving_out import shown
from softfold.data.table import LabelTable
from softfold.data.texts import near_texts
from softfold.errors import InputError, count_of
from softfold.files import write_parquet
from softfold.job.job import Job
from softfold.runs.settings import Settings
from softfold.trainers import create_trainer

NO_INDEX = (
    "near copies were not looked for among {}, for lack of an index: pip install 'softfold[index]'"
)


def near_pairs(
    table: LabelTable, settings: Settings, features: ItemFeatures | None = None
) -> np.ndarray:
    """(P, 2) rows of items whose features are close, or of texts that share most words.

    Raises:
        InputError: too many items for comparing all, and no index.
    """
    if table.kind == "text":
        return near_texts(table.frame.iloc[:, 0])[0]
    from softfold.vision.near_copies import can_be_compared, near_copies

    if not can_be_compared(len(table), asked=True):
        raise InputError(
            f"--group-near-copies: {count_of(len(table), table.kind)} are too many to compare each "
            "with all others: pip install 'softfold[index]' finds the near ones by an index"
        )
    asked = {s: getattr(settings, s) for s in ("arch", "weights", "size", "device")}
    probe = create_trainer("probe", features=features, **asked)
    probe.prepare(table)
    known = probe.features(table)
    assert known is not None
    return near_copies(known)[0]


def note_near_copies(job: Job) -> list[str]:
    """Name near copies that different folds or the hold-out could share; they stay there."""
    table, by = job.table, "features"
    if job.settings.group_near_copies:
        return []
    if job.features is not None:
        return []  # how close copies are in features that others made is not known
    if table.kind == "text":
        pairs, similarity = near_texts(table.frame.iloc[:, 0])
        by = "their words"
    else:
        features = job.oof_trainer.features(table) if table.kind == "image" else None
        if features is None:
            return []
        from softfold.vision.near_copies import can_be_compared, near_copies

        if not can_be_compared(len(table)):
            return job.note(NO_INDEX.format(count_of(len(table), "image")))
        pairs, similarity = near_copies(features)
    if not len(pairs):
        return []
    across = int((table.valid[pairs[:, 0]] != table.valid[pairs[:, 1]]).sum())
    a, b = map(shown, table.item[pairs[0]])
    line = (
        f"{count_of(len(pairs), 'pair of near copies', 'pairs of near copies')} by {by}, "
        f"{across:,} of them between training and hold-out; the closest: {a} and {b} "
        f"({similarity[0]:.3f}); --group-near-copies keeps them together"
    )
    return job.note(line, *_conflicts(job, pairs))


def _conflicts(job: Job, pairs: np.ndarray) -> list[str]:
    """Lines on copies with different labels among pairs (P, 2) of rows, which the run keeps."""
    table = job.table
    if table.multi_label:
        return []  # copies differ in a class or two: the list of issues has them
    pairs = pairs[table.given[pairs[:, 0]] != table.given[pairs[:, 1]]]
    if not len(pairs):
        return []
    a, b = pairs.T
    names = np.asarray(table.vocab, dtype=object)
    columns = {"item": table.item[a], "given": names[table.given[a]]}
    columns |= {"copy": table.item[b], "copy_given": names[table.given[b]]}
    frame = pd.DataFrame(columns)
    with job.writer.writing("conflicting_copies.parquet") as file:
        write_parquet(file, frame)
    first = frame.iloc[0]
    several = "pairs of near copies have"
    return [
        f"{count_of(len(frame), 'pair of near copies has', several)} different labels, so that one "
        "of each is probably wrong (conflicting_copies.parquet); the first: "
        f"{shown(first['item'])} is {first['given']}, {shown(first['copy'])} is "
        f"{first['copy_given']}"
    ]
