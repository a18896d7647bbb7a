"""Runs made with decisions: what was decided before carries over, and so does what was audited."""

import numpy as np
import pytest
from decision_rows import row

from softfold.decisions.applying import CARRIED, read_decisions, settled
from softfold.decisions.audit import as_first_given, audit_state, draw, drawn
from softfold.decisions.log import LOG, DecisionLog

VOCAB = ("cat", "dog")
N = 1000
ITEMS = np.array([f"i{k}" for k in range(N)], dtype=object)


def blind(item, action, label, given="cat"):
    return {**row("ann", f"blind {item}", item, action, label, given), "audit": True}


def add(run, rows):
    log = DecisionLog(run / LOG)
    log.append(rows)
    log.close()


def made_with_decisions_of(run, folder):
    folder.mkdir()
    read_decisions(run).to_parquet(folder / CARRIED)
    return folder


def test_earlier_decisions_carry_over_and_newer_ones_win(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    add(first, [row("ann", f"s{k}", f"i{k}", "class", "dog") for k in range(4)])
    add(first, [row("ann", "out", "i4", "none"), blind("i5", "class", "dog")])
    second = made_with_decisions_of(first, tmp_path / "second")
    assert read_decisions(second)["item"].tolist() == [f"i{k}" for k in range(6)]
    # there all stand as dogs
    again = [row("bob", "t0", "i0", "class", "cat", "dog", 0.0), row("bob", "t1", "i1", "unsure")]
    again += [row("bob", "t5", "i5", "class", "cat", "dog"), row("bob", "t6", "i6", "keep", "cat")]
    add(second, again)
    third = made_with_decisions_of(second, tmp_path / "third")
    found = read_decisions(third).set_index("item")
    assert sorted(found.index) == [f"i{k}" for k in range(7)]
    assert found.loc[["i0", "i1", "i2", "i5"], "label"].tolist() == ["cat", "dog", "dog", "cat"]
    # the label first given, not that of the run in between
    assert found.loc[["i0", "i5"], "given"].tolist() == ["cat", "cat"]
    assert found.loc["i0", "suspicion"] == 0.9
    assert found["audited"][found["audited"]].index.tolist() == ["i5"]
    assert found.loc["i4", "state"] == "none_of_these"
    assert set(settled(third)["item"]) == set(found.index)


def test_nobody_is_asked_again_about_what_was_decided(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    at_random = draw(first, ITEMS, 50)
    add(first, [blind(item, "keep", "cat") for item in at_random])
    reviewed = [f"i{k}" for k in range(500) if f"i{k}" not in at_random]
    add(first, [row("ann", f"s{item}", item, "class", "dog") for item in reviewed])
    second = made_with_decisions_of(first, tmp_path / "second")
    about = (ITEMS, VOCAB, np.zeros(N, int), np.full(N, 0.3))
    assert drawn(second) == at_random
    now = audit_state(second, *about)
    assert (now.drawn, now.checked, now.before, now.left) == (50, 50, 50, 0)
    assert draw(second, ITEMS, 50) == at_random
    further = draw(second, ITEMS, 150)[50:]
    ask = [item for item in further if item not in reviewed]
    assert len(further) == 100 and not set(further) & set(at_random) and 20 < len(ask) < 80
    now = audit_state(second, *about)
    assert now.left == len(ask)
    # those decided before count as far as the order was gone through
    at_once = further.index(ask[0])
    assert now.checked == 50 + at_once and now.later == 100 - len(ask) - at_once
    add(second, [blind(item, "keep", "cat") for item in ask])
    now = audit_state(second, *about)
    assert (now.checked, now.left, now.later) == (150, 0, 0)
    assert now.wrong == 100 - len(ask) and "wrong as first given" in now.text()
    assert set(drawn(made_with_decisions_of(second, tmp_path / "third"))) == {*at_random, *further}


@pytest.mark.parametrize("further", [0, 60])
def test_the_rate_is_that_of_the_labels_as_they_stand_now(tmp_path, further):
    """Audit, review of the most suspicious, correction, and an audit of what is left."""
    errors, held, times = [], 0, 25
    for seed in range(times):
        rng = np.random.default_rng(seed)
        wrong = rng.random(N) < 0.3
        suspicion = np.clip(0.3 + 0.25 * wrong + rng.normal(0, 0.15, N), 0, 1)
        run = tmp_path / f"{seed}"
        run.mkdir()
        place = {item: k for k, item in enumerate(ITEMS)}
        decide = lambda item, w: ("class", "dog") if w else ("keep", "cat")  # noqa: E731
        at_random = draw(run, ITEMS, 60, seed)
        add(run, [blind(i, *decide(i, wrong[place[i]])) for i in at_random])
        top = [i for i in ITEMS[np.argsort(-suspicion)] if i not in at_random][:200]
        add(run, [row("ann", f"s{i}", i, *decide(i, wrong[place[i]])) for i in top])
        after = made_with_decisions_of(run, tmp_path / f"{seed} after")
        decided = read_decisions(after)
        right = decided.loc[decided["label"] == "dog", "item"].map(place)
        given = np.zeros(N, int)
        given[right] = 1
        still = wrong & (given == 0)
        if further:
            before = set(decided["item"])
            ask = [i for i in draw(after, ITEMS, 60 + further, seed)[60:] if i not in before]
            add(after, [blind(i, *decide(i, wrong[place[i]])) for i in ask])
            assert still[[place[i] for i in ask]].any()
        state = audit_state(
            after, ITEMS, VOCAB, given, np.zeros(N), suspicion_of=lambda _, s=suspicion: s
        )
        assert state.checked == 60 + further
        errors.append(state.rate - still.mean())
        held += state.low <= still.mean() <= state.high
        plain = as_first_given(after, ITEMS, VOCAB, given, lambda _, s=suspicion: s)
        assert plain.rate() == (state.rate, state.low, state.high)
    assert held >= 0.88 * times
    assert abs(np.mean(errors)) < 3 * np.std(errors) / times**0.5 + 0.002


def test_items_taken_out_count_as_wrong_no_more(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    at_random = draw(first, ITEMS, 100)
    nowhere = set(at_random[:20]) | set(ITEMS[:100])
    add(
        first, [blind(i, *(("none", None) if i in nowhere else ("keep", "cat"))) for i in at_random]
    )
    rest = [i for i in ITEMS[:100] if i not in at_random]
    add(first, [row("ann", f"s{i}", i, "none") for i in rest])
    second = made_with_decisions_of(first, tmp_path / "second")
    left = np.array([i for i in ITEMS if i not in nowhere], dtype=object)
    n = len(left)
    state = audit_state(second, left, VOCAB, np.zeros(n, int), np.full(n, 0.1))
    assert state.checked == 100 and state.none_of_these == len(nowhere & set(at_random))
    first_rate = state.none_of_these / 100
    assert state.rate == pytest.approx(max(0.0, (first_rate * N - len(nowhere)) / n))
    draw(second, left, 120)
    assert len(drawn(second)) == 120
