"""What the log of decisions promises."""

import sqlite3
import threading

import pytest
from decision_rows import outcome, row

from softfold.decisions.log import LOG, DecisionLog, check_log
from softfold.errors import InputError


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


def test_the_file_alone_has_every_decision_while_the_log_is_open(log, tmp_path):
    log.append([row("ann", "1", "i0", "none")])
    copied = tmp_path / "copied.sqlite"
    copied.write_bytes(log.path.read_bytes())
    copy = DecisionLog(copied, create=False)
    assert [each.item for each in copy.since()] == [each.item for each in log.since()] != []
    copy.close()


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


def test_a_decision_that_is_not_what_was_written_is_never_read(tmp_path):
    log = DecisionLog(tmp_path / LOG)
    log.append([row("ann", "s1", "item 158", "accept", "dog")])
    log.append([row("ann", "s2", "item 7", "keep", "cat")])
    log.check()
    log._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log.close()
    content = (tmp_path / LOG).read_bytes()
    assert content.count(b"item 158") == 2  # the row, and its place in the index of strokes
    (tmp_path / LOG).write_bytes(content.replace(b"item 158", b"item 159"))
    again = DecisionLog(tmp_path / LOG)
    for look in (again.since, again.check):
        with pytest.raises(InputError, match="damaged: decision 1, about 'item 159'"):
            look()
    again.close()


def test_a_log_that_is_cut_off_is_damaged_and_what_to_do_is_said(tmp_path):
    log = DecisionLog(tmp_path / LOG)
    log.append(row("ann", f"s{k}", f"i{k}", "keep", "cat") for k in range(300))
    log.close()
    content = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"damaged: .* bring a copy of it back"):
        check_log(tmp_path / LOG)


def test_a_log_from_before_checksums_is_read_and_goes_on(tmp_path):
    log = DecisionLog(tmp_path / LOG)
    log.append([row("ann", "s1", "i1", "keep", "cat")])
    log._db.execute("ALTER TABLE decisions DROP COLUMN checksum")
    log.close()
    again = DecisionLog(tmp_path / LOG)
    again.append([row("ann", "s2", "i2", "keep", "cat")])
    again.check()
    assert [d.item for d in again.since()] == ["i1", "i2"]
    again.close()
