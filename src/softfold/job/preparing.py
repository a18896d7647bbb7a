"""What stands between a label table and its folds: decisions, copies, groups, the hold-out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.align import find
from softfold.data.folds import draw_holdout
from softfold.data.grouping import copies_of, groups_of_pairs, merge_groups
from softfold.data.item_features import ItemFeatures
from softfold.data.leaving_out import MEND, NO_TEXT, LeftOut, note_of, refusal, shown
from softfold.data.lookalikes import about_names
from softfold.data.table import LabelTable, empty_texts
from softfold.decisions.applying import apply_decisions, holdout_beside
from softfold.errors import InputError, count_of
from softfold.job.near_copies import near_pairs
from softfold.pixels.images import Images
from softfold.runs.settings import Settings

OF_RUN = "the run was made with them, so bring them back or make another"


def prepare_items(
    table: LabelTable,
    settings: Settings,
    decisions: pd.DataFrame | None = None,
    *,
    of_run: bool = False,
    features: ItemFeatures | None = None,
    measured: bool = True,
) -> tuple[LabelTable, list[str], np.ndarray]:
    """Apply decisions, refuse or leave out what cannot be used, find copies, draw the hold-out.

    Args:
        table: the label table as it was read.
        settings: of the job.
        decisions: what people decided.
        of_run: the table is that of a run, from which nothing can be left out any more; its
            hold-out is that of the run.
        features: of the items, made elsewhere. Items of which nothing else is known are copies
            where their features are the same.
        measured: whether a comparison will be measured, so that a hold-out is drawn where the
            table has none.

    Returns:
        The table, notes that say what was done, and (n,) groups of the training items whose
        members share a fold.
    """
    notes: list[str] = []
    if decisions is not None:
        table = apply_decisions(table, decisions)
    table = only_usable(table, "stop" if of_run else settings.on_error, of_run=of_run)
    if table.left_out:
        notes.append(note_of(table.left_out))
    notes += about_names(table.vocab, table.class_counts)
    own = features if table.data is None else None
    by_features = own is not None
    copies = copies_of(table if own is None else own.on(table))
    if settings.group_near_copies and (by_features or table.kind in ("image", "text")):
        pairs = near_pairs(table, settings, features)
        notes.append(
            f"{count_of(len(pairs), 'pair of near copies', 'pairs of near copies')} by "
            f"{'their words' if table.kind == 'text' else 'features'}; near copies share a fold"
        )
        copies = merge_groups(copies, groups_of_pairs(pairs, len(table)), n=len(table))
    repeated = len(copies) - len(np.unique(copies))
    if repeated and not settings.group_near_copies:
        what = {"image": "image", "text": "text", "table": "row"}.get(table.kind, "item")
        notes.append(
            f"{count_of(repeated, f'{what} is an exact copy', f'{what}s are exact copies')} of "
            "another; copies share a fold"
        )
    if table.kind == "table" and 2 * repeated > len(table):
        notes.append(
            "most rows have all their values in common with others, and no row is predicted by a "
            "model that saw such a row: add columns that tell the items apart, if there are any"
        )
    drawn = measured and not of_run and not table.valid.any()
    if drawn:
        table, how = _with_holdout(table, settings, copies)
        notes += how
    copy = "a near copy" if settings.group_near_copies else "an exact copy"
    for what in (copy, "another item of their group"):
        group = copies if what == copy else table.group
        if group is None:
            continue
        group = merge_groups(group, n=len(table))
        shared = ~table.valid & np.isin(group, np.unique(group[table.valid]))
        if shared.any():
            first = shown(table.item[int(np.argmax(shared))])
            notes.append(
                f"{count_of(int(shared.sum()), 'training item has', 'training items have')} {what} "
                f"in the hold-out and were left out of training; the first is {first}"
            )
            table = table.take(~shared)
            copies = copies[~shared]
    known = table.truth is not None and (table.truth[table.valid] >= 0).any()
    if table.valid.any() and not known:
        wrong = "both are too low and their difference too small"
        if drawn:
            notes.append(
                "accuracies are against the given labels of the hold-out: where they are wrong, "
                f"{wrong}; --valid or --holdout names items whose labels were checked"
            )
        else:
            notes.append(
                "accuracies are against the given labels of the hold-out: unless those were "
                f"checked, some may be wrong, and then {wrong}"
            )
    return table, notes, copies[~table.valid]


def _with_holdout(
    table: LabelTable, settings: Settings, copies: np.ndarray
) -> tuple[LabelTable, list[str]]:
    """The table with a hold-out: that of the run that was reviewed, else one drawn; and notes."""
    source = settings.decisions
    before = None if source is None else holdout_beside(source)
    kept = find([] if before is None else before, table.item) >= 0
    notes = []
    if source is not None and before is not None and kept.any():
        table = replace(table, valid=kept)
        gone = len(before) - int(kept.sum())
        less = f", less {count_of(gone, 'item that is', 'items that are')} not here" if gone else ""
        notes.append(
            f"no split given: the hold-out is that of {Path(source).name}, whose "
            f"decisions these are{less}"
        )
    else:
        table = draw_holdout(table, groups=copies)
        notes.append(
            "no split given: a stratified fifth of the items was drawn as the hold-out, the same "
            "for every seed"
        )
        if source is not None and before is None:
            notes.append(
                "a file of decisions does not say which hold-out their run had, so that this one "
                "may be another: --decisions RUN, with the run's folder, keeps it"
            )
        elif before is not None and len(before):
            notes.append(
                "no item of the hold-out of the run that was reviewed is here, so that this one is "
                "another: give that run's --holdout"
            )
    if settings.annotator is not None:
        notes.append("the hold-out's labels are those that most annotators gave")
    return table, notes


def only_usable(table: LabelTable, on_error: str, *, of_run: bool = False) -> LabelTable:
    """The table without images that do not decode and texts that are empty.

    Raises:
        InputError: there are such items, or some that were left out on reading, and `on_error` is
            not `skip`; all of them at once.
    """
    broken: dict[int, str] = dict.fromkeys(empty_texts(table.data).tolist(), NO_TEXT)
    if isinstance(table.data, Images):
        from softfold.pixels.copies import broken_images

        broken = broken_images(table.data)
    if not broken and not table.left_out:
        return table
    labels = table.written("given")
    found = [LeftOut(table.item[i], why, label=str(labels[i])) for i, why in broken.items()]
    left_out = [*table.left_out, *found]
    if on_error != "skip":
        advice = OF_RUN if of_run else f"{MEND}; --on-error skip goes on without them"
        raise refusal(table.name, left_out, len(table) + len(table.left_out), advice)
    kept = table.take(np.setdiff1d(np.arange(len(table)), list(broken)))
    if not (~kept.valid).any():
        raise refusal(table.name, left_out, len(table) + len(table.left_out))
    lost = {each.label for each in left_out if each.label} if not table.multi_label else set()
    lost -= {table.vocab[k] for k in np.flatnonzero(kept.class_counts)}
    if lost:
        first = min(lost)
        one = next(each for each in left_out if each.label == first)
        raise InputError(
            f"{table.name}: {count_of(len(lost), 'class has', 'classes have')} no training item "
            f"that can be used; the first is {first!r} ({one.shown}: {one.reason}): {MEND}"
        )
    return replace(kept, left_out=tuple(left_out))
