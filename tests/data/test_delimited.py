"""Text files of rows: every cell as it stands there, or a refusal that names the line."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from softfold.data.delimited import csv_text, read_delimited
from softfold.data.reading import read_table
from softfold.errors import InputError


def read(tmp_path, content, name="labels.csv"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_delimited(file)


def refused(tmp_path, content, name="labels.csv"):
    with pytest.raises(InputError) as error:
        read(tmp_path, content, name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_trailing_comma_is_refused_and_shifts_nothing(tmp_path):
    line = refused(tmp_path, "label,age,score\ndog,1,0.934,\ncat,2,0.1,\n")
    assert line == (
        "labels.csv: 2 of 2 rows have another number of fields than the header, which has 3; the "
        "first is line 2 with 4: a delimiter at the end of rows wants one at the end of the "
        "header too"
    )
    frame = read(tmp_path, "label,age,score,\ndog,1,0.934,\ncat,2,0.1,\n")
    assert list(frame) == ["label", "age", "score"] and frame["label"].tolist() == ["dog", "cat"]


def test_cells_are_text_as_written_and_empty_ones_are_missing(tmp_path):
    cells = ["01", "1", "1e5", "12e45", "true", "NA", "None", "null", " cat", "1.0", 'say "hi"']
    text = "label,x\n" + "".join('"' + c.replace('"', '""') + '",1\n' for c in cells) + ",2\n"
    frame = read(tmp_path, text)
    assert frame["label"].tolist() == [*cells, None]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_as_systems_and_spreadsheets_write_them(tmp_path, delimiter, end, encoding):
    rows = [["path", "label", "note"], ["a.jpg", "Bär", "one, two"], ["ü.jpg", "Кот", "x;y\tz"]]
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(rows)
    frame = read(tmp_path, stream.getvalue().encode(encoding))
    assert [list(frame), *frame.to_numpy().tolist()] == rows


def test_blank_lines_and_excels_own_first_line_are_no_rows(tmp_path):
    assert read(tmp_path, "a,b\n\n1,2\n\n").to_numpy().tolist() == [["1", "2"]]
    assert read(tmp_path, "sep=;\r\na;b\r\n1,5;2\r\n").to_numpy().tolist() == [["1,5", "2"]]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "it has no header with column names"),
        (b"path,label\na,\xff\xfe\n", "the bytes in line 2 are no UTF-8 text"),
        (b"path,label\na\0,b\nab,c", "line 2 holds a zero byte"),
        (b'path,label\n"a,b\nc,d\n', "line 2 cannot be read: a quote opens there and never closes"),
        (b'path,label\n"a"b,c\n', "line 2 cannot be read: text follows a closing quote"),
        (b"a,b,a\n1,2,3\n", "1 name is that of several columns; the first is 'a'"),
        (b'x,"la\nbel",y\n1,2,3\n', "the column name 'la\\nbel' holds a line break"),
        (b"a,,b\n1,2,3\n", "1 column has values but no name; the first is column 2"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content, line):
    assert line in refused(tmp_path, content)


def test_a_stray_quote_that_swallows_rows_is_named(tmp_path):
    rows = [f"{i}.jpg,{'cat' if i % 2 else 'dog'}" for i in range(40)]
    rows[7], rows[9] = rows[7].replace(",", ',"'), rows[9] + '"'
    line = refused(tmp_path, "path,label\n" + "\n".join(rows) + "\n")
    assert "lines 9 to 11 are one row" in line and "stray quotes" in line


def test_a_text_may_have_several_lines(tmp_path):
    content = 'text,label\n"dear all,\nthank you",a\n"one\n\ntwo",b\nthree,a\n'
    assert read(tmp_path, content)["text"].tolist() == [
        "dear all,\nthank you",
        "one\n\ntwo",
        "three",
    ]


def test_row_names_without_a_name_are_no_column(tmp_path):
    frame = pd.DataFrame({"path": ["a", "b"], "label": ["x", "y"]})
    with pytest.warns(UserWarning, match="first column has no name; it is taken for row names"):
        assert read(tmp_path, frame.to_csv()).to_numpy().tolist() == frame.to_numpy().tolist()


CELL = st.one_of(
    st.sampled_from(
        ["01", "NA", "1e5", "true", " cat", "Cat", "=1+1", "@x", "-", "+a", "'=b", "'"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=9),
).filter(lambda c: c.strip() and c != "\ufeff")


@given(cells=st.lists(CELL, min_size=1, max_size=20), column=CELL.filter(lambda c: c == c.strip()))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_cell_that_is_written_runs_as_a_formula_and_all_come_back(tmp_path, cells, column):
    names = [column, "a b", "n"]
    if len(set(names)) < 3 or column.startswith("softfold_quoted"):
        return
    frame = pd.DataFrame(dict(zip(names, [cells, cells[::-1], range(len(cells))], strict=True)))
    text = csv_text(frame)
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(c[0] in "=+-@\t\r" for c in row if c and not _number(c))
    again = read(tmp_path, text)
    assert list(again) == names
    assert again[column].tolist() == cells and again["a b"].tolist() == cells[::-1]


def _number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def mutated(text, cuts):
    """The text with characters put in, taken out or doubled."""
    for place, kind, what in cuts:
        at = place % (len(text) + 1)
        if kind == 0:
            text = text[:at] + what + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + 1 :]
        else:
            text = text[:at] + text[at : at + place % 7] + text[at:]
    return text


@given(
    n=st.integers(4, 12),
    cuts=st.lists(
        st.tuples(
            st.integers(0, 999),
            st.integers(0, 2),
            st.sampled_from(
                [",", '"', "\n", "\r\n", ";", "\t", "a", "0", "\ufeff", '""', ",,", "é"]
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(n=4, cuts=[(0, 0, "\ufeff")])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_mutated_table_is_refused_or_its_labels_stay_with_their_items(tmp_path, n, cuts):
    """Each row says three times which it is, so that a label beside the wrong item shows."""
    kinds = ["cat", "dog"]
    text = "x,label,y\n" + "".join(f"{i}.5,{kinds[i % 2]}{i % 2},{i}.25\n" for i in range(n))
    file = tmp_path / "labels.csv"
    file.write_text(mutated(text, cuts), encoding="utf-8", newline="")
    try:
        table = read_table(file, label="label")
    except InputError as error:
        assert "\n" not in str(error)
        return
    names = np.array(table.vocab)[table.given]
    touched = 0
    for row in range(len(table)):
        values = [str(v) for v in table.data.iloc[row]]
        sure = {v.split(".")[0] for v in values if v.endswith((".5", ".25"))}
        of = [int(s) for s in sure if s.isdigit() and int(s) < n]
        touched += len(of) != 1 or names[row] != f"{kinds[of[0] % 2]}{of[0] % 2}"
    # a cut spoils the row it is in, and the one below where it takes the line's end
    assert touched <= 2 * len(cuts)


@pytest.mark.parametrize("column", ["0\xa00", "a b", "x\\s y", "wide\u2003blank"])
def test_a_formula_in_a_column_with_odd_blanks_in_its_name_comes_back(column, tmp_path):
    frame = pd.DataFrame({column: ["=1+1", "b"], "label": ["x", "y"]})
    (tmp_path / "out.csv").write_text(csv_text(frame), encoding="utf-8")
    again = read_delimited(tmp_path / "out.csv")
    assert list(again.columns) == list(frame.columns)
    assert again[column].tolist() == frame[column].tolist()
