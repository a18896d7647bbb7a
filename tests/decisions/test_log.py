"""What the log of decisions promises."""

import sqlite3
import threading

import pytest
from decision_rows import outcome, row

from softfold.decisions.log import LOG, DecisionLog


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
