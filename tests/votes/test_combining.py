"""Soft labels from several annotators' votes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from votes.simulated import draw, predictions

from softfold.crossfit.oof import OutOfFold
from softfold.errors import InputError
from softfold.votes.combining import combine_votes


def right(labels, truth):
    return float((labels == truth).mean())


def test_a_good_annotator_outvotes_two_bad_ones():
    truth, votes = draw(accuracy=(0.95, 0.55, 0.5))
    combined = combine_votes(votes)
    assert right(combined.labels, truth) > 0.94
    assert right(combined.majority, truth) < 0.85


def test_predictions_joined_with_votes_beat_either():
    truth, votes = draw(accuracy=(0.7, 0.7, 0.7))
    p = predictions(truth, 4, right=0.75)
    joined = combine_votes(votes, p)
    alone = combine_votes(votes)
    assert right(joined.labels, truth) > max(right(alone.labels, truth), 0.75) + 0.03


def test_soft_labels_are_as_sure_as_they_are_right():
    truth, votes = draw(n=20_000, accuracy=(0.8, 0.7, 0.6))
    q = combine_votes(votes, predictions(truth, 4)).targets
    assert abs(q.max(axis=1).mean() - right(q.argmax(axis=1), truth)) < 0.02


def test_votes_weigh_less_where_annotators_err_on_the_same_items():
    """Hard items mislead all: three equal wrong votes are no proof."""
    truth, votes = draw(n=6000, k=4, accuracy=(0.95,) * 4)
    rng = np.random.default_rng(5)
    hard = rng.random(len(truth)) < 0.3
    lure = (truth + 1) % 4
    for w in range(4):
        fooled = hard & (rng.random(len(truth)) < 0.6)
        votes[fooled, w] = lure[fooled]
    apart = combine_votes(draw(n=6000, k=4, accuracy=(0.8,) * 4)[1])
    assert combine_votes(votes).vote_weight < apart.vote_weight


def test_transitions_are_those_that_made_the_votes():
    truth, votes = draw(n=20_000, k=3, accuracy=(0.9, 0.7, 0.8))
    found = combine_votes(votes).transitions
    assert found.shape == (3, 3, 3)
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    for w in range(3):
        real = np.array([np.bincount(votes[truth == k, w], minlength=3) for k in range(3)])
        np.testing.assert_allclose(found[w], real / real.sum(1, keepdims=True), atol=0.04)


def test_an_adversary_is_turned_round_and_a_spammer_ignored():
    truth, votes = draw(n=4000, k=2, accuracy=(0.85, 0.85, 0.85, 0.05, 0.5))
    combined = combine_votes(votes)
    assert right(combined.labels, truth) > 0.96
    shares = combined.quality().set_index("annotator")["accuracy"]
    assert shares["3"] < 0.15 and 0.4 < shares["4"] < 0.6


def test_one_vote_leaves_an_annotator_near_the_others():
    _, votes = draw(n=2000, accuracy=(0.8, 0.8, 0.8))
    lone = np.full((2000, 1), -1)
    lone[0] = votes[0, 0]
    combined = combine_votes(np.hstack([votes, lone]))
    np.testing.assert_allclose(combined.transition("3"), combined.common, atol=0.15)


def test_annotators_who_always_agree_give_their_labels():
    truth, votes = draw(n=300, accuracy=(1.0, 1.0, 1.0))
    combined = combine_votes(votes)
    assert right(combined.labels, truth) == 1
    assert np.isfinite(combined.targets).all() and combined.targets.max() <= 1


def test_an_item_without_votes_gets_its_prediction_or_the_prior():
    truth, votes = draw(n=500)
    votes[7] = -1
    alone = combine_votes(votes)
    np.testing.assert_allclose(alone.targets[7], alone.prior, atol=1e-4)
    assert alone.n_votes[7] == 0 and alone.majority[7] == -1
    p = predictions(truth, 4)
    assert combine_votes(votes, p).labels[7] == p[7].argmax()


def test_a_single_annotator_with_predictions():
    truth, votes = draw(n=4000, accuracy=(0.8,))
    combined = combine_votes(votes, predictions(truth, 4, right=0.7))
    assert right(combined.labels, truth) > 0.79
    assert combine_votes(votes).labels.tolist() == votes[:, 0].tolist()


def test_rows_match_by_key_and_columns_by_name():
    truth, votes = draw(n=600, k=3, accuracy=(0.7, 0.7))
    p = predictions(truth, 3).astype(np.float32)
    names = np.array(["cat", "dog", "owl"])
    frame = pd.DataFrame(names[votes], columns=["ann", "bob"])
    frame.insert(0, "item", [f"i{i}" for i in range(600)])
    plain = combine_votes(frame, p, vocab=names)
    order, columns = np.random.default_rng(0).permutation(600), [2, 0, 1]
    oof = OutOfFold(
        item=frame["item"].to_numpy(object)[order],
        probabilities=p[order][:, columns],
        fold=np.zeros((600, 1), np.int16),
        vocab=tuple(names[columns]),
    )
    matched = combine_votes(frame, oof)
    assert matched.item.tolist() == plain.item.tolist()
    np.testing.assert_allclose(matched.targets[:, [1, 2, 0]], plain.targets, atol=1e-4)


def test_long_and_wide_say_the_same():
    _truth, votes = draw(n=400, share=0.7)
    votes[0] = 0
    row, who = np.nonzero(votes >= 0)
    long = pd.DataFrame({"item": row, "annotator": who, "label": votes[row, who]})
    long = long.sample(frac=1, random_state=0)
    combined = combine_votes(long)
    order = [combined.item.tolist().index(str(i)) for i in np.unique(row)]
    wide = combine_votes(votes[np.unique(row)])
    np.testing.assert_allclose(combined.targets[order], wide.targets, atol=1e-4)


def test_many_classes_and_few_votes():
    truth, votes = draw(n=2000, k=300, accuracy=(0.7,) * 5)
    combined = combine_votes(votes)
    assert right(combined.labels, truth) >= right(combined.majority, truth) - 0.01


@pytest.mark.parametrize(
    ("votes", "probabilities", "words"),
    [
        (np.full((3, 2), -1), np.full((3, 2), 0.5), "none of 3 items has a vote"),
        (np.array([[0, 5]]), np.array([[0.5, 0.5]]), "1 are outside 0..1"),
        (np.array([[0, 1], [1, 1]]), np.array([[0.5, 0.5]]), "votes are of 2 items"),
        (np.array([0, 1]), None, "expected (items, annotators)"),
        (np.array([[0, 0]]), None, "give the other classes"),
        (np.array([[0.5, 0.1]]), None, "whole numbers or names"),
    ],
)
def test_errors_say_what_is_wrong(votes, probabilities, words):
    with pytest.raises(InputError) as error:
        combine_votes(votes, probabilities)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("seed", [0, 1])
def test_one_annotator_who_swaps_two_classes_does_not_rename_them(seed):
    rng, n, k = np.random.default_rng(seed), 1500, 10
    truth = rng.integers(0, k, n)

    def often_right(accuracy):
        wrong = rng.random(n) > accuracy
        return np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)

    swapped = np.r_[1, 0, 2:k][truth]  # always right but for the names of two classes
    made = combine_votes(np.stack([often_right(0.89), swapped, often_right(0.8)], axis=1))
    assert (made.targets.argmax(axis=1) == truth).mean() > 0.97
    assert made.model.accuracy[0] > made.model.accuracy[1]
