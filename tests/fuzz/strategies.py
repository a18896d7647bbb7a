"""What the fuzz tests draw from: label tables with their truth, damage to files, odd arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

LABELS = (
    *("cat", "dog", "01", "1", "1.0", "1e5", "100000", "0", "-0", "true", "True", "FALSE", "NA"),
    *("N/A", "nan", "NaN", "None", "null", "NULL", "inf", "-", "=1+1", "+a", "@x", "'q", " cat"),
    *("cat ", "Cat", "Кот", "ß", "e\u0301", "\u00e9", "a,b", "a;b", "a\tb", 'say "hi"', "0x10"),
    *("1_000", "１２", "\u200b", "🐈", "12e45", "2024-01-02", "a b", "\u00a0x", "x" * 300, "'=q"),
    *("#x", "\\n", "\u2028y", "00", "label", "path", "1,5", "-1", "t", "F", "yes", "no"),
)
"""Class names that readers of tables like to rewrite."""

JUNK = (
    *(",", ";", "\t", '"', '""', "\n", "\r\n", "\r", "a", "0", ".", " ", "é", "\ufeff", ",,"),
    *("\0", "'", "=", "\u2028", "\x0b", "\x1c", "\x85", "\ud7ff", "🐈", '","', '"\n"'),
)
"""What is put into the text of a table."""

ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
ENDS = ("\n", "\n", "\r\n", "\r")


@dataclass
class TableCase:
    """A file and what a correct reader returns of it.

    Attributes:
        content: the bytes of the file.
        suffix: the ending of its name.
        rows: (item, label, in the hold-out) of every row.
        paths: whether items are paths; else they are numbers in a column x, i + 0.5 in row i.
        touched: rows whose text was damaged: nobody knows what they say.
        may_lose: rows whose loss no reader could see, since the file ends before them.
        clean: nothing is wrong with the file, so that it must be read.
        said: what was done, for the reader of a failure.
    """

    content: bytes
    suffix: str
    rows: list[tuple[str, str, bool]]
    paths: bool
    touched: set[int] = field(default_factory=set)
    may_lose: set[int] = field(default_factory=set)
    clean: bool = True
    said: list[str] = field(default_factory=list)


@st.composite
def table_cases(draw: st.DrawFn) -> TableCase:
    """A text file of rows and fields, with 0 to 3 things wrong."""
    n = draw(st.integers(4, 14))
    # short lists by places: one draw each
    kinds = draw(st.lists(st.sampled_from(LABELS), min_size=2, max_size=5, unique=True))
    labels = [kinds[i % len(kinds)] for i in range(n)]
    paths = draw(st.booleans())
    with_valid = draw(st.booleans())
    delimiter = draw(st.sampled_from([",", ",", ";", "\t"]))
    end = draw(st.sampled_from(ENDS))
    encoding = draw(st.sampled_from(ENCODINGS))
    quoting = draw(st.booleans())
    item = [f"img/{i:03d}.jpg" for i in range(n)]
    if paths and draw(st.booleans()):
        item[1], item[2] = "b, c/ü 1.jpg", "=x;y.jpg"
    if not paths:
        item = [str(i) for i in range(n)]
    valid = [with_valid and i >= n - 1 and labels[i] in labels[: n - 1] for i in range(n)]
    words = draw(st.sampled_from([("False", "True"), ("0", "1"), ("train", "valid")]))
    columns: dict[str, list[str]] = {"path": item} if paths else {}
    if not paths:
        comma = delimiter != "," and draw(st.booleans())
        columns["x"] = [f"{i},5" if comma else f"{i}.5" for i in range(n)]
    columns["label"] = labels
    if with_valid:
        columns["is_valid"] = [words[v] for v in valid]
    if draw(st.booleans()):
        columns["note"] = [draw(st.sampled_from(["", "x y", "two\nlines", "3"]))] * n
    names = draw(st.permutations(list(columns)))
    case = TableCase(b"", {"\t": ".tsv"}.get(delimiter, ".csv"), [], paths)
    case.rows = list(zip(item, labels, valid, strict=True))

    def line(cells: list[str]) -> str:
        wanted = [quoting or any(sign in c for sign in f'"\r\n{delimiter}') for c in cells]
        quoted = ['"' + c.replace('"', '""') + '"' if q else c for c, q in zip(cells, wanted)]
        return delimiter.join(quoted) + end

    cells = [list(names), *([columns[c][i] for c in names] for i in range(n))]
    lines = [line(row) for row in cells]
    if any("\r" in c or c.startswith("\ufeff") for row in cells for c in row):
        case.clean = False
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        _spoil(draw, case, lines, cells, line, delimiter, end)
    text = "".join(lines)
    case.content = text.encode(encoding, "surrogatepass")
    if draw(st.integers(0, 5)) == 0:
        _spoil_bytes(draw, case, lines, encoding)
    return case


def _spoil(
    draw: st.DrawFn,
    case: TableCase,
    lines: list[str],
    cells: list[list[str]],
    line: Any,
    delimiter: str,
    end: str,
) -> None:
    """One thing wrong with the text, in place. Line i + 1 is row i."""
    n = len(case.rows)
    what = draw(
        st.sampled_from(
            [
                *("trailing", "trailing", "blank", "ends", "missing", "extra", "twice", "header"),
                *("repeated", "contradiction", "sep", "index", "cut", "junk", "junk", "junk"),
                *("deleted", "quotes", "quotes", "swap end", "comment", "no end"),
            ]
        )
    )
    if len(lines) != n + 1:
        return  # cut, or rows were put in: places are those of lines no more
    at = draw(st.integers(0, n))
    case.said.append(f"{what} at line {at}")
    tail = end if lines[at].endswith(end) else ""
    body = lines[at].removesuffix(end)
    if what == "blank":
        lines[at] += draw(st.sampled_from([end, end * 3, "\n"]))
        return
    if what == "no end":
        lines[-1] = lines[-1].removesuffix(end)
        return
    case.clean = False
    if what == "trailing":
        for i in range(draw(st.integers(0, 1)), draw(st.sampled_from([n + 1, at + 1]))):
            lines[i] = lines[i].removesuffix(end) + delimiter + end
    elif what == "ends":
        lines[at] = body + draw(st.sampled_from(["\n", "\r\n", "\r"]))
    elif what == "missing":
        row = [c for i, c in enumerate(cells[at]) if i != draw(st.integers(0, len(cells[at]) - 1))]
        lines[at] = line(row) if row else end
        case.touched |= {at - 1}
    elif what == "extra":
        lines[at] = line([*cells[at], draw(st.sampled_from(["", "x", "dog"]))])
        case.touched |= {at - 1}
    elif what == "twice":
        name = draw(st.sampled_from(cells[0]))
        lines[0] = line([*cells[0], name])
        lines[1:] = [line([*row, draw(st.sampled_from(["dog", "1"]))]) for row in cells[1:]]
    elif what == "header":
        lines[0] = line([f" {c} " for c in cells[0]])
    elif what == "repeated" and at:
        lines.append(lines[at] if lines[-1].endswith(end) else end + lines[at])
        if not case.paths:
            case.touched |= {at - 1}
    elif what == "contradiction" and at and case.paths and not case.touched:
        other = list(cells[at])
        place = cells[0].index("label")
        other[place] = next(label for _, label, _ in case.rows if label != other[place])
        lines.append(line(other) if lines[-1].endswith(end) else end + line(other))
        case.rows[at - 1] = (cells[at][cells[0].index("path")], "\0no label is right", False)
    elif what == "sep":
        lines[0] = f"sep={delimiter}{end}" + lines[0]
    elif what == "index":
        for i, text in enumerate(lines):
            number = "" if i == 0 else str(i - 1)
            lines[i] = f"{number}{delimiter}{text}"
            cells[i].insert(0, number)  # what is spoiled next has the column too
    elif what == "cut":
        keep = draw(st.integers(0, max(0, len(body))))
        case.may_lose |= set(range(at - 1, n))
        case.touched |= {at - 1}
        lines[at:] = [lines[at][:keep]]
    elif what == "junk":
        place = draw(st.integers(0, len(body)))
        junk = draw(st.sampled_from(JUNK))
        lines[at] = body[:place] + junk + body[place:] + tail
        case.touched |= {at - 1}
    elif what == "deleted":
        place, size = draw(st.integers(0, len(body))), draw(st.integers(1, 8))
        lines[at] = body[:place] + (body + tail)[place + size :]
        case.touched |= {at - 1}
        if not lines[at].endswith(end):
            case.touched |= {at}
    elif what == "quotes":
        other = draw(st.integers(at, n))
        for i in (at, other):
            place = draw(st.integers(0, len(lines[i].removesuffix(end))))
            lines[i] = lines[i][:place] + '"' + lines[i][place:]
            case.touched |= {i - 1}
    elif what == "swap end":
        lines[at] = body + draw(st.sampled_from(["\u2028", "\x0b", "\x85", "\n\r", "\x1e"]))
        case.touched |= {at - 1, at}
    elif what == "comment":
        lines[0] = draw(st.sampled_from(["# made by x", ";", ",", '"'])) + end + lines[0]


def _spoil_bytes(draw: st.DrawFn, case: TableCase, lines: list[str], encoding: str) -> None:
    """One byte changed, put in or taken out."""
    case.clean = False
    place = draw(st.integers(0, max(0, len(case.content) - 1)))
    how = draw(st.sampled_from(["flip", "flip", "in", "out"]))
    byte = bytes([draw(st.integers(0, 255))])
    content = case.content
    if how == "flip":
        case.content = content[:place] + byte + content[place + 1 :]
    elif how == "in":
        case.content = content[:place] + byte + content[place:]
    else:
        case.content = content[:place] + content[place + 1 :]
    case.said.append(f"byte {place} {how} {byte!r}")
    if len(lines) != len(case.rows) + 1:
        case.touched |= set(range(-1, len(case.rows)))
        return
    mark, start = len("".encode(encoding)), 0
    for i, text in enumerate(lines):
        stop = start + len(text.encode(encoding, "surrogatepass")) - mark * (i > 0)
        if start <= place < stop:  # the mark of the encoding is a part of the header
            case.touched |= {i - 1, i}
        start = stop
    if -1 in case.touched and any("twice" in said for said in case.said):
        case.touched |= set(
            range(len(case.rows))
        )  # the column that is there twice has another name


# -- bytes ------------------------------------------------------------------------------------


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes of a file with something wrong."""
    how = draw(st.sampled_from(["empty", "cut", "flip", "in", "out", "junk", "zeros", "double"]))
    place = draw(st.integers(0, max(0, len(content) - 1)))
    some = draw(st.binary(min_size=1, max_size=12))
    if how == "empty":
        return b""
    if how == "cut":
        return content[:place]
    if how == "flip":
        return content[:place] + some + content[place + len(some) :]
    if how == "in":
        return content[:place] + some + content[place:]
    if how == "out":
        return content[:place] + content[place + len(some) :]
    if how == "junk":
        return some * 20
    if how == "zeros":
        return content[:place] + bytes(len(content) - place)
    return content + content


# -- JSON -------------------------------------------------------------------------------------

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 1e308, float("nan"), float("inf"), "", "x", "a\nb"),
    *([], [1], ["a"], [[]], {}, {"a": 1}, "1", "../../x", "\0", "🐈", [None], -0.5, 10**30),
)


@st.composite
def other_json(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one part of another type, or without it."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        out = dict(value)
        if draw(st.integers(0, 3)) == 0:
            del out[key]
        else:
            out[key] = draw(other_json(value[key]))
        return out
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(other_json(value[place])), *value[place + 1 :]]
    return draw(st.sampled_from(ODD_VALUES))


# -- numbers ----------------------------------------------------------------------------------

DTYPES = (
    *("float64", "float32", "float16", "int64", "uint8", "bool", "complex128", "object", "U4"),
    *("float64", "float32", "longdouble"),
)


@st.composite
def probabilities(draw: st.DrawFn, n: int | None = None, odd: bool = True) -> np.ndarray:
    """Out-of-fold predictions, and if `odd` with something wrong more often than not."""
    n = draw(st.integers(0 if odd else 2, 30)) if n is None else n
    k = draw(st.sampled_from([0, 1, 2, 3, 5] if odd else [2, 3, 5, 17, 500]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    sharp = draw(st.sampled_from([0.0, 1.0, 5.0, 80.0]))
    z = rng.normal(size=(n, k)) * sharp
    p = np.exp(z - z.max(axis=1, keepdims=True)) if k else z
    p = p / p.sum(axis=1, keepdims=True) if k else p
    if not odd:
        return p.astype(draw(st.sampled_from(["float64", "float32", "float16"])))
    how = draw(
        st.sampled_from(["", "nan", "inf", "negative", "sums", "zeros", "one", "shape", "huge"])
    )
    value = {"nan": np.nan, "inf": np.inf, "negative": -0.5, "huge": 1e308, "one": 1.0}.get(how)
    if value is not None and p.size:
        p.reshape(-1)[draw(st.integers(0, p.size - 1))] = value
    elif how == "sums":
        p *= draw(st.sampled_from([0.5, 1.005, 100.0]))
    elif how == "zeros":
        p[:] = 0
    elif how == "shape":
        p = draw(st.sampled_from([p[0] if n else p, p[None], p.T, p[:, :, None], p.reshape(-1)]))
    with np.errstate(all="ignore"):
        p = p.astype(draw(st.sampled_from(DTYPES)))
    if p.dtype == object and p.size and draw(st.booleans()):
        p.reshape(-1)[0] = draw(st.sampled_from(["a", None, [1], 1j, {}]))
    return p


@st.composite
def labels(draw: st.DrawFn, n: int, k: int, odd: bool = True) -> Any:
    """Given labels of n items, if `odd` with something wrong."""
    y = np.arange(max(0, n + (draw(st.sampled_from([0, 0, 1, -1])) if odd else 0))) % max(1, k)
    if not odd:
        return y if draw(st.booleans()) else y.tolist()
    how = draw(
        st.sampled_from(["names", "negative", "large", "float", "nan", "bool", "object", "2d"])
    )
    if how == "names":
        return np.array([f"class {v}" for v in y], dtype=draw(st.sampled_from(["U20", object])))
    if how == "large":
        return y.astype(np.uint64) + np.uint64(2**63)
    if how == "float":
        return y.astype(float)
    if how == "nan":
        return np.where(y == 0, np.nan, y)
    if how == "bool":
        return y.astype(bool)
    if how == "2d":
        return y[:, None]
    values = [None, "x", 1.5, True, [], b"x"] if how == "object" else [-1, -(2**63)]
    y = y.astype(object if how == "object" else y.dtype)
    if len(y):
        y[0] = draw(st.sampled_from(values))
    return y
