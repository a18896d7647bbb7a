"""Labels that look like several: `beach sea`, where `beach` and `sea` are labels too."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

DELIMITERS = (" ", ",", ";", "|")
LEAST_LABELS, CROWDED = 3, 1.25
"""So many labels of several words, and so many labels a word, are what names of classes hardly
have: `golden retriever` and `labrador retriever` need more words than there are names."""


class SeveralLabels(UserWarning):
    """Labels that may be several labels each, and are taken for one."""


def about_several(names: Iterable[str], counts: Iterable[int]) -> str | None:
    """What to say of labels that look like several each; None where they do not.

    They do where many labels are made of few words, and some of these words are labels by
    themselves as well; or where there are thrice as many labels as words.

    >>> about_several(["sea", "sky", "sea sky", "boat sea", "boat sky"], [9, 9, 5, 4, 4])
    "3 labels, such as 'sea sky', are made of 3 words that come again and again, and each is taken \
for a class of its own: if items may have several labels, say --label-delim ' ' (softfold run), or \
softfold.multilabel.read_table(..., label_delim=' ')"
    >>> about_several(["golden retriever", "labrador retriever", "beagle"], [9, 9, 9])
    """
    counted = dict(zip(names, counts, strict=True))
    for delimiter in DELIMITERS:
        parts = {name: split(name, delimiter) for name in counted}
        joint = [name for name, words in parts.items() if len(words) > 1]
        if len(joint) < LEAST_LABELS:
            continue
        words = {word for found in parts.values() for word in found}
        alone = {name for name, found in parts.items() if len(found) == 1}
        used = {word for name in joint for word in parts[name]}
        crowded = len(parts) >= CROWDED * len(words) and bool(alone & used)
        if crowded or len(parts) >= 3 * len(words):
            most = max(joint, key=lambda name: counted[name])
            return (
                f"{len(joint):,} labels, such as {most!r}, are made of {len(used):,} words that "
                "come again and again, and each is taken for a class of its own: if items may have "
                f"several labels, say --label-delim {delimiter!r} (softfold run), or "
                f"softfold.multilabel.read_table(..., label_delim={delimiter!r})"
            )
    return None


def split(label: str, delimiter: str) -> list[str]:
    """The labels in a cell: blanks around them do not count, nor do empty or repeated ones.

    >>> split("sea, sky,,sea", ",")
    ['sea', 'sky']
    """
    return list(dict.fromkeys(w for w in (part.strip() for part in label.split(delimiter)) if w))


def columns_of_several(frame: pd.DataFrame) -> str:
    """What to say where a table without labels has columns of nothing but 0 and 1."""
    found = zero_or_one(frame)
    if len(found) < 2:
        return ""
    return (
        f"; where columns of 0 and 1 such as {str(found[0])!r} say which labels an item has, read "
        "them with softfold.multilabel.read_table"
    )


def zero_or_one(frame: pd.DataFrame) -> list:
    """The columns whose values are all 0 or 1, whatever they are written as."""
    known = {"0", "1", "0.0", "1.0", "true", "false"}
    found = []
    for name in frame.columns:
        kinds = pd.unique(frame[name].map(str) if frame[name].dtype == object else frame[name])
        if len(kinds) <= 4 and all(str(kind).strip().lower() in known for kind in kinds):
            found.append(name)
    return found
