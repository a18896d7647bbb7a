"""Folders of class folders as label tables: what is read, and what is left out and said."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from softfold.data.columns import HOLDOUT_WORDS, TRAIN_WORDS
from softfold.errors import InputError, count_of
from softfold.files import wrong_with

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
_HIDDEN = "hidden"
_MOST_NAMED = 4


def scan_folder(folder: Path) -> pd.DataFrame:
    """Paths, labels and split from `folder/class/...` or `folder/train/class/...`.

    Hidden files and folders (a name that begins with a dot) and what systems leave behind are no
    items. Files that are no images which can be read (.heic, .txt, ...), images that are in no
    class folder, and links to folders are left out, and a warning says how many of which kind. A
    link to a file is read as that file, wherever it is.

    Raises:
        InputError: no images in class folders, a folder that cannot be read.
    """
    files, unread = _files(folder)
    tops = {parts[0] for parts in files if len(parts) > 1}
    splits = {t for t in tops if t.lower() in TRAIN_WORDS | HOLDOUT_WORDS}
    has_split = any(t.lower() in TRAIN_WORDS for t in splits)
    rows, left_out = [], Counter[str]()
    hidden = unread.pop(_HIDDEN, 0)
    seen, classes = set(), set()
    for parts in files:
        suffix = Path(parts[-1]).suffix.lower()
        at = 1 if has_split else 0
        placed = len(parts) > at + 1 and (not has_split or parts[0] in splits)
        if placed:
            seen.add(parts[at])
        if suffix not in IMAGE_SUFFIXES:
            left_out[suffix or "without a suffix"] += 1
        elif not placed:
            left_out["in no class folder"] += 1
        else:
            classes.add(parts[at])
            held = has_split and parts[0].lower() in HOLDOUT_WORDS
            rows.append(("/".join(parts), parts[at], held))
    left_out.update(unread)
    if hidden:
        left_out[_HIDDEN] = hidden
    if not rows:
        raise InputError(
            f"{folder}: no images in class folders (want {folder}/CLASS/image.jpg)"
            + (f"; left out: {_counted(left_out)}" if left_out else "")
        )
    if left_out:
        _say(folder, left_out, sorted(seen - classes))
    frame = pd.DataFrame(rows, columns=["path", "label", "is_valid"])
    return frame if has_split else frame.drop(columns="is_valid")


def all_are_images(paths: Iterable[str | Path | None], name: str) -> bool:
    """Whether all paths are images that are there; a warning where some are and others are not."""
    here = [(str(path), _is_image(str(path))) for path in paths]
    absent = [path for path, is_image in here if not is_image]
    if 0 < len(absent) < len(here):
        warnings.warn(
            f"{name}: {count_of(len(absent), 'path is', 'paths are')} no image that is there; the "
            f"first is {absent[0]}: items are known by their names, and none is shown",
            stacklevel=2,
        )
    return not absent


def _is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES and os.path.isfile(path)


def image_files(folder: Path) -> list[Path]:
    """The image files below a folder in order of their names; a warning says what is left out."""
    files, left_out = _files(folder)
    found = []
    for parts in files:
        suffix = Path(parts[-1]).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            found.append(folder.joinpath(*parts))
        else:
            left_out[suffix or "without a suffix"] += 1
    if left_out:
        _say(folder, left_out, [])
    return found


def _files(folder: Path) -> tuple[list[tuple[str, ...]], Counter[str]]:
    """The parts of every file's path below the folder, in order; what else there is, by kind."""
    shown, rest = [], Counter[str]()
    for root, folders, names in os.walk(folder, onerror=_refuse):
        above = Path(root).relative_to(folder).parts
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        for name in [*names, *links]:
            parts = (*above, name)
            if any(p.startswith(".") or p in _SYSTEM_FOLDERS for p in parts):
                rest[_HIDDEN] += 1
            elif name.lower() in _SYSTEM_FILES:
                continue
            elif name in links:
                rest["linked to a folder"] += 1
            elif wrong_with(os.path.join(root, name)) is None:
                shown.append(parts)
            else:
                linked = os.path.islink(os.path.join(root, name))
                rest["linked to nothing" if linked else "no regular file"] += 1
    return sorted(shown, key=lambda parts: Path(*parts)), rest


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be read: {error.strerror}")


def _say(folder: Path, left_out: Counter[str], lost: list[str]) -> None:
    line = (
        f"{folder}: {count_of(sum(left_out.values()), 'file was', 'files were')} left out: "
        f"{_counted(left_out)}"
    )
    if any(kind in left_out for kind in (".heic", ".heif", ".avif")):
        line += " (save such photos as JPEG or PNG)"
    if lost:
        count = count_of(len(lost), "class folder has", "class folders have")
        line += f"; {count} no image that can be read and {'is' if len(lost) == 1 else 'are'} "
        line += f"no class; the first is {lost[0]!r}"
    warnings.warn(line, stacklevel=2)


def _counted(kinds: Counter[str]) -> str:
    common = kinds.most_common(_MOST_NAMED)
    rest = sum(kinds.values()) - sum(n for _, n in common)
    parts = [f"{n:,} {kind}" for kind, n in common]
    return ", ".join([*parts, f"{rest:,} others"] if rest else parts)
