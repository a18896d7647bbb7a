"""Items that cannot be used: refused all at once, or left out and listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from softfold.data.columns import missing_names
from softfold.data.places import place_name, places_of
from softfold.errors import InputError, count_of
from softfold.files import NO_FILE, wrong_with

if TYPE_CHECKING:
    from softfold.pixels.images import Images

ON_ERROR = ("stop", "skip")
"""What to do about items that cannot be used: name them all and stop, or go on without them."""

SKIPPED = "skipped.csv"
"""The file of a run that lists them."""

NO_TEXT = "the text is empty"

MEND = "mend them or drop their rows"
MOST_NAMED = 10
_MOST_CHARACTERS = 300
_FROM_0 = " (counted from 0)"


class LeftOut(NamedTuple):
    """An item that cannot be used.

    `item` is its key, or where it has none its row in the table; `file` is the file that was looked
    for and is not there; `label` its given label, where it has one; `place` where an item without a
    key of its own stands, in words, if that is not the row.
    """

    item: str
    reason: str
    file: str = ""
    label: str = ""
    place: str = ""

    @property
    def shown(self) -> str:
        """What the item is called in a line of text."""
        return self.place or shown(self.item)

    @property
    def _in_short(self) -> str:
        return self.shown.removesuffix(_FROM_0)


def refusal(name: str, broken: Sequence[LeftOut], n: int, advice: str = MEND) -> InputError:
    """One line that names the first `MOST_NAMED` of the broken ones among n items, and counts all.

    >>> str(refusal("notes.csv", [LeftOut("4", NO_TEXT), LeftOut("7", NO_TEXT)], 9))
    'notes.csv: 2 of 9 items cannot be used: row 4, row 7 (the text is empty): mend them or drop \
their rows (rows count from 0)'
    """
    named: dict[str, list[str]] = {}
    for each in broken[:MOST_NAMED]:
        named.setdefault(each.reason, []).append(each._in_short)
    text = "; ".join(f"{', '.join(items)} ({reason})" for reason, items in named.items())
    if len(broken) > MOST_NAMED:
        text += f"; and {len(broken) - MOST_NAMED:,} more"
    if any(each.shown.endswith(_FROM_0) for each in broken[:MOST_NAMED]):
        advice += " (rows count from 0)"
    lost = next((each for each in broken if each.file), None)
    if lost is not None:
        advice += (
            f" ({shown(lost.item)} would be {shown(lost.file)}: is --images the folder the paths "
            "start from?)"
        )
    return InputError(
        f"{name}: {len(broken):,} of {count_of(n, 'item')} cannot be used: {text}: {advice}"
    )


def note_of(broken: Sequence[LeftOut], where: str | None = SKIPPED) -> str:
    """What the terminal and the report say of items that were left out; `where` lists them."""
    first, listed = broken[0], "" if where is None else f" ({where})"
    return (
        f"{count_of(len(broken), 'item')} cannot be used and {'is' if len(broken) == 1 else 'are'} "
        f"left out{listed}; the first is {first.shown}: {first.reason}"
    )


def shown(item: str) -> str:
    """An item's key in a line of text: its row where it has no other, odd signs escaped.

    >>> shown("a.png"), shown("7"), shown("a\\nb, c")
    ('a.png', 'row 7 (counted from 0)', "'a\\\\nb, c'")
    """
    if item.isascii() and item.isdecimal():
        return f"row {item}{_FROM_0}"
    if len(item) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        item = f"{item[:half]}…{item[-half:]}"
    plain = item.isprintable() and item == item.strip() and not set(item) & set(",;()\"'")
    return item if plain else repr(item)


def as_frame(broken: Iterable[LeftOut]) -> pd.DataFrame:
    """Columns item and reason, as skipped.csv has them."""
    rows = [(each.item, each.reason) for each in broken]
    return pd.DataFrame(rows, columns=["item", "reason"], dtype=object)


def whole_rows(
    frame: pd.DataFrame, label: str, path: str | None, keys: np.ndarray, of: str | None = None
) -> tuple[pd.DataFrame, list[LeftOut]]:
    """The rows that have a label and, of images, a path or bytes; and the others.

    keys: (n,) str, what the rows are known by where it is not by a path.
    of: the file that their lines are of, "" where that need not be said; None where keys say more.
    """
    reason = np.full(len(frame), None, dtype=object)
    reason[missing_names(frame[label])] = f"no label in {label!r}"
    in_files, lost = False, np.zeros(len(frame), dtype=bool)
    if path is not None:
        lost = missing_names(frame[path])
        reason[lost] = f"nothing in {path!r}"
        in_files = any(isinstance(value, str) for value in frame[path])
    broken = np.flatnonzero(reason)
    if not len(broken):
        return frame, []
    left_out, places = [], places_of(frame)
    for row in broken:
        named = in_files and not lost[row]
        key = str(frame[path].iloc[row]) if named else keys[row]
        place = "" if named or of is None else place_name(places[row], of)
        left_out.append(LeftOut(key, reason[row], place=place))
    return frame[reason == None], left_out  # noqa: E711  (an array of objects)


def rows_with(frame: pd.DataFrame, path: str) -> tuple[pd.DataFrame, list[LeftOut]]:
    """The rows that hold something in the column `path`; and the others."""
    lost = missing_names(frame[path])
    places, reason = places_of(frame), f"nothing in {path!r}"
    left_out = [LeftOut(str(i), reason, place=place_name(places[i])) for i in np.flatnonzero(lost)]
    return (frame[~lost] if left_out else frame), left_out


def lost_files(images: Images) -> dict[int, LeftOut]:
    """The rows whose file is not there."""
    problems = ((i, images.path(i)) for i in range(len(images)))
    found = ((i, str(path), wrong_with(path)) for i, path in problems if path is not None)
    return {
        i: LeftOut("", problem, path if problem == NO_FILE else "")
        for i, path, problem in found
        if problem is not None
    }
