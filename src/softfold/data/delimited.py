"""Text files of rows and fields (CSV and its kin): read field by field as text, written safely.

Nothing is guessed about a cell: `01`, `1e5`, `NA` and `true` are the text that stands there, and
an empty cell is missing (None). Every row must have as many fields as the header, and
`softfold.data.places` knows the line that it begins on. The encoding is
UTF-8 or UTF-16, with a byte-order mark or without; fields are divided by commas, semicolons or
tabs, whichever the header has most of; lines end as any system ends them.

Spreadsheets run a cell that begins with `=`, `+`, `-` or `@` as a formula. `csv_text` puts an
apostrophe before such a text, as spreadsheets do, and names the columns that it changed in a
last column `softfold_quoted`. `read_delimited` takes both away again.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.data.kinds import other_kind
from softfold.data.places import place_of, set_lines
from softfold.errors import InputError, count_of

QUOTED = "softfold_quoted"
"""The column that says which cells of a row got an apostrophe."""

_SUFFIXES = {".csv": ",", ".txt": ",", ".tsv": "\t"}
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MOST_CHARACTERS = 1 << 24
"""A longer field is a stray quote that took in the rest of the file."""

_ROWS_AT_A_TIME = 256
"""Small blocks die young, so that Python's garbage collector has little to look at."""


def is_delimited(file: str | Path) -> bool:
    """Whether the name is that of a text file of rows and fields."""
    return Path(file).suffix.lower() in _SUFFIXES


def read_delimited(file: str | Path) -> pd.DataFrame:
    """The rows of a CSV, TSV or TXT file: every column of str objects, None for empty cells.

    Names of columns lose the blanks around them; cells keep theirs. A first column without a name
    (row numbers that pandas or R wrote) is left out with a warning. `frame.attrs["delimiter"]` is
    what divided the fields.

    Raises:
        InputError: no text, a quote that does not close, rows of another number of fields than
            the header, columns without a name or with the same one. Lines count from 1, as
            editors count them.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "labels.csv"
    ...     _ = file.write_text("path;label\\n1.jpg;01\\n2.jpg;NA\\n")
    ...     read_delimited(file)["label"].tolist()
    ['01', 'NA']
    """
    file = Path(file)
    text = _decoded(file)
    delimiter, text, skipped = _delimiter(text, _SUFFIXES.get(file.suffix.lower(), ","))
    plain = _read_plain(text, delimiter)
    if plain is not None:
        header, columns = plain
        lines: Sequence[int] = range(skipped + 2, skipped + 2 + len(columns[0]))
    else:
        header, columns, lines = _read_carefully(text, delimiter, file.name, skipped)
    frame = _frame(columns, header, file.name)
    frame.attrs["delimiter"] = delimiter
    set_lines(frame, lines)
    return _without_quotes(frame, file.name)


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as CSV whose cells no spreadsheet runs as formulas.

    Texts that would be run get an apostrophe in front, and the columns of each row that did are
    named in a last column `softfold_quoted`, which is there only where there are such texts.
    Numbers stay as they are, also those that are below zero.

    >>> print(csv_text(pd.DataFrame({"path": ["=1+1", "a"], "x": [-1, 2]})), end="")
    path,x,softfold_quoted
    '=1+1,-1,path
    a,2,
    """
    out = frame.copy()
    out.columns = [_safe(str(c)) for c in frame.columns]
    if out.columns.has_duplicates or QUOTED in out.columns:
        raise InputError("columns of the same name cannot be written to a CSV file")
    marks = np.full(len(out), "", dtype=object)
    for name in out.columns:
        values = out[name]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
            continue
        cells = values.astype(object).to_numpy(dtype=object, copy=True)
        for i, cell in enumerate(cells):
            if isinstance(cell, str) and cell and _safe(cell) != cell:
                cells[i] = _safe(cell)
                marks[i] = f"{marks[i]} {out.columns.get_loc(name)}".strip()
        out[name] = cells
    if any(marks) or list(out.columns) != list(map(str, frame.columns)):
        out[QUOTED] = [_named(m, list(out.columns)) for m in marks]
    written = out.to_csv(index=False, lineterminator="\n")
    if "\r" in written:  # which ends a line, and Python before 3.13 puts it in no quotes
        quoting = csv.QUOTE_NONNUMERIC
        written = out.to_csv(index=False, lineterminator="\n", quoting=quoting)
    return written


def _safe(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _named(marks: str, names: list[str]) -> str:
    """Columns by name, each followed by its blanks and backslashes escaped, divided by blanks."""
    return " ".join(
        names[int(m)].replace("\\", "\\\\").replace(" ", "\\s") for m in marks.split(" ") if m
    )


def _without_quotes(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Take away what `csv_text` added."""
    if QUOTED not in frame:
        return frame
    marks = frame[QUOTED]
    cells = {c: frame[c].to_numpy(dtype=object, copy=True) for c in frame.columns if c != QUOTED}
    for i in np.flatnonzero(marks.notna().to_numpy()).tolist():
        for mark in filter(None, marks.iloc[i].split(" ")):
            column = re.sub(r"\\(.)", lambda m: " " if m[1] == "s" else m[1], mark)
            if column not in cells:
                raise InputError(
                    f"{name}: {QUOTED} names {column!r} in {place_of(frame, i)}, no column of it"
                )
            if isinstance(cells[column][i], str):
                cells[column][i] = cells[column][i].removeprefix("'")
    names = [c[1:] if c.startswith("'") and _FORMULA.match(c) else c for c in cells]
    made = pd.DataFrame(dict(zip(names, cells.values(), strict=True)), dtype=object)
    made.attrs = dict(frame.attrs)
    return made


def _decoded(file: Path) -> str:
    content = file.read_bytes()
    kind = other_kind(content[:4096])
    if kind is not None:
        raise InputError(
            f"{file}: seems to be {kind[0]}, not a text table: {kind[1]} (softfold reads CSV, TSV "
            "and Parquet)"
        )
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if encoding is None:
        encoding = "utf-8"
        head = content[:4096]
        if len(head) > 3 and len(content) % 2 == 0 and b"\0" in head:
            # ASCII in UTF-16 has a zero in every second byte
            if not any(head[0::2]) or head[0::2].count(0) > len(head) // 4:
                encoding = "utf-16-be"
            elif head[1::2].count(0) > len(head) // 4:
                encoding = "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        shown = encoding.upper().removesuffix("-SIG")
        raise InputError(
            f"{file}: cannot be read as {file.suffix[1:].lower()}: the bytes in line {line} are "
            f"no {shown} text: save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(
            f"{file}: cannot be read as {file.suffix[1:].lower()}: line {line} holds a zero byte, "
            "which no text does: is it another kind of file?"
        )
    return text.removeprefix("\ufeff")


def _delimiter(text: str, usual: str) -> tuple[str, str, int]:
    """What divides the fields, the text from its header on, and how many lines that left out.

    Excel's own first line `sep=;` is believed.
    """
    first = re.match(r"\"?sep=(.)\"?\r?\n", text)
    if first and first[1] in ",;\t|":
        return first[1], text[first.end() :], 1
    head = re.sub(r'"[^"]*"', "", text[: 1 << 16])
    lines = [line for line in re.split(r"[\r\n]+", head) if line.strip()]
    header = lines[0] if lines else ""
    counts = {d: header.count(d) for d in (usual, ",", ";", "\t")}
    most = max(counts.values())
    return next(d for d, count in counts.items() if count == most), text, 0


def _read_plain(text: str, delimiter: str) -> tuple[list[str], list[list[str]]] | None:
    """Header and columns of a file with one row a line, each of the header's fields; else None."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        columns: list[list[str]] = [[] for _ in header]
        while block := list(islice(reader, _ROWS_AT_A_TIME)):
            if set(map(len, block)) != {len(header)}:
                return None
            for column, cells in zip(columns, zip(*block)):
                column.extend(cells)
    except csv.Error:
        return None
    plain = header and reader.line_num == 1 + len(columns[0])
    return (header, columns) if plain else None


def _read_carefully(
    text: str, delimiter: str, name: str, skipped: int
) -> tuple[list[str], list[list[str]], list[int]]:
    """The same row by row, for files with rows of several lines, blank lines or mistakes.

    The third is the line that each row begins on.
    """
    records = _records(text, delimiter, name, skipped)
    header = next((record for record, _, _ in records if record), [])
    if not any(h.strip() for h in header):
        raise InputError(f"{name}: cannot be read as a table: it has no header with column names")
    rows: list[list[str]] = []
    lines: list[int] = []
    spread: list[tuple[int, int, int]] = []
    wrong, n, line, odd = 0, 0, 0, []
    for record, begin, end in records:
        if not record:
            continue  # a blank line
        n += 1
        if len(record) != len(header):
            wrong += 1
            if wrong == 1:
                line, odd = begin, record
            continue
        if end > begin:
            spread.append((len(rows), begin, end))
        rows.append(record)
        lines.append(begin)
    if wrong:
        raise InputError(_ragged(name, header, wrong, n, line, odd))
    columns = [list(column) for column in zip(*rows)] or [[] for _ in header]
    if spread:
        _refuse_swallowed(name, text, delimiter, columns, spread, skipped)
    return header, columns, lines


def _records(
    text: str, delimiter: str, name: str, skipped: int
) -> Iterator[tuple[list[str], int, int]]:
    """Each record with the first and the last line it stands on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = csv.field_size_limit(_MOST_CHARACTERS)
    end = 0
    try:
        for record in reader:
            begin, end = end + 1, reader.line_num
            yield record, begin + skipped, end + skipped
    except csv.Error as error:
        reason = str(error)
        if "field larger" in reason or "unexpected end" in reason:
            reason = "a quote opens there and never closes"
        elif "expected after" in reason:
            reason = "text follows a closing quote"
        raise InputError(
            f"{name}: the row that begins in line {end + 1 + skipped} cannot be read: {reason}; "
            'take the stray quote out, or double it ("") within a quoted field'
        ) from None
    finally:
        csv.field_size_limit(before)


def _ragged(name: str, header: list[str], wrong: int, n: int, line: int, record: list[str]) -> str:
    hint = "a field with the delimiter in it wants quotes"
    if len(record) == len(header) + 1 and not record[-1].strip():
        hint = "a delimiter at the end of rows wants one at the end of the header too"
    return (
        f"{name}: {wrong:,} of {count_of(n, 'row')} {'has' if wrong == 1 else 'have'} another "
        f"number of fields than the header, which has {len(header)}; the first is line {line} "
        f"with {len(record)}: {hint}"
    )


def _refuse_swallowed(
    name: str,
    text: str,
    delimiter: str,
    columns: list[list[str]],
    spread: list[tuple[int, int, int]],
    skipped: int,
) -> None:
    """Refuse a row of several lines each of which would be a row: a stray quote took them in.

    A line would be a row where, without quotes, it has several fields (one may be lacking), and one
    of them is a short value that other rows have in some column.
    """
    lines = list(io.StringIO(text, newline=""))
    inside = {row for row, _, _ in spread}
    usual: set[str] = set()
    for column in columns:
        values = [v for i, v in enumerate(column) if v and i not in inside]
        kinds = set(values)
        usual |= kinds if len(kinds) <= max(2, len(values) // 2) else set()
    for _, begin, end in spread:
        fields = [
            line.strip("\r\n").replace('"', "").split(delimiter)
            for line in lines[begin - 1 - skipped : end - skipped]
        ]
        if all(len(f) >= max(2, len(columns) - 1) and usual.intersection(f) for f in fields):
            raise InputError(
                f"{name}: lines {begin} to {end} are one row, because a quote opens in the first "
                "and closes in the last, yet each looks like a row of its own: take the stray "
                "quotes out"
            )


def _frame(columns: list[list[str]], header: list[str], name: str) -> pd.DataFrame:
    names = [h.strip() for h in header]
    broken = next((h for h in names if len(h.splitlines()) > 1), None)
    if broken is not None:
        raise InputError(
            f"{name}: the column name {broken!r} holds a line break: is there a stray quote in the "
            "header?"
        )
    kept = [i for i, h in enumerate(names) if h or any(columns[i])]
    if kept and not names[kept[0]] and kept[0] == 0:
        warnings.warn(
            f"{name}: the first column has no name; it is taken for row names and left out",
            stacklevel=2,
        )
        kept = kept[1:]
    nameless = [i + 1 for i in kept if not names[i]]
    if nameless:
        raise InputError(
            f"{name}: {count_of(len(nameless), 'column has', 'columns have')} values but no name; "
            f"the first is column {nameless[0]}: name it in the header"
        )
    used = [names[i] for i in kept]
    twice = sorted({h for h in used if used.count(h) > 1})
    if twice:
        raise InputError(
            f"{name}: {count_of(len(twice), 'name is', 'names are')} that of several columns; the "
            f"first is {twice[0]!r}: give each column its own name"
        )
    frame = pd.DataFrame(index=pd.RangeIndex(len(columns[0])))
    made = {}
    for i in kept:
        values = np.empty(len(columns[i]), dtype=object)
        values[:] = columns[i]
        values[values == ""] = None
        made[names[i]] = pd.Series(values, dtype=object)
    return pd.DataFrame(made, index=frame.index)
