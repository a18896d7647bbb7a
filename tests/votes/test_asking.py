"""Whom to ask next, about what."""

from __future__ import annotations

import numpy as np
from votes.simulated import draw

from softfold.votes.combining import combine_votes


def test_the_next_vote_is_asked_of_the_best_who_has_not_voted_on_the_most_doubtful():
    _truth, votes = draw(n=2000, k=2, accuracy=(0.95, 0.8, 0.8, 0.55), share=0.8)
    votes[0] = [-1, 0, 1, -1]
    votes[1] = [0, 0, 0, -1]
    asked = combine_votes(votes).ask_next(2000).set_index("item")
    assert asked.loc["0", "annotator"] == "0"
    assert asked.loc["1", "annotator"] == "3"
    assert asked.loc["0", "gain"] > 10 * asked.loc["1", "gain"]
    full = np.flatnonzero((votes >= 0).all(axis=1)).astype(str)
    assert not set(full) & set(asked.index)
    assert asked["gain"].is_monotonic_decreasing and (asked["gain"] <= asked["doubt"] + 1e-9).all()


def test_asking_for_few_finds_the_best_of_many():
    _, votes = draw(n=5000, k=3, accuracy=(0.9, 0.7, 0.6), share=0.6)
    votes[0] = 0
    combined = combine_votes(votes)
    np.testing.assert_allclose(combined.ask_next(5)["gain"], combined.ask_next(5000)["gain"][:5])


def test_a_vote_tells_no_more_than_the_doubt_and_what_is_asked_can_be_asked():
    _, votes = draw(n=400, k=3, accuracy=(0.9, 0.7, 0.6), share=0.5)
    combined = combine_votes(votes)
    asked = combined.ask_next(50)
    assert list(asked) == ["item", "annotator", "gain", "doubt", "votes"] and len(asked) == 50
    assert (asked["gain"] >= 0).all() and (asked["doubt"] <= np.log2(3) + 1e-6).all()
    rows, who = asked["item"].astype(int), asked["annotator"].astype(int)
    assert (votes[rows, who] == -1).all()
    assert asked["votes"].tolist() == (votes[rows] >= 0).sum(axis=1).tolist()


def test_where_all_have_voted_nobody_is_asked():
    _, votes = draw(n=50, k=3)
    assert len(combine_votes(votes).ask_next(10)) == 0


def test_the_gain_is_the_expected_fall_of_the_doubt():
    """Mutual information, by hand for one item: entropy now less the mean entropy afterwards."""
    _, votes = draw(n=800, k=2, accuracy=(0.9, 0.8, 0.7), share=0.6)
    combined = combine_votes(votes)
    asked = combined.ask_next(1).iloc[0]
    q = combined.targets[int(asked["item"])].astype(float)
    joint = q[:, None] * combined.transition(asked["annotator"])

    def entropy(p):
        return -(p * np.log2(np.maximum(p, 1e-12))).sum()

    said = joint.sum(axis=0)
    after = sum(said[v] * entropy(joint[:, v] / said[v]) for v in range(2))
    np.testing.assert_allclose(asked["gain"], entropy(q) - after, atol=1e-6)
