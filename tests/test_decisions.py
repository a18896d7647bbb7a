"""Decisions: what the log promises, how reviewers' words add up, and what follows from them."""

import sqlite3
import threading

import numpy as np
import pandas as pd
import pytest

from softfold.decisions import (
    LOG,
    DecisionLog,
    agreement,
    apply_decisions,
    measured_precision,
    read_decisions,
    replay,
)
from softfold.errors import InputError
from softfold.labels import LabelTable


def row(reviewer, stroke, item, action, label=None, given="cat", suspicion=0.9):
    return {
        "reviewer": reviewer,
        "stroke": stroke,
        "item": item,
        "action": action,
        "label": label,
        "given": given,
        "suspicion": suspicion,
    }


@pytest.fixture
def log(tmp_path):
    log = DecisionLog(tmp_path / LOG)
    yield log
    log.close()


def outcome(log, item):
    return replay(log.since())[item].outcome()


def table(n=6):
    return LabelTable(
        item=np.array([f"i{k}" for k in range(n)], dtype=object),
        given=np.zeros(n, dtype=np.int64),
        vocab=("cat", "dog", "fox"),
        valid=np.arange(n) >= n - 1,
    )


def test_the_last_word_of_a_reviewer_holds_and_undo_brings_back_the_one_before(log):
    log.append([row("ann", "s1", "i0", "accept", "dog")])
    log.append([row("ann", "s2", "i0", "keep", "cat")])
    assert outcome(log, "i0") == ("confirmed", "cat")
    assert log.undo("ann", "u1") == ["i0"]
    assert outcome(log, "i0") == ("confirmed", "dog")
    assert log.undo("ann", "u2") == ["i0"]
    assert outcome(log, "i0") == ("open", None)
    assert log.undo("ann", "u3") == []


def test_one_undo_takes_back_a_whole_stroke_but_nobody_elses(log):
    log.append(row("ann", "s1", f"i{k}", "accept", "dog") for k in range(3))
    log.append([row("bob", "s2", "i0", "keep", "cat")])
    assert sorted(log.undo("ann", "u1")) == ["i0", "i1", "i2"]
    assert outcome(log, "i0") == ("confirmed", "cat")
    assert outcome(log, "i1") == ("open", None)


def test_a_stroke_or_an_undo_that_is_sent_twice_counts_once(log):
    log.append([row("ann", "s1", "i0", "accept", "dog")])
    log.append([row("ann", "s2", "i0", "keep", "cat")])
    log.append([row("ann", "s2", "i0", "keep", "cat")])
    assert len(log.since()) == 2
    assert log.undo("ann", "u1") == ["i0"]
    assert log.undo("ann", "u1") == ["i0"]
    assert outcome(log, "i0") == ("confirmed", "dog")


def test_nothing_in_the_log_can_be_changed_or_deleted(log):
    log.append([row("ann", "s1", "i0", "accept", "dog")])
    with sqlite3.connect(log.path) as db:
        for sql in ("UPDATE decisions SET label = 'fox'", "DELETE FROM decisions"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(sql)


def test_reviewers_who_disagree_make_a_conflict_until_a_third_decides(log):
    log.append([row("ann", "s1", "i0", "accept", "dog"), row("bob", "s2", "i0", "keep", "cat")])
    assert outcome(log, "i0") == ("conflict", None)
    log.append([row("eve", "s3", "i0", "unsure")])
    assert outcome(log, "i0") == ("conflict", None)
    log.append([row("joe", "s4", "i0", "class", "dog")])
    assert outcome(log, "i0") == ("confirmed", "dog")


def test_agreement_counts_pairs_of_reviewers_on_shared_items(log):
    for k, second in enumerate(["dog", "dog", "dog", "cat"]):
        log.append([row("ann", f"a{k}", f"i{k}", "accept", "dog")])
        log.append([row("bob", f"b{k}", f"i{k}", "class", second)])
    log.append([row("ann", "a9", "alone", "accept", "dog")])
    items, share, kappa = agreement(replay(log.since()).values())
    assert (items, share) == (4, 0.75)
    assert kappa == pytest.approx(0.0)


def test_many_threads_and_two_logs_lose_nothing(tmp_path):
    logs = [DecisionLog(tmp_path / LOG) for _ in range(2)]

    def work(number):
        for k in range(20):
            logs[number % 2].append([row("ann", f"{number}-{k}", f"i{number}-{k}", "keep", "cat")])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(logs[0].since()) == len(logs[1].since()) == 120


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


def test_precision_counts_confirmed_items_only(log, tmp_path):
    log.append(row("ann", f"s{k}", f"i{k}", "accept", "dog") for k in range(3))
    log.append([row("ann", "t0", "j0", "keep", "cat"), row("ann", "t1", "j1", "exclude")])
    log.append([row("ann", "t2", "j2", "unsure")])
    found = measured_precision(tmp_path)
    assert (found.wrong, found.right, found.share) == (3, 1, 0.75)
    assert found.promised == pytest.approx(3.6)
    low, high = found.interval
    assert low < 0.75 < high


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
