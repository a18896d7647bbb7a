"""What follows for a label table from what people decided."""

import sqlite3

import pandas as pd
import pytest
from decision_rows import row, table

from softfold.decisions.applying import apply_decisions, read_decisions
from softfold.errors import InputError


def test_confirmed_labels_take_over_and_excluded_items_leave(tmp_path, log):
    log.append([row("ann", "s1", "i0", "accept", "dog"), row("ann", "s2", "i1", "exclude")])
    log.append([row("ann", "s3", "i2", "unsure"), row("ann", "s4", "i3", "keep", "cat")])
    before = table()
    after = apply_decisions(before, tmp_path)
    assert list(after.item) == ["i0", "i2", "i3", "i4", "i5"]
    assert [after.vocab[code] for code in after.given] == ["dog", "cat", "cat", "cat", "cat"]
    assert before.given.sum() == 0 and len(before) == 6


def test_holdout_items_are_left_alone(log, tmp_path):
    log.append([row("ann", "s1", "i5", "accept", "dog"), row("ann", "s2", "i5", "exclude")])
    after = apply_decisions(table(), tmp_path)
    assert "i5" in after.item and after.given[-1] == 0


def test_decisions_about_another_table_are_refused_by_name(log, tmp_path):
    log.append([row("ann", "s1", "elsewhere", "keep", "cat")])
    with pytest.raises(InputError, match="1 item of 1 not in labels; the first is 'elsewhere'"):
        apply_decisions(table(), tmp_path)


def test_a_class_that_the_table_does_not_have_is_refused_by_name():
    frame = pd.DataFrame({"item": ["i0"], "state": ["confirmed"], "label": ["wolf"]})
    with pytest.raises(InputError, match="first is 'wolf'"):
        apply_decisions(table(), frame)


def test_decisions_come_back_from_exported_tables(tmp_path):
    frame = pd.DataFrame(
        {"path": ["i0", "i1"], "label": ["dog", "cat"], "state": ["confirmed", "open"]}
    )
    frame.to_csv(tmp_path / "corrected.csv", index=False)
    frame.to_parquet(tmp_path / "corrected.parquet")
    for name in ("corrected.csv", "corrected.parquet"):
        read = read_decisions(tmp_path / name)
        assert read[["item", "state", "label"]].values.tolist() == [["i0", "confirmed", "dog"]]


def test_another_database_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE things (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="without decisions"):
        read_decisions(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["nothing", "other.csv", "other.sqlite"])
def test_what_holds_no_decisions_is_refused_in_one_line(tmp_path, name):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "other.sqlite").write_text("no database at all, but text that is long enough")
    with pytest.raises(InputError) as error:
        read_decisions(tmp_path / name)
    assert "\n" not in str(error.value)
