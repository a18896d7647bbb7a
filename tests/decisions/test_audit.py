"""Items drawn at random, what counts of the decisions on them, and what they say."""

import sqlite3

import numpy as np
import pytest
from decision_rows import row, table

from softfold import corrupt
from softfold.decisions.applying import apply_decisions, read_decisions
from softfold.decisions.audit import audit_state, checked, draw, drawn
from softfold.decisions.log import LOG, DecisionLog
from softfold.decisions.precision import measured_precision
from softfold.errors import InputError
from softfold.noise.audit import audited_rate, wanted_checks

ITEMS = [f"i{k}" for k in range(500)]
VOCAB = ("cat", "dog", "fox")


def blind(stroke, item, action, label=None, reviewer="ann"):
    return {**row(reviewer, stroke, item, action, label), "audit": True}


def state(run, suspicion=None, width=0.04):
    suspicion = np.full(500, 0.1) if suspicion is None else suspicion
    return audit_state(run, np.array(ITEMS, object), VOCAB, np.zeros(500, int), suspicion, width)


def test_a_larger_audit_goes_on_in_the_same_random_order(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    first = draw(tmp_path / "a", ITEMS, 50)
    assert len(set(first)) == 50 and first != sorted(first, key=ITEMS.index)
    assert draw(tmp_path / "a", ITEMS, 20) == first
    assert draw(tmp_path / "a", ITEMS, 120)[:50] == first
    assert draw(tmp_path / "b", ITEMS, 120) == drawn(tmp_path / "a")
    assert sorted(draw(tmp_path / "b", ITEMS, 9999)) == sorted(ITEMS)


def test_every_item_is_as_likely_to_be_drawn(tmp_path):
    times = np.zeros(20)
    for seed in range(400):
        folder = tmp_path / str(seed)
        folder.mkdir()
        for item in draw(folder, ITEMS[:20], 5, seed):
            times[ITEMS.index(item)] += 1
    # 400 draws of 5 of 20: 100 +- 8.7 each
    assert times.sum() == 2000 and np.abs(times - 100).max() < 40


def test_the_audit_is_not_the_draw_that_made_the_noise(tmp_path):
    noisy = corrupt(np.zeros(500, int), 0.2, n_classes=3, seed=0)
    hit = sum(noisy[ITEMS.index(item)] != 0 for item in draw(tmp_path, ITEMS, 100, 0))
    assert 8 < hit < 35


def test_another_seed_or_other_items_are_refused_and_nothing_changes(tmp_path):
    before = draw(tmp_path, ITEMS, 10, 3)
    with pytest.raises(InputError, match="drawn with seed 3"):
        draw(tmp_path, ITEMS, 20, 4)
    with pytest.raises(InputError, match="not in its training part now; the first is"):
        draw(tmp_path, ["elsewhere"], 20)
    with pytest.raises(InputError, match="at least 1 item"):
        draw(tmp_path, ITEMS, 0)
    assert drawn(tmp_path) == before


def test_what_was_drawn_cannot_be_changed_or_deleted(tmp_path):
    draw(tmp_path, ITEMS, 10)
    with sqlite3.connect(tmp_path / LOG) as db:
        for sql in ("UPDATE audit SET item = 'x'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(sql)


def test_only_what_was_decided_without_hints_counts_for_the_rate(log, tmp_path):
    keys = draw(tmp_path, ITEMS, 6)
    # people went through the most suspicious, some of them drawn by chance
    log.append(row("ann", f"s{k}", f"i{k}", "accept", "dog") for k in range(100))
    log.append([row("ann", "led", keys[0], "accept", "dog")])
    log.append([blind("b1", keys[1], "keep", "cat"), blind("b2", keys[2], "class", "fox")])
    log.append([blind("b3", keys[3], "none"), blind("b4", keys[4], "unsure")])
    rows, truth = checked(tmp_path, ITEMS, VOCAB)
    found = {ITEMS[r]: t for r, t in zip(rows, truth)}
    assert found == {keys[1]: 0, keys[2]: 2, keys[3]: -1}
    now = state(tmp_path)
    assert (now.drawn, now.checked, now.wrong, now.none_of_these) == (6, 3, 2, 1)
    assert (now.unsure, now.left) == (1, 2)
    # and the precision at the top leaves the random ones out
    precision = measured_precision(tmp_path)
    top = set(ITEMS[:100]) | {keys[0]}
    assert precision.wrong + precision.right == len(top - set(keys[1:4]))


def test_an_undone_or_disputed_check_counts_no_more(log, tmp_path):
    keys = draw(tmp_path, ITEMS, 4)
    log.append([blind("b1", keys[0], "keep", "cat"), blind("b2", keys[1], "keep", "cat")])
    log.append([row("ann", "s1", "i499", "accept", "dog")])
    assert log.undo("ann", "u1", audit=True) == [keys[1]]
    log.append([blind("b3", keys[0], "class", "dog", reviewer="bob")])
    now = state(tmp_path)
    assert (now.checked, now.conflict, now.left) == (0, 1, 3)
    log.append([blind("b4", keys[0], "class", "dog", reviewer="eve")])
    assert checked(tmp_path, ITEMS, VOCAB)[1].tolist() == [1]


def test_a_change_of_mind_elsewhere_corrects_what_was_checked(log, tmp_path):
    keys = draw(tmp_path, ITEMS, 2)
    log.append([blind("b1", keys[0], "keep", "cat")])
    log.append([row("ann", "s1", keys[0], "class", "fox")])
    assert checked(tmp_path, ITEMS, VOCAB)[1].tolist() == [2]


def test_the_interval_holds_the_rate_and_good_suspicions_narrow_it():
    rng = np.random.default_rng(0)
    n, held, width = 5000, 0, {True: [], False: []}
    for _ in range(200):
        wrong = rng.random(n) < 0.2
        sharp = np.clip(0.8 * wrong + 0.15 * rng.random(n), 0, 1)
        rows = rng.choice(n, 100, replace=False)
        for good in (True, False):
            s = sharp if good else np.full(n, 0.1)
            rate, low, high = audited_rate(s, rows, wrong[rows])
            assert 0 <= low <= rate <= high <= 1
            held += low <= wrong.mean() <= high
            width[good].append(high - low)
    assert held >= 0.93 * 400
    assert np.mean(width[True]) < 0.5 * np.mean(width[False])


def test_as_many_more_as_wanted_give_the_wanted_width():
    rng = np.random.default_rng(1)
    wrong = rng.random(20_000) < 0.15
    s = np.clip(rng.normal(0.15 + 0.3 * wrong, 0.2), 0, 1)
    rows = rng.permutation(20_000)
    more = wanted_checks(s, rows[:100], wrong[rows[:100]], 0.02)
    part = rows[: 100 + more]
    _, low, high = audited_rate(s, part, wrong[part])
    assert 0.03 < high - low < 0.05
    assert wanted_checks(s, part, wrong[part], 0.03) == 0
    assert wanted_checks(s, rows[:100], wrong[rows[:100]], 1e-4) == 20_000 - 100


def test_the_state_says_what_was_found_in_words(log, tmp_path):
    keys = draw(tmp_path, ITEMS, 40)
    assert state(tmp_path).text() == "" and state(tmp_path).rate is None
    log.append(blind(f"b{k}", keys[k], "keep", "cat") for k in range(30))
    log.append(blind(f"b{k}", keys[k], "class", "dog") for k in range(30, 39))
    log.append([blind("b39", keys[39], "none")])
    now = state(tmp_path)
    assert now.low < 0.25 < now.high and now.left == 0
    assert "by 40 items drawn at random and checked: 10 wrong (1 of no class)" in now.text()
    assert now.more > 0 and state(tmp_path, width=0.9).more == 0
    with pytest.raises(InputError, match="--width 4"):
        state(tmp_path, width=4)


def test_none_of_these_leaves_the_table_and_is_told_apart_from_excluded(log, tmp_path):
    log.append([row("ann", "s1", "i0", "none"), row("ann", "s2", "i1", "exclude")])
    log.append([row("bob", "s3", "i0", "exclude"), row("eve", "s4", "i0", "none")])
    frame = read_decisions(tmp_path).set_index("item")
    assert frame["state"].to_dict() == {"i0": "none_of_these", "i1": "excluded"}
    assert frame["none_of_these"].to_dict() == {"i0": True, "i1": False}
    assert list(apply_decisions(table(), tmp_path).item) == ["i2", "i3", "i4", "i5"]
    out = tmp_path / "decisions.csv"
    read_decisions(tmp_path).to_csv(out, index=False)
    assert list(apply_decisions(table(), out).item) == ["i2", "i3", "i4", "i5"]


def test_a_log_of_an_earlier_version_keeps_its_rows_and_takes_new_states(tmp_path):
    with sqlite3.connect(tmp_path / LOG) as db:
        db.executescript(
            """
            CREATE TABLE decisions (
                id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, reviewer TEXT NOT NULL,
                stroke TEXT NOT NULL, item TEXT NOT NULL,
                action TEXT NOT NULL CHECK (action IN ('accept', 'keep', 'exclude', 'undo')),
                label TEXT, given TEXT, suspicion REAL, undoes INTEGER REFERENCES decisions (id),
                UNIQUE (stroke, item), UNIQUE (undoes));
            CREATE TRIGGER decisions_stay BEFORE UPDATE ON decisions
                BEGIN SELECT RAISE(ABORT, 'the log of decisions is append-only'); END;
            CREATE TRIGGER decisions_remain BEFORE DELETE ON decisions
                BEGIN SELECT RAISE(ABORT, 'the log of decisions is append-only'); END;
            INSERT INTO decisions VALUES
                (3, '2024', 'ann', 's1', 'i0', 'accept', 'dog', 'cat', 0.9, NULL),
                (7, '2024', 'ann', 's2', 'i1', 'exclude', NULL, 'cat', 0.8, NULL),
                (8, '2024', 'ann', 'u1', 'i1', 'undo', NULL, NULL, NULL, 7);
            """
        )
    logs = [DecisionLog(tmp_path / LOG), DecisionLog(tmp_path / LOG)]
    logs[1].append([row("ann", "s3", "i2", "none")])
    rows = logs[0].since()
    assert [(d.id, d.item, d.action, d.undoes, d.audit) for d in rows] == [
        (3, "i0", "accept", None, 0),
        (7, "i1", "exclude", None, 0),
        (8, "i1", "undo", 7, 0),
        (9, "i2", "none", None, 0),
    ]
    with sqlite3.connect(tmp_path / LOG) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute("DELETE FROM decisions")
