"""How annotators err: a transition matrix each, drawn to a common one by their number of votes.

Dawid and Skene's model (1979) with two levels above an annotator's matrix T_w, both fitted to the
votes (empirical Bayes). First the annotator's share of right votes, drawn to that of all, moves the
diagonal of the common matrix; then the rows of T_w are drawn to those of that matrix. So a spammer
is known after few votes, and what is mixed up with what is learnt from everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softfold.arrays import row_blocks
from softfold.votes.reading import Votes

LEAST = 1e-9
"""Smallest entry of a transition matrix."""
STRENGTHS = np.array([2, 5, 10, 20, 50, 100, 200, 500, 1000], float)
"""Items that a common share or row may weigh against an annotator's own."""
CHOICE_CELLS = 1 << 19
"""Cells of counts that a strength is chosen on, or one annotator's."""
FEW = 1e-3
"""Expected votes that say nothing of a strength."""


@dataclass(frozen=True)
class Layout:
    """Votes by the pairs (annotator, label) that occur, P of them, so that nothing is W x K x K.

    pair:       (V,) the pair of each vote
    who, said:  (P,) annotator and label of each pair, sorted by annotator
    by_pair:    (V,) votes sorted by pair
    """

    pair: np.ndarray
    who: np.ndarray
    said: np.ndarray
    by_pair: np.ndarray

    @classmethod
    def of(cls, votes: Votes) -> Layout:
        n_classes = len(votes.vocab)
        cells, pair = np.unique(votes.annotator * n_classes + votes.label, return_inverse=True)
        who, said = np.divmod(cells, n_classes)
        return cls(pair, who, said, np.argsort(pair, kind="stable"))


@dataclass(frozen=True)
class AnnotatorModel:
    """Every annotator's transition matrix, kept by the pairs of a `Layout`.

    common:   float64 (K, K), T[truth, vote] of all annotators together, rows sum to 1
    counts:   float32 (P, K), expected votes of each pair by the item's true class
    totals:   float64 (W, K), expected votes of each annotator by true class
    diagonal: float64 (W, K), the diagonal that the annotator's share of right votes gives
    accuracy: float64 (W,), that share, drawn to all annotators'
    pull:     votes that the share of all weighs
    strength: votes that the common row weighs
    """

    common: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    diagonal: np.ndarray
    accuracy: np.ndarray
    pull: float
    strength: float

    def log_columns(self, layout: Layout) -> np.ndarray:
        """float32 (P, K): log T_w[:, label] of each pair."""
        out = np.empty(self.counts.shape, np.float32)
        for rows in row_blocks(len(out), len(self.common)):
            who = layout.who[rows]
            drawn = self._means(who, layout.said[rows])
            drawn *= self.strength
            drawn += self.counts[rows]
            drawn /= self.totals[who] + self.strength
            np.log(np.maximum(drawn, LEAST), out=out[rows], casting="same_kind")
        return out

    def _means(self, who: np.ndarray, said: np.ndarray) -> np.ndarray:
        """(P, K): what the columns are drawn to."""
        rest = (1 - self.diagonal) / np.maximum(1 - np.diag(self.common), LEAST)
        means = self.common.T[said] * rest[who]
        at = np.arange(len(who)), said
        means[at] = self.diagonal[who, said]
        return means

    def transition(self, w: int, layout: Layout) -> np.ndarray:
        """float64 (K, K): T_w, rows truth, columns vote."""
        k = len(self.common)
        drawn = self.strength * self._means(np.full(k, w), np.arange(k))
        mine = np.flatnonzero(layout.who == w)
        drawn[layout.said[mine]] += self.counts[mine]
        return (drawn / (self.totals[w] + self.strength)).T

    def names(self, layout: Layout) -> np.ndarray:
        """(K,) int64: which class most votes would call 0, 1, ...: 0 to K - 1 where all is well.

        Votes alone do not tell a class from its name: that one annotator is always right and all
        others take two classes for one another is as likely as that this one does. Two classes
        change names as long as more votes agree then.
        """
        agreed = _by_label(self.counts, layout)
        names = np.arange(len(agreed))
        while True:
            own = np.diag(agreed)
            gain = agreed + agreed.T - own[:, None] - own[None, :]
            a, b = np.unravel_index(int(gain.argmax()), gain.shape)
            if gain[a, b] <= 1e-6 * max(1.0, agreed.sum()):
                return names
            agreed[[a, b]], names[[a, b]] = agreed[[b, a]], names[[b, a]]


def expected_counts(votes: Votes, layout: Layout, targets: np.ndarray) -> np.ndarray:
    """float32 (P, K): sum of the soft labels of the items of each pair's votes."""
    counts = np.zeros((len(layout.who), targets.shape[1]), np.float32)
    for block in row_blocks(len(votes), targets.shape[1]):
        at = layout.by_pair[block]
        pair = layout.pair[at]
        starts = np.flatnonzero(np.r_[True, pair[1:] != pair[:-1]])
        counts[pair[starts]] += np.add.reduceat(targets[votes.row[at]], starts, axis=0)
    return counts


def fit_annotators(
    votes: Votes, layout: Layout, targets: np.ndarray, before: AnnotatorModel | None = None
) -> AnnotatorModel:
    """The model that soft labels (N, K) of the items give; the strength of `before` is kept."""
    k, n_people = targets.shape[1], len(votes.annotators)
    counts = expected_counts(votes, layout, targets)
    totals = np.zeros((n_people, k))
    starts = np.flatnonzero(np.r_[True, layout.who[1:] != layout.who[:-1]])
    totals[layout.who[starts]] = np.add.reduceat(counts, starts, axis=0)
    hits = np.bincount(
        layout.who, counts[np.arange(len(layout.who)), layout.said], minlength=n_people
    )
    common = _common(counts, totals, layout, hits.sum())
    given = totals.sum(axis=1)
    expected = (totals @ np.diag(common) + np.diag(common).mean()) / (given + 1)
    pull = _likeliest(lambda s: _beta_binomial(hits, given, expected, s))
    accuracy = (hits + pull * expected) / (given + pull)
    odds = accuracy / (1 - accuracy) * (1 - expected) / expected
    right = odds[:, None] * np.diag(common)
    diagonal = np.clip(right / (right + 1 - np.diag(common)), LEAST, 1 - LEAST)
    model = AnnotatorModel(common, counts, totals, diagonal, accuracy, pull, 1.0)
    strength = _choose_strength(model, layout) if before is None else before.strength
    return AnnotatorModel(common, counts, totals, diagonal, accuracy, pull, strength)


def _common(counts: np.ndarray, totals: np.ndarray, layout: Layout, hits: float) -> np.ndarray:
    """The matrix of all votes, rows drawn to even mistakes by as many votes as classes."""
    k = counts.shape[1]
    right = (hits + 1) / (totals.sum() + 2)
    even = np.full((k, k), (1 - right) / (k - 1))
    np.fill_diagonal(even, right)
    return (_by_label(counts, layout) + k * even) / (totals.sum(axis=0) + k)[:, None]


def _by_label(counts: np.ndarray, layout: Layout) -> np.ndarray:
    """float64 (K, K): expected votes of all annotators, rows truth, columns label."""
    k = counts.shape[1]
    sums = np.zeros((k, k))
    order = np.argsort(layout.said, kind="stable")
    for rows in row_blocks(len(order), k):
        said = layout.said[order[rows]]
        starts = np.flatnonzero(np.r_[True, said[1:] != said[:-1]])
        sums[said[starts]] += np.add.reduceat(counts[order[rows]], starts, axis=0)
    return sums.T


def _choose_strength(model: AnnotatorModel, layout: Layout) -> float:
    """The likeliest strength, by the Dirichlet-multinomial of expected counts."""
    some = np.random.default_rng(0).permutation(len(model.totals))
    pairs_of = np.bincount(layout.who, minlength=len(some))[some]
    want = max(1, CHOICE_CELLS // model.counts.shape[1])
    some = some[: np.searchsorted(np.cumsum(pairs_of), want) + 1]
    pairs = np.flatnonzero(np.isin(layout.who, some))
    means, counts = model._means(layout.who[pairs], layout.said[pairs]), model.counts[pairs]
    seen = counts > FEW  # others change nothing, and of many classes they are nearly all
    means, counts = means[seen], counts[seen].astype(float)
    totals = model.totals[some]
    totals = totals[totals > FEW]

    def score(s: float) -> float:
        rows = _log_gamma(np.array(s)) - _log_gamma(totals + s)
        cells = _log_gamma(s * means + counts) - _log_gamma(s * means)
        return float(rows.sum() + cells.sum())

    return _likeliest(score)


def _likeliest(score) -> float:
    return float(max(STRENGTHS, key=score))


def _beta_binomial(hits, given, expected, s) -> float:
    a, b = s * expected, s * (1 - expected)
    return float(
        (
            _log_gamma(a + hits) - _log_gamma(a) + _log_gamma(b + given - hits) - _log_gamma(b)
            + _log_gamma(np.array(s)) - _log_gamma(given + s)
        ).sum()
    )  # fmt: skip


def _log_gamma(x: np.ndarray) -> np.ndarray:
    """log of the gamma function for x > 0 (Stirling's series at x + 6)."""
    x = np.maximum(x, 1e-12)
    shift = np.log(x * (x + 1) * (x + 2)) + np.log((x + 3) * (x + 4) * (x + 5))
    y = x + 6
    return (y - 0.5) * np.log(y) - y + 0.9189385332046727 + 1 / (12 * y) - 1 / (360 * y**3) - shift
