"""How good annotators are, and who disagrees with whom."""

from __future__ import annotations

import numpy as np
from votes.simulated import draw

from softfold.votes.combining import combine_votes


def test_intervals_of_accuracy_hold_the_truth():
    held, many = 0, 0
    for seed in range(12):
        accuracy = np.random.default_rng(seed).uniform(0.5, 0.95, 12)
        _truth, votes = draw(n=1000, accuracy=accuracy, share=0.4, seed=seed)
        found = combine_votes(votes).quality().set_index("annotator")
        for w in range(12):
            row = found.loc[str(w)]
            held += row["low"] <= accuracy[w] <= row["high"]
            many += 1
    assert held / many > 0.9


def test_quality_comes_worst_first_and_names_the_commonest_mistake():
    truth, votes = draw(n=3000, k=3, accuracy=(0.95, 0.9, 0.9))
    votes[:, 1] = np.where(truth == 0, 2, truth)
    found = combine_votes(votes, vocab=["ant", "bee", "cat"]).quality()
    assert found["annotator"].iloc[0] == "1"
    assert found["mistake"].iloc[0] == "ant -> cat"
    assert found["votes"].tolist() == [3000, 3000, 3000]


def test_who_disagrees_most_comes_first():
    _, votes = draw(n=2000, accuracy=(0.95, 0.95, 0.3))
    found = combine_votes(votes).disagreements()
    assert {found["first"][0], found["second"][0]} & {"2"}
    last = found.iloc[-1]
    assert (last["first"], last["second"]) == ("0", "1")
    assert last["low"] < (votes[:, 0] == votes[:, 1]).mean() < last["high"]
    assert abs(last["agreement"] - last["expected"]) < 0.03
    split = found[(found["first"] == "0") & (found["second"] == "2")].iloc[0]
    assert split["first_right"] > 0.9 > split["second_right"]


def test_no_pairs_no_rows():
    votes = np.array([[0, -1], [-1, 1], [1, -1]])
    assert len(combine_votes(votes).disagreements()) == 0
