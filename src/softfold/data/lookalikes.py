"""Class names to look at: `cat` beside ` cat`, `Cat` and other scripts' letters, `#REF!`, `"cat"`.

They stay the classes that they are written as, since only a person can say whether they are one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from softfold.data.columns import NO_NUMBER
from softfold.errors import count_of

_LATIN = str.maketrans(
    # Cyrillic, then Greek letters, that look like the Latin ones (Unicode TR 39, confusables)
    "авекмнорстухіјѕԁһԛԝҽо" + "αβεηικνορτυχγω",
    "abekmhopctyxijsdhqweo" + "abenikvoptuxyw",
)
_ERROR = re.compile(r"#[¡¿]?[A-ZÀ-Ý][A-ZÀ-Ý0-9/_]*[!?]|#N/[AD]|#NV|Err:\d{3}")
"""What spreadsheets write where they could not compute, in English and in other languages."""

_NEVER_SHOWN = {"Cf", "Cc"}
_MOST_NAMED = 5


class LookAlikes(UserWarning):
    """Class names that a person should look at."""


def look_alikes(names: Iterable[str], counts: Iterable[int]) -> list[str]:
    """A line for every set of class names that may be one class, most items first.

    Two names look alike where nothing differs but blanks, quotes around them, hyphens, capitals,
    signs that are not shown, leading zeros, and letters that look the same in Latin, Cyrillic and
    Greek.

    >>> look_alikes(["cat", "Cat", "dog"], [120, 3, 99])
    ["'cat' (120), 'Cat' (3)"]
    """
    alike: dict[str, list[tuple[int, str]]] = {}
    for name, count in zip(names, counts, strict=True):
        alike.setdefault(_looks(name), []).append((int(count), name))
    sets = [
        sorted(found, key=lambda f: (-f[0], f[1])) for found in alike.values() if len(found) > 1
    ]
    sets.sort(key=lambda found: -sum(count for count, _ in found))
    return [", ".join(f"{_shown(name)} ({count:,})" for count, name in found) for found in sets]


def about_names(names: Iterable[str], counts: Iterable[int]) -> list[str]:
    """What a person should know of a table's class names, a line a point; empty where all is well.

    >>> about_names(["cat", " cat"], [5, 1])
    ["1 class is written in several ways, and each counts as its own: 'cat' (5), ' cat' (1)"]
    """
    names, counts = list(names), [int(c) for c in counts]
    lines = []
    alike = look_alikes(names, counts)
    if alike:
        shown = "; ".join(alike[:_MOST_NAMED])
        more = f"; and {len(alike) - _MOST_NAMED:,} more" if len(alike) > _MOST_NAMED else ""
        lines.append(
            f"{count_of(len(alike), 'class is', 'classes are')} written in several ways, and each "
            f"counts as its own: {shown}{more}"
        )
    for fits, what in _ODD:
        odd = sorted(((c, n) for n, c in zip(names, counts, strict=True) if fits(n)), reverse=True)
        if odd:
            shown = ", ".join(f"{n!r} ({c:,})" for c, n in odd[:_MOST_NAMED])
            more = f" and {len(odd) - _MOST_NAMED:,} more" if len(odd) > _MOST_NAMED else ""
            lines.append(f"{shown}{more}: {what}")
    return lines


def _is_absent(name: str) -> bool:
    return name.strip() in NO_NUMBER


def _is_error(name: str) -> bool:
    return not _is_absent(name) and _ERROR.fullmatch(name.strip()) is not None


def _is_unseen(name: str) -> bool:
    return all(c.isspace() or unicodedata.category(c) in _NEVER_SHOWN for c in name)


def _is_quoted(name: str) -> bool:
    bare = name.strip()
    return len(bare) > 2 and bare[0] == bare[-1] == '"'


_ODD = (
    (
        _is_absent,
        "taken for the name of a class; if it means that the label is missing, leave the cell "
        "empty or drop the rows",
    ),
    (
        _is_error,
        "what a spreadsheet writes where it finds no value, taken for the name of a class; mend "
        "the cells, leave them empty or drop the rows",
    ),
    (
        _is_unseen,
        "taken for the name of a class, and nothing of it is seen; if the label is missing, leave "
        "the cell empty or drop the rows",
    ),
    (
        _is_quoted,
        "the quotes are part of the name of the class; in a text file no blank may stand between "
        "a delimiter and a quote",
    ),
)


def _looks(name: str) -> str:
    bare = name.strip()
    if _is_quoted(name):
        bare = bare[1:-1]
    flat = unicodedata.normalize("NFKC", bare).casefold()
    flat = "".join(c for c in flat if unicodedata.category(c) not in _NEVER_SHOWN or c.isspace())
    flat = " ".join(re.sub(r"(?<=\w)[-_](?=\w)", " ", flat.translate(_LATIN)).split())
    number = re.fullmatch(r"0*([0-9]+?)(\.0*)?", flat)
    return number[1] if number else flat


def _shown(name: str) -> str:
    """The name in quotes; where its letters are of other scripts, with their code points."""
    odd = sorted({f"U+{ord(c):04X}" for c in name if not c.isascii()})
    return f"{name!r} with {', '.join(odd[:3])}" if odd else repr(name)
