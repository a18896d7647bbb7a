"""Folders of class folders as label tables: what is read, and what is left out and said."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from softfold.data.columns import HOLDOUT_WORDS, TRAIN_WORDS
from softfold.errors import InputError, count_of

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
_MOST_NAMED = 4


def scan_folder(folder: Path) -> pd.DataFrame:
    """Paths, labels and split from `folder/class/...` or `folder/train/class/...`.

    Hidden files and folders (a name that begins with a dot) and what systems leave behind are no
    items. Files that are no images which can be read (.heic, .txt, ...), and images that are in
    no class folder, are left out, and a warning says how many of which kind.

    Raises:
        InputError: no images in class folders.
    """
    files, hidden = _files(folder)
    tops = {parts[0] for parts in files if len(parts) > 1}
    splits = {t for t in tops if t.lower() in TRAIN_WORDS | HOLDOUT_WORDS}
    has_split = any(t.lower() in TRAIN_WORDS for t in splits)
    rows, left_out = [], Counter[str]()
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
    if hidden:
        left_out["hidden"] = hidden
    if not rows:
        raise InputError(
            f"{folder}: no images in class folders (want {folder}/CLASS/image.jpg)"
            + (f"; left out: {_counted(left_out)}" if left_out else "")
        )
    if left_out:
        _say(folder, left_out, sorted(seen - classes))
    frame = pd.DataFrame(rows, columns=["path", "label", "is_valid"])
    return frame if has_split else frame.drop(columns="is_valid")


def image_files(folder: Path) -> list[Path]:
    """The image files below a folder in order of their names, hidden ones left out."""
    files, _ = _files(folder)
    return [folder.joinpath(*p) for p in files if Path(p[-1]).suffix.lower() in IMAGE_SUFFIXES]


def _files(folder: Path) -> tuple[list[tuple[str, ...]], int]:
    """The parts of every regular file's path below the folder, in order; how many are hidden."""
    shown, hidden = [], 0
    for file in _below(folder):
        parts = file.relative_to(folder).parts
        if any(p.startswith(".") or p in _SYSTEM_FOLDERS for p in parts):
            hidden += 1
        elif parts[-1].lower() not in _SYSTEM_FILES:
            shown.append(parts)
    return sorted(shown, key=lambda parts: Path(*parts)), hidden


def _below(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


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
