"""How annotators err: a matrix each, drawn to that of all by how little is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from votes.simulated import draw

from softfold.votes.annotator_model import Layout, expected_counts, fit_annotators
from softfold.votes.reading import read_votes


def fitted(accuracy=(0.9, 0.7, 0.5), n=2000, k=3, share=1.0, before=None):
    """The model of votes whose truth is known: soft labels that are certain."""
    truth, table = draw(n=n, k=k, accuracy=accuracy, share=share)
    votes = read_votes(table, vocab=[str(i) for i in range(k)])
    layout = Layout.of(votes)
    targets = np.eye(k, dtype=np.float32)[truth[[int(key) for key in votes.item]]]
    return truth, table, votes, layout, targets, fit_annotators(votes, layout, targets, before)


def test_a_layout_has_every_pair_that_occurs_once():
    votes = read_votes(np.array([[0, 2], [0, -1], [1, 2]]), vocab=["a", "b", "c"])
    layout = Layout.of(votes)
    assert list(zip(layout.who.tolist(), layout.said.tolist())) == [(0, 0), (0, 1), (1, 2)]
    assert (layout.who[layout.pair] == votes.annotator).all()
    assert (layout.said[layout.pair] == votes.label).all()
    assert (np.diff(layout.pair[layout.by_pair]) >= 0).all()


def test_votes_are_counted_by_what_their_items_are():
    *_, votes, layout, targets, _ = fitted(n=300, share=0.6)
    counts = expected_counts(votes, layout, targets)
    for pair in range(len(layout.who)):
        own = (votes.annotator == layout.who[pair]) & (votes.label == layout.said[pair])
        np.testing.assert_allclose(counts[pair], targets[votes.row[own]].sum(axis=0), rtol=1e-5)


def test_a_matrix_of_many_votes_is_that_of_the_votes():
    truth, table, _, layout, _, model = fitted(n=20_000)
    for w in range(3):
        found = model.transition(w, layout)
        real = np.array([np.bincount(table[truth == k, w], minlength=3) for k in range(3)])
        np.testing.assert_allclose(found, real / real.sum(1, keepdims=True), atol=0.03)
        assert model.accuracy[w] == pytest.approx((table[:, w] == truth).mean(), abs=0.01)


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_rows_of_matrices_are_distributions(share):
    *_, layout, _, model = fitted(n=300, share=share)
    for matrix in (model.common, *(model.transition(w, layout) for w in range(3))):
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
        assert (matrix > 0).all()


def test_columns_are_the_logarithms_of_the_matrices():
    *_, layout, _, model = fitted(n=300)
    columns = model.log_columns(layout)
    for pair, (w, said) in enumerate(zip(layout.who, layout.said)):
        expected = np.log(model.transition(int(w), layout)[:, said])
        np.testing.assert_allclose(columns[pair], expected, atol=1e-4)


def test_who_gave_few_votes_is_taken_to_be_like_the_others():
    truth, table = draw(n=2000, k=3, accuracy=(0.8, 0.8, 0.8))
    newcomer = np.full((2000, 1), -1)
    newcomer[:2, 0] = (truth[:2] + 1) % 3  # two votes, both wrong
    regular = np.full((2000, 1), -1)
    regular[:400, 0] = (truth[:400] + 1) % 3  # wrong on all of four hundred
    votes = read_votes(np.hstack([table, newcomer, regular]), vocab=["0", "1", "2"])
    model = fit_annotators(votes, Layout.of(votes), np.eye(3, dtype=np.float32)[truth])
    assert model.accuracy[4] < 0.1 < model.accuracy[3] < model.accuracy[0]


def test_what_all_mix_up_is_expected_of_whom_little_is_known():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3000)
    table = np.tile(truth[:, None], (1, 4))
    mixed = rng.random(table.shape) < 0.3
    table = np.where(mixed & (truth == 0)[:, None], 2, table)  # 0 is called 2, and nothing else
    table[5:, 3] = -1
    votes = read_votes(table, vocab=["0", "1", "2"])
    layout = Layout.of(votes)
    model = fit_annotators(votes, layout, np.eye(3, dtype=np.float32)[truth])
    row = model.transition(3, layout)[0]
    assert row[2] > 5 * row[1]


def test_a_strength_that_was_chosen_before_is_kept():
    *_, model = fitted()
    *_, again = fitted(n=200, before=model)
    assert again.strength == model.strength
