"""What one item looks like to a person: a small picture, its text, or its columns."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from softfold.data.table import LabelTable, text_column
from softfold.errors import count_of
from softfold.pixels.decoding import open_image
from softfold.pixels.images import Images
from softfold.runs.folder import Run

MAX_TEXT = 600
MAX_COLUMNS = 12


def thumbnail(encoded: bytes, size: int) -> bytes | None:
    """The image as WebP whose longer side is `size` pixels; None where it does not decode.

    What is shown is what a network is trained on: see `softfold.pixels.decoding.open_image`.
    Tiny images (digits are 8 x 8) are enlarged without smoothing, so that pixels stay pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = open_image(encoded, size)
    except OSError:
        return None
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    small = max(picture.size) <= 64
    if scale < 1 or small:
        resample = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
        picture = picture.resize((width, height), resample)
    out = io.BytesIO()
    picture.save(out, format="WEBP", quality=76, method=3)
    return out.getvalue()


def data_uri(webp: bytes) -> str:
    """A picture inside a page.

    >>> data_uri(b"abc")
    'data:image/webp;base64,YWJj'
    """
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


class Looks:
    """How the items of a run look, by row of `items`.

    `kind` is "image", "text", "table" or "labels" (nothing but the key is known); `missing` says
    in one line why nothing can be shown, where that is so.
    """

    def __init__(self, table: LabelTable | None, missing: str | None = None) -> None:
        self.data: Any = None if table is None else table.data
        self.missing = missing
        self.kind: str
        if isinstance(self.data, Images):
            self.kind = "image"
        elif isinstance(self.data, pd.DataFrame):
            self.kind = "table" if text_column(self.data) is None else "text"
        else:
            self.kind = "labels"

    @classmethod
    def of(cls, run: Run) -> Looks:
        """Find the items of a run where its config says they are."""
        warn_of_lost_pictures(run)
        try:
            table = run.table()
        except (OSError, ValueError, KeyError, TypeError) as error:
            return cls(None, f"The items themselves could not be opened: {error}")
        return cls(table)

    def picture(self, row: int, size: int) -> bytes | None:
        """The item's picture as WebP, None where it has none or it does not decode."""
        if self.kind != "image":
            return None
        try:
            return thumbnail(self.data[row], size)
        except OSError:
            return None

    def text(self, row: int, limit: int = MAX_TEXT) -> str | None:
        """The item's text, cut to `limit` characters."""
        if self.kind != "text":
            return None
        text = str(self.data.iat[row, 0])
        return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"

    def columns(self, row: int, limit: int = MAX_COLUMNS) -> list[tuple[str, str]] | None:
        """The item's first columns with their values as text."""
        if self.kind != "table":
            return None
        values = self.data.iloc[row, :limit]
        return [(str(name), _value(value)) for name, value in values.items()]


def picture_files(run: Run) -> list[str]:
    """The image files of a run's items, where they were or in the folder that was said."""
    items = run.get("items")
    if items is None or "file" not in items:
        return []
    return [file for file in items["file"] if isinstance(file, str)]


def warn_of_lost_pictures(run: Run) -> None:
    """Say in one line how many pictures are not found, and what to do."""
    files = picture_files(run)
    lost = [file for file in files if not Path(file).is_file()]
    if lost:
        warnings.warn(lost_in_words(run, lost, len(files)), stacklevel=3)


def lost_in_words(run: Run, lost: list[str], n_files: int) -> str:
    """What is said of pictures that are not found."""
    return (
        f"{run.path}: {len(lost):,} of {count_of(n_files, 'picture')} not found; the first is "
        f"{lost[0]}: say with --images DIR (images=) in which folder they are now"
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"
