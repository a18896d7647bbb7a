"""Decisions as a table, one row an item, and the label table that follows from them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.align import find, match_rows
from softfold.data.delimited import read_delimited
from softfold.data.grouping import contents_of
from softfold.data.table import LabelTable
from softfold.decisions.log import LOG, DecisionLog
from softfold.decisions.opinions import replay, standing
from softfold.decisions.questions import of_classes, with_classes
from softfold.errors import InputError, count_of
from softfold.files import read_parquet
from softfold.pixels.images import Images

LEFT_OUT = ("excluded", "none_of_these")
"""States of items that leave the label table."""

CARRIED = "decisions.parquet"
"""The file of a run that has what was decided before it was made."""

_DECIDED = ("confirmed", *LEFT_OUT, "unsure", "conflict")


def read_decisions(
    source: str | Path | pd.DataFrame, *, with_content: bool = False
) -> pd.DataFrame:
    """What was decided, one row an item.

    Args:
        source: a run folder or the log in it (`decisions.sqlite`), a CSV or Parquet file as
            `softfold export` writes it, or a data frame with columns item, state and label. What
            was decided before the run was made carries over: of an item decided again the newer
            decision holds, unless that is unsure, and `given` is the label first given.
        with_content: add what tells that an item is still the one decided on, for decisions that
            are applied to a label table or leave the run. It takes a look at the run's data.

    Returns:
        A frame with item, state (confirmed, none_of_these, excluded, unsure or conflict), label
        (the class of a confirmed item, else None), none_of_these (bool), audited (bool: the item
        was drawn at random and decided without suggestion or suspicion) and, from a log, given,
        suspicion, reviewers and, of a run of rows or texts where it was asked for, content.

        Where items have several labels a row is an item and, in a column of that name, a class;
        given and label are then "yes" or "no".

    Raises:
        InputError: there is no such file, or it holds no decisions.
    """
    if isinstance(source, pd.DataFrame):
        return _checked(source, "decisions")
    path = Path(source)
    run = path if path.is_dir() else path.parent if path.name == LOG else None
    before = None if run is None else carried(run)
    path = path / LOG if path.is_dir() else path
    if before is not None and run is not None:
        frame = _with_carried(before, run)
        return _with_contents(frame, run) if with_content else frame
    if not path.is_file():
        raise InputError(f"{source}: no decisions there (softfold review RUN makes them)")
    if path.suffix.lower() == ".csv":
        return _checked(read_delimited(path), str(source))
    if path.suffix.lower() == ".parquet":
        return _checked(pd.read_parquet(path), str(source))
    frame = logged(path)
    return _with_contents(frame, path.parent) if with_content else frame


def logged(path: str | Path) -> pd.DataFrame:
    """What a log itself holds, without what was decided before its run was made."""
    log = DecisionLog(path, create=False)
    try:
        opinions = replay(log.since())
    finally:
        log.close()
    rows = []
    for item, held in opinions.items():
        state, label = held.outcome()
        if state != "open":
            current = held.current()
            one = next(iter(current.values()))
            who = ", ".join(sorted(current))
            nowhere = state == "none_of_these"
            given, suspicion = one.given, one.suspicion
            rows.append((item, state, label, nowhere, held.audited, given, suspicion, who))
    columns = ["item", "state", "label", "none_of_these", "audited"]
    columns += ["given", "suspicion", "reviewers"]
    frame = pd.DataFrame(rows, columns=columns).astype({"none_of_these": bool, "audited": bool})
    return with_classes(frame)


def carried(run: str | Path) -> pd.DataFrame | None:
    """What was decided before the run was made, None where it was made without decisions."""
    file = Path(run) / CARRIED
    return _checked(read_parquet(file), str(file)) if file.is_file() else None


def decided_before(run: str | Path) -> tuple[list[str], set[str]]:
    """The items that were checked at random before the run was made, and all that were decided.

    Those of which nothing tells the label first given are not among them.
    """
    before = carried(run)
    if before is None:
        return [], set()
    known = before["none_of_these"]
    if "given" in before:
        known = known | ((before["state"] == "confirmed") & before["given"].notna())
    before = before[known]
    return before.loc[before["audited"], "item"].tolist(), set(before["item"])


def _with_carried(before: pd.DataFrame, run: Path) -> pd.DataFrame:
    """What was decided before a run was made, and in its log since."""
    if not (run / LOG).is_file():
        return before
    now, first = logged(run / LOG), before.set_index("item")
    now = now[~now["item"].isin(first.index) | (now["state"] != "unsure")].reset_index(drop=True)
    again = now["item"].isin(first.index)
    for column in ("given", "suspicion"):
        known = first[column] if column in first else pd.Series(np.nan, first.index)
        now[column] = now[column].where(~again, now["item"].map(known))
    now["audited"] |= now["item"].isin(first.index[first["audited"]])
    both = pd.concat([before[~before["item"].isin(now["item"])], now], ignore_index=True)
    _, decided = decided_before(run)
    log = DecisionLog(run / LOG, create=False)
    try:
        drawn = log.drawn()
        states = standing(drawn, replay(log.since()), decided)
    finally:
        log.close()
    reached = [item for item, state in zip(drawn, states) if state == "checked"]
    both["audited"] |= both["item"].isin(decided.intersection(reached))
    return both


def settled(run: str | Path) -> pd.DataFrame:
    """What needs nobody's look any more: decided in the run's log, or before the run was made.

    Returns:
        Columns item and, where items have several labels, class; those that are unsure or in
        conflict are not among them.
    """
    if not has_decisions(run):
        return pd.DataFrame({"item": []}, dtype=object)
    found = read_decisions(run)
    found = found[found["state"].isin(("confirmed", *LEFT_OUT))]
    return found[[c for c in ("item", "class") if c in found]]


def has_decisions(run: str | Path) -> bool:
    """Whether a run has a log of decisions, or was made with some."""
    return any((Path(run) / name).is_file() for name in (CARRIED, LOG))


def holdout_beside(source: str | Path) -> np.ndarray | None:
    """The keys of the hold-out of the run whose decisions these are.

    Args:
        source: a run folder or the log in it.

    Returns:
        object (M,); None of a file of decisions, beside which there is no run.
    """
    path = Path(source)
    items = (path if path.is_dir() else path.parent) / "items.parquet"
    if not items.is_file() or not (path.is_dir() or path.name == LOG):
        return None
    frame = read_parquet(items)
    return frame.loc[frame["split"] == "valid", "item"].to_numpy(dtype=object)


def _with_contents(frame: pd.DataFrame, run: Path) -> pd.DataFrame:
    """The decisions with the content of each item, where the run beside the log has it."""
    if not ((run / "data.parquet").is_file() and (run / "items.parquet").is_file()):
        return frame
    items, data = read_parquet(run / "items.parquet"), read_parquet(run / "data.parquet")
    if set(data.columns) == {"image"}:
        data = Images(encoded=list(data["image"]))
    contents = contents_of(data)
    rows = find(items["item"], frame["item"])
    here = rows >= 0
    # what was left out before the run was made is not in it, and keeps its content of then
    before = frame.get("content", pd.Series(np.nan, frame.index, dtype=object))
    known = here | before.notna().to_numpy()
    if contents is None or len(contents) != len(items) or not known.all():
        return frame.drop(columns="content", errors="ignore")
    return frame.assign(content=np.where(here, contents[rows], before.to_numpy(dtype=object)))


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if "item" not in frame and "path" in frame:
        frame = frame.rename(columns={"path": "item"})
    lacking = [c for c in ("item", "state", "label") if c not in frame]
    if lacking:
        have = ", ".join(map(str, frame.columns[:12]))
        raise InputError(
            f"{name}: no column {lacking[0]!r} of decisions; it has: {have} (softfold export RUN "
            "--format decisions writes such a table)"
        )
    states = frame["state"].astype(str).str.strip().str.lower()
    unknown = ~states.isin((*_DECIDED, "open"))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise InputError(
            f"{name}: {count_of(int(unknown.sum()), 'state')} of decisions unknown; the first "
            f"is {frame['state'].iloc[row]!r}, about {str(frame['item'].iloc[row])!r}: there are "
            f"open, {', '.join(_DECIDED)}"
        )
    frame = frame.assign(state=states)[states != "open"].copy()
    frame["item"] = frame["item"].astype(str)
    frame["none_of_these"] = frame["state"] == "none_of_these"
    said = frame["audited"] if "audited" in frame else pd.Series(False, index=frame.index)
    frame["audited"] = said.astype(str).str.lower().isin(["true", "1"])
    return frame.reset_index(drop=True)


def apply_decisions(table: LabelTable, decisions: str | Path | pd.DataFrame) -> LabelTable:
    """The label table with what people decided.

    A confirmed label takes the place of the given one; an item that is excluded or of none of the
    classes is left out; items that are unsure or in conflict stay as they are.

    Args:
        table: the label table as given; hold-out items are left alone.
        decisions: see `read_decisions`.

    Raises:
        InputError: an item or a class that the table does not have; decisions on items with
            several labels.
    """
    frame = read_decisions(decisions, with_content=True)
    if of_classes(frame):
        raise InputError(
            "decisions: they say whether an item has a class, of items with several labels, and "
            "this is for one label an item; `softfold export RUN` writes these labels as corrected"
        )
    if table.left_out:
        table, frame = _without_left_out(table, frame)
    # what people left out is absent from a table that was exported since
    gone = frame["state"].isin(LEFT_OUT).to_numpy() & (find(table.item, frame["item"]) < 0)
    frame, rows, codes = _matched(table, frame[~gone].reset_index(drop=True))
    _same_items(table, frame, rows)
    confirmed = (frame["state"] == "confirmed").to_numpy()
    given = table.given.copy()
    given[rows[confirmed]] = codes[confirmed]
    keep = np.ones(len(table), dtype=bool)
    keep[rows[frame["state"].isin(LEFT_OUT).to_numpy()]] = False
    keep |= table.valid
    changed = replace(table, given=np.where(table.valid, table.given, given))
    return changed.take(np.flatnonzero(keep))


def _same_items(table: LabelTable, frame: pd.DataFrame, rows: np.ndarray) -> None:
    """Refuse decisions on rows known by their numbers, where other items have these numbers now.

    A few rows that have changed and stand nowhere else may have been mended, and are warned about;
    where most have, nothing tells that they are the same.
    """
    contents = contents_of(table.data)
    by_number = np.array([key.rpartition("/")[2].isdecimal() for key in frame["item"]], bool)
    if contents is None or not by_number.any():
        return
    if "content" in frame:
        before = frame["content"].to_numpy(dtype=object)
        changed = by_number & (contents[rows] != before)
        moved, what = changed & np.isin(before, contents), "stand elsewhere"
        if not moved.any() and 2 * changed.sum() > by_number.sum():
            moved, what = changed, "have other values"
    elif "given" in frame:  # a log without its run
        now = np.asarray(table.vocab, dtype=object)[table.given[rows]]
        changed = moved = by_number & (now != frame["given"]).to_numpy()
        what = "have another given label"
    else:
        warnings.warn(
            f"decisions: {count_of(int(by_number.sum()), 'row')} go by number, and nothing tells "
            f"whether {table.name} has them where they were; `softfold export RUN --format "
            "decisions` writes what does",
            stacklevel=2,
        )
        return
    if moved.any():
        raise InputError(
            f"decisions: {int(moved.sum()):,} of {count_of(len(frame), 'row')} {what} in "
            f"{table.name} than when decided; the first is "
            f"{frame['item'].iloc[int(np.argmax(moved))]!r}: give the file as it was, or one with "
            "a column `item` that names its rows, as `softfold export` writes it"
        )
    if changed.any():
        warnings.warn(
            f"decisions: {count_of(int(changed.sum()), 'row has', 'rows have')} other values in "
            f"{table.name} than when decided; the first is "
            f"{frame['item'].iloc[int(np.argmax(changed))]!r}: the decisions are kept",
            stacklevel=2,
        )


def _without_left_out(table: LabelTable, frame: pd.DataFrame) -> tuple[LabelTable, pd.DataFrame]:
    """What people said of items that cannot be used is void; what they excluded is no loss."""
    gone = set(frame.loc[frame["state"].isin(LEFT_OUT), "item"])
    unusable = {each.item for each in table.left_out} - set(table.item)
    left_out = tuple(each for each in table.left_out if each.item not in gone)
    kept = frame[~frame["item"].isin(unusable)].reset_index(drop=True)
    return replace(table, left_out=left_out), kept


def _matched(table: LabelTable, frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The decisions with the table's row and the class of each; unknown ones are refused."""
    rows = match_rows(
        table.item,
        frame["item"],
        f"not in {table.name}",
        before="decisions: ",
        after=": were they made on another label table?",
    )
    labels = frame["label"].where(frame["state"] == "confirmed", None)
    codes = find(table.vocab, labels)
    unknown = (codes < 0) & (frame["state"] == "confirmed").to_numpy()
    if unknown.any():
        first = frame["label"].iloc[int(np.argmax(unknown))]
        raise InputError(
            f"decisions: {count_of(int(unknown.sum()), 'label')} of a class that {table.name} "
            f"does not have; the first is {first!r}"
        )
    return frame, rows, codes
