"""Where a row stands: the line that an editor shows, whatever was left out on the way to it."""

import pandas as pd
import pytest

from softfold.data.delimited import read_delimited
from softfold.data.leaving_out import NO_TEXT
from softfold.data.places import place_of
from softfold.data.reading import read_table
from softfold.errors import InputError


@pytest.mark.parametrize("begins", ["", "sep=,\n", "\n\n"])
def test_the_line_of_a_row_is_that_of_its_first_character(tmp_path, begins):
    (tmp_path / "l.csv").write_text(f'{begins}a,b\n1,2\n"x\ny",2\n\n3,"4"\n')
    frame = read_delimited(tmp_path / "l.csv")
    lines = (tmp_path / "l.csv").read_text().split("\n")
    for i, cell in enumerate(["1,", '"x', "3,"]):
        n = next(n for n, line in enumerate(lines, 1) if line.startswith(cell))
        assert place_of(frame, i) == f"line {n}"
        assert place_of(frame[i:]["a"], 0) == f"line {n}"


def test_every_message_about_a_row_has_its_line(tmp_path):
    file = tmp_path / "l.csv"

    def line_of(text, **how):
        file.write_text(text)
        with pytest.raises(InputError) as refused:
            read_table(file, **how)
        return str(refused.value)

    rows = "label,x,is_valid,right\na,1,no,a\n"
    assert "'maybe' in line 3," in line_of(rows + "b,1,maybe,a\n")
    assert ": line 3 (no label" in line_of(rows + ",1,no,a\nb,1,no,a\n")
    kept = dict(on_error="skip", truth="right")
    assert "is 'c' in line 5" in line_of(rows + ",1,no,a\nb,1,no,a\na,1,no,c\n", **kept)
    assert "is 'c' in line 4" in line_of(rows + "b,1,no,a\nc,1,yes,a\n", **kept)
    texts = line_of("label,text\na,one two\nb,\nb,three four\n")
    assert f": line 3 ({NO_TEXT})" in texts and "counted" not in texts


def test_a_row_of_a_holdout_file_has_the_line_and_the_file(tmp_path):
    (tmp_path / "l.csv").write_text("label,x\na,1\nb,2\n")
    for broken, line in (("c,3", "is 'c' in line 3 of h.csv"), (",3", ": line 3 of h.csv (no l")):
        (tmp_path / "h.csv").write_text(f"label,x\na,1\n{broken}\n")
        with pytest.raises(InputError) as refused:
            read_table(tmp_path / "l.csv", holdout=tmp_path / "h.csv")
        assert line in str(refused.value)


def test_rows_of_frames_count_from_0_and_it_is_said():
    frame = pd.DataFrame({"label": ["a", None, "b"], "x": [1, 2, 3]}, index=[7, 8, 9])
    with pytest.raises(InputError, match=r"row 1 \(no label .*\(rows count from 0\)"):
        read_table(frame)
