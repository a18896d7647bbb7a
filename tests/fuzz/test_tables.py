"""Mutated label tables: read exactly, or refused in one line. No label beside another item."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fuzz.strategies import ODD_VALUES, TableCase, damages, table_cases
from fuzz.watching import Shift, many, watched
from hypothesis import given
from hypothesis import strategies as st

from softfold.data.reading import read_table
from softfold.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def read(file, paths):
    """(item, label, in the hold-out) as they were read; items without paths by their number x."""
    table = read_table(file, label="label", path="path" if paths else None, check_files=False)
    names = np.array(table.vocab, dtype=object)[table.given]
    item = list(table.item)
    if not paths:
        if "x" not in table.data:
            raise InputError("the column x has lost its name")
        item = [str(v).replace(",", ".").removesuffix(".5") for v in table.data["x"]]
    return list(zip(item, names, table.valid.tolist(), strict=True))


def check(case: TableCase, file) -> None:
    try:
        rows = read(file, case.paths)
    except InputError as error:
        if case.clean:
            allowed = ("spaces around", "class labels", "two classes", "have no label", "never has")
            assert any(a in str(error) for a in allowed), f"a clean table is refused: {error}"
        raise
    sure = [row for i, row in enumerate(case.rows) if i not in case.touched]
    must = [row for i, row in enumerate(case.rows) if i not in case.touched | case.may_lose]
    whole = -1 not in case.touched  # else the name of the column is_valid may be another

    def cut(row):
        return row if whole else row[:2]

    told = [cut(row) for row in rows]
    known = {row[0]: cut(row) for row in sure}
    for row in told:
        # a damaged number may be that of another row, which is there as well
        twice = not case.paths and case.touched and known.get(row[0]) in told
        if row[0] in known and row != known[row[0]] and not twice:
            raise Shift(f"{known[row[0]]} was read as {row}: {case.said}")
    seen = [row[0] for row in rows]
    lost = [row for row in must if row[0] not in seen]
    if lost:
        raise Shift(f"{lost[0]} is lost: {case.said}")
    if not case.touched and [r[0] for r in rows] != [r[0] for r in case.rows[: len(rows)]]:
        raise Shift(f"the order of rows has changed: {case.said}")
    new = set(seen) - {row[0] for row in case.rows}
    if len(new) > 2 * len(case.touched):
        raise Shift(f"{sorted(new)[:3]} were never items: {case.said}")


@given(case=table_cases())
@many("tables", 0.9)
def test_a_mutated_text_file_is_read_exactly_or_refused(folder, case):
    file = folder / f"labels{case.suffix}"
    file.write_bytes(case.content)
    watched("tables", lambda: check(case, file))


KINDS_OF_LABELS = {
    "text": (list("ab"), list("ab")),
    "numbers": (["0", "7"], [0, 7]),
    "whole floats": (["0", "7"], [0.0, 7.0]),
    "truths": (["False", "True"], [False, True]),
    "written numbers": (["01", "1e5"], ["01", "1e5"]),
    "words for nothing": (["NA", "null"], ["NA", "null"]),
    "bytes": (["ä", "b"], ["ä".encode(), b"b"]),
}


@given(
    kind=st.sampled_from(sorted(KINDS_OF_LABELS)),
    n=st.integers(4, 20),
    how=st.sampled_from(["", "category", "gap", "damaged", "index"]),
    data=st.data(),
)
@many("tables", 0.1)
def test_a_parquet_file_is_read_exactly_or_refused(folder, kind, n, how, data):
    names, values = KINDS_OF_LABELS[kind]
    label = pd.Series([values[i % 2] for i in range(n)])
    if how == "category" and kind != "bytes":
        label = label.astype("category")
    if how == "gap":
        label = label.astype(object)
        label[data.draw(st.integers(0, n - 1))] = None
    item = [f"{i}.jpg" for i in range(n)]
    frame = pd.DataFrame({"path": item, "label": label})
    if how == "index":
        frame = frame.set_index("path")
    file = folder / "labels.parquet"
    frame.to_parquet(file)
    if how == "damaged":
        file.write_bytes(data.draw(damages(file.read_bytes())))

    def call():
        rows = read(file, paths=True)
        truth = [(k, names[i % 2], False) for i, k in enumerate(item)]
        if how != "damaged" and rows != truth:  # a changed byte may be one of a label: no matter
            raise Shift(f"{truth[:2]} were read as {rows[:2]}")

    watched("tables", call)


CELL = st.one_of(
    st.sampled_from([*ODD_VALUES, 1.0, np.int64(1), np.float32(0.5), np.nan, pd.NA, pd.NaT]),
    st.sampled_from([b"1", b"\xff", (1, 2), {1}, 1j, pd.Timestamp("2024-01-02"), np.arange(2)]),
    st.text(max_size=4),
)


PLAIN = st.sampled_from(["a", "b", "1", 1, True, 1.0, np.int64(1), 0, "01", b"1", "NA"])


@given(
    cells=st.one_of(
        st.lists(PLAIN, min_size=2, max_size=12), st.lists(st.one_of(PLAIN, CELL), max_size=9)
    ),
    other=st.lists(CELL, min_size=12, max_size=12),
    names=st.lists(st.sampled_from(["file", "valid", "x", 1, None, ("a", "b")]), max_size=2),
    options=st.dictionaries(
        st.sampled_from(["path", "label", "valid", "truth", "group"]),
        st.sampled_from(["path", "label", "x", "nowhere"]),
        max_size=1,
    ),
)
@many("frames")
def test_a_data_frame_of_any_objects_is_read_or_refused(cells, other, names, options):
    """Two labels are one class only where they are the same value."""
    columns = {name: pd.Series(other[: len(cells)], dtype=object) for name in names}
    if len(cells) % 2:
        columns["path"] = [f"{i}.jpg" for i in range(len(cells))]
    columns["label"] = pd.Series(cells, dtype=object)
    frame = pd.DataFrame(columns)

    def call():
        table = read_table(frame, check_files=False, **options)
        if options.get("label", "label") != "label" or len(table) != len(cells):
            return
        for i, a in enumerate(cells):
            for j, b in enumerate(cells):
                same = isinstance(a, bool) == isinstance(b, bool) and bool(np.all(a == b))
                if same != (table.given[i] == table.given[j]):
                    raise Shift(f"{a!r} and {b!r} are labels {table.given[i]}, {table.given[j]}")

    watched("frames", call)
