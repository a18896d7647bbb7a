"""The reviewers' desk: what is decided, who sees it, what is left, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from example_runs import synthetic_run

from softfold.errors import InputError
from softfold.review.desk import MOST_IN_A_STROKE, Desk, Filter

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")


@pytest.fixture
def desk(tmp_path):
    return Desk(synthetic_run(tmp_path / "run", 300, 4, rate=0.3))


def stroke(name, action, rows=(), **more):
    return {"stroke": f"stroke-{name}", "action": action, "rows": list(rows), **more}


def test_what_is_decided_survives_a_new_start(desk):
    desk.strike("ann", [stroke("1", "accept", [3]), stroke("2", "class", [4], label=2)])
    again = Desk(desk.run.path)
    assert again.opinion(3, "ann")["mine"] == ["accept", int(desk.suggested[3])]
    assert again.opinion(4, "ann")["mine"] == ["class", 2]
    assert again.progress("ann")["reviewed"] == 2


def test_filters_pick_by_class_pair_suspicion_state_and_reviewer(desk):
    every, total = desk.listing(Filter(), "ann")
    assert total == 300 and list(desk.suspicion[every]) == sorted(desk.suspicion, reverse=True)
    rows, _ = desk.listing(Filter(given=1, suggested=2), "ann")
    assert rows and all(desk.given[r] == 1 and desk.suggested[r] == 2 for r in rows)
    rows, _ = desk.listing(Filter(least=0.5, most=0.9), "ann")
    assert all(0.5 <= desk.suspicion[r] <= 0.9 for r in rows)
    desk.strike("ann", [stroke("1", "keep", every[:3])])
    desk.strike("bob", [stroke("2", "exclude", every[2:4])])
    assert desk.listing(Filter(state="conflict"), "ann")[0] == [every[2]]
    assert desk.listing(Filter(state="excluded"), "ann")[0] == [every[3]]
    assert desk.listing(Filter(reviewer="bob"), "ann")[0] == every[2:4]
    assert desk.listing(Filter(state="mine"), "bob")[1] == 298
    assert desk.listing(Filter(state="open"), "bob")[1] == 296


def test_others_decisions_are_hidden_until_ones_own(desk):
    desk.strike("ann", [stroke("1", "accept", [5])])
    before = desk.opinion(5, "bob")
    assert before == {"state": "seen", "mine": None, "others": 1, "sides": []}
    desk.strike("bob", [stroke("2", "keep", [5])])
    after = desk.opinion(5, "bob")
    assert after["state"] == "conflict" and [side[0] for side in after["sides"]] == ["ann", "bob"]


def test_two_servers_on_one_run_see_each_others_decisions(desk):
    other = Desk(desk.run.path)
    other.strike("bob", [stroke("1", "keep", [7])])
    assert desk.changes(0) == [7]
    assert desk.opinion(7, "ann")["others"] == 1


def test_the_expected_number_still_wrong_follows_what_was_found(desk):
    start = desk.progress("ann")["still"]
    assert start == pytest.approx(desk.suspicion.sum())
    rows = desk.listing(Filter(), "ann")[0][:40]
    desk.strike("ann", [stroke("1", "keep", rows)])
    kept = desk.progress("ann")
    assert kept["right"] == 40 and kept["still"] < start - desk.suspicion[rows].sum()
    desk.strike("ann", [stroke("2", "undo")])
    assert desk.progress("ann")["still"] == pytest.approx(start)


@pytest.mark.parametrize(
    "bad",
    [
        {"action": "accept", "rows": [0]},
        stroke("1", "drop table", [0]),
        stroke("1", "accept", [300]),
        stroke("1", "accept", [-1]),
        stroke("1", "accept", ["0"]),
        stroke("1", "accept", [True]),
        stroke("1", "accept", []),
        stroke("1", "class", [0], label=4),
        stroke("1", "class", [0], label="1"),
        stroke("1", "accept", [0] * 501),
    ],
)
def test_a_stroke_that_means_nothing_writes_nothing(desk, bad):
    with pytest.raises(InputError):
        desk.strike("ann", [stroke("0", "keep", [1]), bad])
    assert desk.log.since() == []


def test_a_stroke_sent_again_changes_nothing(desk):
    once = stroke("1", "accept", [3])
    assert desk.strike("ann", [once]) == [3]
    last = desk.last
    desk.strike("ann", [once])
    assert desk.last == last and desk.progress("ann")["mine"] == 1


def test_undo_takes_back_ones_own_last_stroke_whole_and_no_one_elses(desk):
    desk.strike("ann", [stroke("1", "keep", [1])])
    desk.strike("ann", [stroke("2", "exclude", [2, 3])])
    desk.strike("bob", [stroke("3", "keep", [4])])
    assert desk.strike("ann", [stroke("4", "undo")]) == [2, 3]
    assert [desk.opinion(row, "ann")["mine"] is None for row in (1, 2, 3)] == [False, True, True]
    assert desk.opinion(4, "bob")["mine"][0] == "keep"
    assert desk.strike("ann", [stroke("5", "undo"), stroke("6", "undo")]) == [1]


def test_an_undo_sent_again_takes_back_nothing_more(desk):
    desk.strike("ann", [stroke("1", "keep", [1]), stroke("2", "keep", [2])])
    for _ in range(2):
        desk.strike("ann", [stroke("3", "undo")])
    assert [desk.opinion(row, "ann")["mine"] is None for row in (1, 2)] == [False, True]


def test_a_stroke_and_its_undo_in_one_call_are_taken_in_order(desk):
    desk.strike("ann", [stroke("1", "keep", [1]), stroke("2", "undo"), stroke("3", "keep", [2])])
    assert desk.opinion(1, "ann")["mine"] is None
    assert desk.opinion(2, "ann")["mine"][0] == "keep"


def test_a_stroke_takes_as_many_items_as_it_may(tmp_path):
    desk = Desk(synthetic_run(tmp_path / "run", MOST_IN_A_STROKE + 10, 3))
    rows = list(range(MOST_IN_A_STROKE))
    assert desk.strike("ann", [stroke("1", "keep", rows)]) == rows
    with pytest.raises(InputError, match="about 1 to 500 items"):
        desk.strike("ann", [stroke("2", "keep", [*rows, 500])])


def test_a_suggestion_that_is_not_there_cannot_be_accepted(tmp_path):
    run = synthetic_run(tmp_path / "run", 60, 3)
    items = pd.read_parquet(run / "items.parquet")
    items.loc[5, "suggested"] = None
    items.to_parquet(run / "items.parquet")
    desk = Desk(run)
    with pytest.raises(InputError, match="no suggestion to accept"):
        desk.strike("ann", [stroke("1", "accept", [4, 5])])
    assert desk.log.since() == []
    assert desk.describe(5)["suggested"] == -1 and desk.describe(5)["p_suggested"] is None


def test_what_the_models_say_comes_with_an_item(desk):
    row = desk.listing(Filter(), "ann")[0][0]
    said = desk.describe(row)
    p = np.asarray(desk.run.probabilities[row], float)
    assert said["item"] == desk.item[row] and said["given"] == desk.given[row]
    assert said["suspicion"] == pytest.approx(desk.suspicion[row], abs=1e-4)
    assert [k for k, _ in said["top"]] == np.argsort(-p, kind="stable")[:5].tolist()
    assert said["p_given"] == pytest.approx(p[said["given"]], abs=1e-4)
    assert said["p_suggested"] == pytest.approx(p[said["suggested"]], abs=1e-4)
    json.dumps(said)  # it is sent to the browser


def test_an_item_leads_its_group(desk):
    largest = np.bincount(desk.groups).argmax()
    members = np.flatnonzero(desk.groups == largest)
    row = int(members[-1])
    found = desk.group(row)
    assert found[0] == row and sorted(found) == members.tolist()
    rest = desk.suspicion[found[1:]]
    assert (np.diff(rest) <= 0).all()
    assert desk.group(row, size=2) == found[:2]


def test_counts_and_precision_are_of_what_was_decided(desk):
    rows = desk.listing(Filter(), "ann")[0]
    desk.strike("ann", [stroke("1", "accept", rows[:3]), stroke("2", "keep", rows[3:4])])
    desk.strike("ann", [stroke("3", "exclude", rows[4:6]), stroke("4", "unsure", rows[6:7])])
    desk.strike("ann", [stroke("5", "none", rows[7:8])])
    found = desk.progress("ann")
    counted = {k: found[k] for k in ("reviewed", "mine", "wrong", "right", "excluded", "unsure")}
    assert counted == {
        "reviewed": 8, "mine": 8, "wrong": 4, "right": 1, "excluded": 2, "unsure": 1,
    }  # fmt: skip
    assert found["none_of_these"] == 1 and found["conflict"] == 0
    assert found["precision"] == pytest.approx(4 / 5)
    assert desk.progress("bob")["mine"] == 0


def test_nothing_decided_is_no_precision_and_no_agreement(desk):
    assert desk.progress("ann")["precision"] is None
    assert desk.agreement() is None


def test_decisions_on_items_that_the_run_does_not_have_are_left_alone(desk):
    entry = {"reviewer": "ann", "stroke": "stroke-x", "item": "elsewhere", "action": "keep"}
    desk.log.append([{**entry, "label": "class 0000", "given": "class 0000", "suspicion": 0.5}])
    assert desk.refresh() == [] and desk.progress("ann")["reviewed"] == 0


def test_a_run_without_suspicions_is_refused_with_what_to_do(tmp_path):
    run = synthetic_run(tmp_path / "run", 30, 3)
    items = pd.read_parquet(run / "items.parquet")
    items["split"] = "valid"
    items.to_parquet(run / "items.parquet")
    with pytest.raises(InputError, match=r"no suspicion yet \(softfold crossfit first\)"):
        Desk(run)
