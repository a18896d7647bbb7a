"""What follows for a label table from what people decided."""

import sqlite3

import numpy as np
import pandas as pd
import pytest
from decision_rows import row, table

from softfold.data.reading import read_table
from softfold.decisions.applying import apply_decisions, read_decisions
from softfold.decisions.log import LOG, DecisionLog
from softfold.decisions.questions import question_keys
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


def test_answers_about_items_with_several_labels_are_refused_for_one_label(log, tmp_path):
    for name, key in enumerate(question_keys(["i0", "i1"], ["cat", "dog"])):
        log.append([row("ann", f"s{name}", key, "class", "yes")])
    read_decisions(tmp_path).to_csv(tmp_path / "decisions.csv", index=False)
    for source in (tmp_path, tmp_path / "decisions.csv"):
        with pytest.raises(InputError, match=r"several labels.*`softfold export RUN`"):
            apply_decisions(table(), source)
    named = pd.DataFrame({"item": ["i0"], "state": ["confirmed"], "label": ["dog"], "class": [7]})
    assert apply_decisions(table(), named).given[0] == 1


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


ROWS = pd.DataFrame({"x": range(8), "label": ["cat", "dog"] * 4})


@pytest.fixture
def reviewed(tmp_path):
    """A run of eight rows known by their numbers, of which 2 and 5 were decided on."""
    run = tmp_path / "run"
    run.mkdir()
    read = read_table(ROWS)
    read.data.to_parquet(run / "data.parquet", index=False)
    given = np.asarray(read.vocab)[read.given]
    pd.DataFrame({"item": read.item, "given": given}).to_parquet(run / "items.parquet")
    log = DecisionLog(run / LOG)
    log.append([row("ann", "s1", "2", "accept", "dog"), row("ann", "s2", "5", "exclude")])
    log.close()
    return run


def test_decisions_on_rows_hold_for_these_rows_and_no_others(reviewed):
    after = apply_decisions(read_table(ROWS), reviewed)
    assert list(after.item) == ["0", "1", "2", "3", "4", "6", "7"]
    assert after.vocab[after.given[2]] == "dog"
    for changed in (ROWS[::-1], ROWS[1:]):
        moved = read_table(changed.reset_index(drop=True))
        with pytest.raises(InputError, match=r"2 of 2 rows stand elsewhere .* the first is '2'"):
            apply_decisions(moved, reviewed)
    named = read_table(ROWS.assign(item=[f"row {i}" for i in range(8)])[::-1])
    with pytest.raises(InputError, match="not in the data frame"):
        apply_decisions(named, reviewed)
    assert len(apply_decisions(read_table(ROWS[::-1]), reviewed)) == 7  # its index names the rows


def test_what_tells_the_rows_is_looked_at_only_where_it_is_asked_for(reviewed):
    assert "content" in read_decisions(reviewed, with_content=True)
    (reviewed / "data.parquet").write_bytes(b"not looked at")
    assert "content" not in read_decisions(reviewed)


def test_a_row_that_was_mended_keeps_its_decision_with_a_warning(reviewed):
    mended = ROWS.assign(x=[0, 1, 20, 3, 4, 5, 6, 7])  # one of the two that were decided on
    with pytest.warns(UserWarning, match="1 row has other values .* the first is '2'"):
        after = apply_decisions(read_table(mended), reviewed)
    assert after.vocab[after.given[2]] == "dog"


def test_decisions_of_which_nothing_tells_the_row_are_refused_or_warned_about(reviewed):
    wider = ROWS.assign(y=1.0)[::-1].reset_index(drop=True)
    with pytest.raises(InputError, match="2 of 2 rows have other values"):
        apply_decisions(read_table(wider), reviewed)
    bare = read_decisions(reviewed)[["item", "state", "label"]]
    with pytest.warns(UserWarning, match="2 rows go by number"):
        apply_decisions(read_table(ROWS), bare)


def test_a_state_that_there_is_none_of_is_refused():
    frame = pd.DataFrame({"item": ["i0", "i1"], "state": ["Confirmed", "yes"], "label": "cat"})
    with pytest.raises(InputError, match="1 state of decisions unknown; the first is 'yes'"):
        apply_decisions(table(), frame)
    assert list(read_decisions(frame[:1])["state"]) == ["confirmed"]


def test_a_log_without_its_run_is_compared_by_the_given_labels(reviewed):
    (reviewed / "data.parquet").unlink()
    with pytest.raises(InputError, match="1 of 2 rows have another given label"):
        apply_decisions(read_table(ROWS), reviewed)  # both were decided on as "cat"
