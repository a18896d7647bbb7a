"""What one item looks like to a person: its picture, its text or its columns, or why nothing."""

import io
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from example_runs import digits_run
from small_tables import table_of

from softfold.data.table import LabelTable
from softfold.pixels.images import Images
from softfold.runs.folder import Run
from softfold.runs.looks import Looks, thumbnail

Image = pytest.importorskip("PIL.Image")
from pictures import encode, photo  # noqa: E402


def shown(webp):
    return np.asarray(Image.open(io.BytesIO(webp)).convert("RGB"))


def looks_of(data):
    n = len(data)
    item = np.array([f"i{i}" for i in range(n)], dtype=object)
    table = LabelTable(item, np.arange(n) % 2, ("a", "b"), np.zeros(n, bool), data=data)
    return Looks(table)


@pytest.mark.parametrize(
    ("height", "width", "seen"),
    [
        (200, 400, (50, 100)),
        (400, 200, (100, 50)),
        (8, 8, (100, 100)),  # tiny: enlarged
        (70, 80, (70, 80)),  # neither tiny nor too large
        (2, 600, (1, 100)),  # no side vanishes
    ],
)
def test_the_longer_side_has_the_size_asked_for(height, width, seen):
    webp = thumbnail(encode(photo(height, width)), 100)
    assert webp[:4] == b"RIFF" and shown(webp).shape == (*seen, 3)


def test_tiny_pictures_are_enlarged_without_smoothing():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    large = shown(thumbnail(encode(pixels), 160)).astype(int)
    assert (np.minimum(large, 255 - large) < 40).mean() > 0.97
    assert large[:, :70].max() < 40 and large[:, 90:].min() > 215


def test_broken_and_huge_pictures_are_no_pictures():
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    bomb += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"
    for encoded in (b"", b"no image", bomb, b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        assert thumbnail(encoded, 100) is None


def test_an_image_that_is_gone_or_broken_has_no_picture_and_the_others_have(tmp_path):
    for name, content in (("a.png", encode(photo())), ("b.png", b"no image")):
        (tmp_path / name).write_bytes(content)
    looks = looks_of(Images([tmp_path / name for name in ("a.png", "b.png", "gone.png")]))
    assert looks.kind == "image"
    assert [looks.picture(row, 60) is None for row in range(3)] == [False, True, True]


def test_a_text_is_cut_to_the_limit_and_says_so():
    looks = looks_of(pd.DataFrame({"review": ["a short text", "word " * 500, "äö " * 200]}))
    assert looks.kind == "text" and looks.text(0) == "a short text"
    assert len(looks.text(1)) <= 600 and looks.text(1).endswith("word…")
    assert looks.text(2) == "äö " * 200  # as long as the limit, and whole
    assert looks.text(1, limit=8) == "word wo…"


def test_a_row_shows_its_first_columns_in_few_words():
    frame = pd.DataFrame({f"c{i}": [0, 0] for i in range(20)})
    frame.insert(0, "width", [1.23456789, 1e-9])
    frame.insert(1, "note", ["x" * 200, None])
    looks = looks_of(frame)
    assert looks.kind == "table"
    columns = looks.columns(0)
    assert [name for name, _ in columns] == list(frame.columns[:12])
    assert columns[0] == ("width", "1.235") and columns[1][1] == "x" * 79 + "…"
    assert columns[2] == ("c0", "0")
    assert dict(looks.columns(1, limit=1)) == {"width": "1e-09"}


KINDS = {
    "image": lambda: looks_of(Images(encoded=[encode(photo())])),
    "text": lambda: looks_of(pd.DataFrame({"text": ["two words"]})),
    "table": lambda: looks_of(pd.DataFrame({"x": [1.0], "y": [2.0]})),
    "labels": lambda: Looks(table_of(4)),  # a matrix of features shows nothing to a person
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_looks_in_one_way_only(kind):
    looks = KINDS[kind]()
    found = {
        "image": looks.picture(0, 32),
        "text": looks.text(0),
        "table": looks.columns(0),
    }
    assert looks.kind == kind and looks.missing is None
    assert {name for name, value in found.items() if value is not None} == {kind} - {"labels"}


def test_items_whose_table_is_gone_say_why_nothing_is_shown(tmp_path):
    pytest.importorskip("pyarrow")
    run = digits_run(tmp_path / "run")
    assert Looks.of(Run.open(run)).kind == "image"
    items = pd.read_parquet(run / "items.parquet").drop(columns="file")
    items.to_parquet(run / "items.parquet")
    (tmp_path / "labels.csv").unlink()
    looks = Looks.of(Run.open(run))
    assert looks.kind == "labels" and looks.picture(0, 32) is None
    assert looks.missing.startswith("The items themselves could not be opened: ")
    assert "labels.csv" in looks.missing and "\n" not in looks.missing
