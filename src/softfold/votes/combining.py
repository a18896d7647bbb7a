"""One soft label an item from the votes of several annotators, and what predictions say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from softfold.arrays import check_probabilities, row_blocks
from softfold.errors import InputError, count_of
from softfold.votes.annotator_model import AnnotatorModel, Layout, fit_annotators
from softfold.votes.reading import Votes, majority, read_votes

TEMPERATURES = 2.0 ** np.arange(-2.0, 2.01, 0.25)
VOTE_WEIGHTS = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
"""What predictions and votes may count as; those are taken that foresee a vote best."""
LEAST_ROUNDS = 6
"""Rounds of EM before it may end: the second choice of strengths comes after five."""
FORESEEN_CELLS = 1 << 20
"""Cells, votes times classes, that temperature and weight are chosen on."""
CLOSE = 1e-4
"""EM ends when the mean log likelihood of an item's votes grows by a smaller share."""


@dataclass(frozen=True)
class CombinedVotes:
    """Soft labels of N items from V votes of W annotators.

    Attributes:
        item: (N,) keys, str objects.
        targets: float32 (N, K) soft labels, rows sum to 1.
        vocab: the K class names, in the order of the columns.
        annotators: the W names.
        common: float64 (K, K), T[truth, vote] of all annotators together.
        prior: float64 (K,), share of each class.
        temperature: predictions count as p**(1 / temperature); None without predictions, 1 where
            no item has two votes: then nothing tells a weak model from a weak annotator.
        vote_weight: votes count as T**vote_weight: below 1 where annotators err on the same items.
        log_likelihood: mean over items of log p(votes | x).
        votes: what was read.
    """

    item: np.ndarray
    targets: np.ndarray
    vocab: tuple[str, ...]
    annotators: tuple[str, ...]
    common: np.ndarray
    prior: np.ndarray
    temperature: float | None
    vote_weight: float
    log_likelihood: float
    votes: Votes
    model: AnnotatorModel
    layout: Layout

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64, the likeliest class of each item."""
        return self.targets.argmax(axis=1)

    @property
    def majority(self) -> np.ndarray:
        """(N,) int64, what most votes say, the first class of equals; -1 without votes."""
        return majority(self.votes)

    @property
    def n_votes(self) -> np.ndarray:
        """(N,) int64. An item without votes has the prior, or its prediction, as soft label."""
        return self.votes.n_votes

    @cached_property
    def transitions(self) -> np.ndarray:
        """float32 (W, K, K), T_w[truth, vote]; see `transition` where W K K is too large."""
        people = range(len(self.annotators))
        return np.stack([self.model.transition(w, self.layout) for w in people]).astype(np.float32)

    def transition(self, annotator: str | int) -> np.ndarray:
        """float64 (K, K), T[truth, vote] of one annotator, by name or position."""
        return self.model.transition(self._place(annotator), self.layout)

    def _place(self, annotator: str | int) -> int:
        if isinstance(annotator, str):
            if annotator not in self.annotators:
                raise InputError(f"no annotator {annotator!r}: there are {len(self.annotators):,}")
            return self.annotators.index(annotator)
        return range(len(self.annotators))[annotator]

    def quality(self) -> pd.DataFrame:
        """One row an annotator, worst first: see `softfold.votes.quality.annotator_quality`."""
        from softfold.votes.quality import annotator_quality

        return annotator_quality(self)

    def disagreements(self) -> pd.DataFrame:
        """One row a pair of annotators: see `softfold.votes.quality.disagreements`."""
        from softfold.votes.quality import disagreements

        return disagreements(self)

    def ask_next(self, n: int = 100) -> pd.DataFrame:
        """Items whose next vote would tell most: see `softfold.votes.asking.ask_next`."""
        from softfold.votes.asking import ask_next

        return ask_next(self, n)


def combine_votes(
    votes: Any,
    probabilities: Any = None,
    *,
    vocab: Sequence[str] | None = None,
    item: str | None = None,
    annotator: str | None = None,
    label: str | None = None,
    max_rounds: int = 50,
) -> CombinedVotes:
    """Soft labels from the votes of several annotators, joined with predictions where there are.

    q(k) is proportional to p(k | x)**(1 / t) prod_w T_w[k, y_w]**c (Dawid and Skene 1979, with a
    classifier in the place of the prior as Raykar et al. 2010). T_w is drawn to a common matrix by
    its number of votes. Hard items mislead several people at once, which the product does not know;
    so votes weigh c, at most 1. Of t and c those are taken under which each vote is best foreseen
    by prediction and other votes. The predictions must be out-of-fold: a model that saw an item's
    votes repeats them, and they would count twice.

    Args:
        votes: int (N, W), -1 where annotator w gave none; names (N, W); a data frame, CSV or
            Parquet file, wide or long (see `softfold.votes.reading.read_votes`); or `Votes`.
        probabilities: float (N, K) in the order of the items, or an object with `item`, `vocab`
            and `probabilities` (an `OutOfFold`), of which rows match by key and columns by name.
        vocab: the K class names; by default those of the predictions, or the names that occur.
        item, annotator, label: columns of a table.
        max_rounds: of EM, at most.

    Returns:
        CombinedVotes. An item without votes gets p**(1 / t), or the prior without predictions.

    Raises:
        InputError: no vote at all, votes or predictions that do not fit together.

    >>> votes = np.array([[0, 0, 1], [1, 1, 1], [0, 0, 0], [1, 1, -1], [0, 0, 1], [1, 1, 0]])
    >>> combine_votes(votes).labels.tolist()
    [0, 1, 0, 1, 0, 1]
    """
    if vocab is None and hasattr(probabilities, "vocab"):
        vocab = probabilities.vocab
    if vocab is None and probabilities is not None:
        vocab = _whole_numbers(votes, probabilities)
    read = read_votes(votes, item=item, annotator=annotator, label=label, vocab=vocab)
    if len(read) == 0:
        raise InputError(f"votes: none of {count_of(len(read.item), 'item')} has a vote")
    if len(read.vocab) < 2:
        raise InputError(
            f"votes: all {len(read):,} say {read.vocab[0]!r}; give the other classes with vocab="
        )
    keyed = not (isinstance(votes, (np.ndarray, list, tuple)))
    predicted = None if probabilities is None else _matched(read, probabilities, keyed)
    return _combine(read, predicted, max_rounds)


def _whole_numbers(votes: Any, probabilities: Any) -> list[str] | None:
    """Classes 0, 1, ... of predictions without names; other names must be given with `vocab`."""
    if isinstance(votes, Votes):
        return None
    return [str(k) for k in range(np.shape(np.asanyarray(probabilities))[-1])]


def _matched(votes: Votes, probabilities: Any, keyed: bool) -> np.ndarray:
    """(N, K) predictions of the items of the votes, in their order and that of the classes."""
    matrix = check_probabilities(getattr(probabilities, "probabilities", probabilities))
    keys = probabilities.item if keyed and hasattr(probabilities, "vocab") else None
    if keys is not None:
        at = pd.Index(np.asarray(keys, object)).get_indexer(pd.Index(votes.item))
        if (at < 0).any():
            raise InputError(
                f"probabilities: {int((at < 0).sum()):,} of {count_of(len(at), 'item')} have votes "
                f"and no prediction; the first is {votes.item[np.argmax(at < 0)]!r}"
            )
        matrix = matrix[at]
    if len(matrix) != len(votes.item):
        raise InputError(
            f"votes are of {count_of(len(votes.item), 'item')}, probabilities of "
            f"{count_of(len(matrix), 'item')}: give one row an item, in the same order"
        )
    names = getattr(probabilities, "vocab", votes.vocab)
    at = pd.Index([str(n) for n in names]).get_indexer(pd.Index(votes.vocab))
    if matrix.shape[1] != len(votes.vocab) or (at < 0).any():
        lacking = "" if not (at < 0).any() else f"; no column is {votes.vocab[np.argmin(at)]!r}"
        raise InputError(
            f"probabilities have {matrix.shape[1]} columns, the votes {len(votes.vocab)} "
            f"classes{lacking}: give vocab= in the order of the columns"
        )
    return matrix if np.array_equal(at, np.arange(len(at))) else matrix[:, at]


def _combine(votes: Votes, predicted: np.ndarray | None, max_rounds: int) -> CombinedVotes:
    """EM from the votes' shares (times the predictions), then the weights of what was heard."""
    layout = Layout.of(votes)
    targets = _shares(votes, predicted)
    logs = None if predicted is None else np.log(np.clip(predicted, 1e-6, None, dtype=np.float32))
    heard = _Heard(votes, layout, logs, len(votes.vocab))
    voted = votes.n_votes > 0
    model, last, level = None, -np.inf, -np.inf
    t, c = 1.0, 1.0
    for i in range(max_rounds):
        # Strength and temperature move slowly and cost more than a round.
        model = fit_annotators(votes, layout, targets, model if i % 5 else None)
        columns = model.log_columns(layout)
        prior = _prior(targets, voted)
        if i % 5 == 0:
            t, _ = heard.best(columns, prior, t, 1.0, weights=False)
        targets, level = heard.together(columns, prior, t, 1.0, targets)
        if level - last < CLOSE * abs(level) and i > LEAST_ROUNDS:
            named = model.names(layout) if predicted is None else None
            if named is None or (named == np.arange(len(named))).all():
                break
            targets, level = targets[:, named], -np.inf
        last = level
    assert model is not None
    t, c = heard.best(columns, prior, t, 1.0, weights=True)
    targets, level = heard.together(columns, prior, t, c, targets)
    return CombinedVotes(
        item=votes.item,
        targets=targets,
        vocab=votes.vocab,
        annotators=votes.annotators,
        common=model.common,
        prior=prior,
        temperature=None if logs is None else t,
        vote_weight=c,
        log_likelihood=level,
        votes=votes,
        model=model,
        layout=layout,
    )


def _prior(targets: np.ndarray, voted: np.ndarray) -> np.ndarray:
    sums = targets.sum(axis=0, dtype=float) if voted.all() else targets[voted].sum(0, dtype=float)
    return (sums + 1) / (sums.sum() + len(sums))


def _shares(votes: Votes, predicted: np.ndarray | None) -> np.ndarray:
    """float32 (N, K), where EM starts: the shares of an item's votes, the prediction as one."""
    n, k = len(votes.item), len(votes.vocab)
    start = np.full((n, k), 0.1 / k, np.float32)
    if predicted is not None:
        start += predicted
    np.add.at(start, (votes.row, votes.label), np.float32(1))
    start /= start.sum(axis=1, keepdims=True)
    return start


class _Heard:
    """Votes and predictions, weighed together under given matrices, block by block."""

    def __init__(self, votes: Votes, layout: Layout, logs: np.ndarray | None, k: int) -> None:
        self.votes, self.layout, self.logs, self.k = votes, layout, logs, k
        self.first = np.searchsorted(votes.row, np.arange(len(votes.item) + 1))

    def together(self, columns, prior, t, c, out) -> tuple[np.ndarray, float]:
        """The soft labels (N, K), into `out`, and the mean log likelihood of an item's votes."""
        total, n = 0.0, len(self.votes.item)
        for rows in row_blocks(n, self.k, 1 << 18):
            z = self._known(prior, t, np.arange(rows.start, rows.stop))
            z = z + np.float32(c) * self._said(columns, rows)
            top = z.max(axis=1, keepdims=True)
            q = np.exp(z - top)
            s = q.sum(axis=1, keepdims=True)
            out[rows] = q / s
            total += float((np.log(s) + top).sum(dtype=float))
        return out, total / n

    def _known(self, prior: np.ndarray, t: float, rows: np.ndarray) -> np.ndarray:
        """(n, K) or (1, K): log of what is known before the votes."""
        if self.logs is None:
            return np.log(prior).astype(np.float32)[None]
        z = self.logs[rows] / np.float32(t)
        return z - _log_sum(z)[:, None]

    def _said(self, columns: np.ndarray, rows: slice) -> np.ndarray:
        """(n, K): sum over each item's votes of log T_w[:, vote]."""
        a, b = self.first[rows.start], self.first[rows.stop]
        said = np.zeros((rows.stop - rows.start, self.k), np.float32)
        if b > a:
            row = self.votes.row[a:b]
            starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
            columns = columns[self.layout.pair[a:b]]
            said[row[starts] - rows.start] = np.add.reduceat(columns, starts, axis=0)
        return said

    def best(self, columns, prior, t: float, c: float, weights: bool) -> tuple[float, float]:
        """Temperature and weight, uphill from (t, c), under which votes are best foreseen.

        A vote is foreseen by the item's prediction and other votes: a likelihood of all votes
        together would take people who err on the same items for sure.
        """
        rows, mine, others = self._left_out(columns)
        if len(rows) == 0:
            return t, c
        temperatures = TEMPERATURES if self.logs is not None else np.array([t])
        vote_weights = VOTE_WEIGHTS if weights else np.array([c])
        seen: dict[tuple[int, int], float] = {}

        def level(at: tuple[int, int]) -> float:
            if at not in seen:
                z = self._known(prior, temperatures[at[0]], rows)
                z = z + np.float32(vote_weights[at[1]]) * others
                seen[at] = float((_log_sum(z + mine) - _log_sum(z)).mean(dtype=float))
            return seen[at]

        now = int(np.abs(temperatures - t).argmin()), int(np.abs(vote_weights - c).argmin())
        while True:
            near = [
                (now[0] + i, now[1] + j)
                for i in (0, -1, 1)
                for j in (0, -1, 1)
                if 0 <= now[0] + i < len(temperatures) and 0 <= now[1] + j < len(vote_weights)
            ]
            found = max(near, key=level)
            if level(found) <= level(now):
                return float(temperatures[now[0]]), float(vote_weights[now[1]])
            now = found

    def _left_out(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Items (v,), columns (v, K) and sums of other columns (v, K) of some items' votes."""
        count = np.diff(self.first)
        able = np.flatnonzero(count > 1)  # one vote cannot tell a weak model from a weak annotator
        want = max(500, FORESEEN_CELLS // self.k)
        if count[able].sum() > want:
            able = np.random.default_rng(0).permutation(able)
            able = np.sort(able[: np.searchsorted(np.cumsum(count[able]), want) + 1])
        if len(able) == 0:
            return able, columns[:0], columns[:0]
        at = np.concatenate([np.arange(self.first[i], self.first[i + 1]) for i in able])
        mine = columns[self.layout.pair[at]]
        starts = np.r_[0, np.cumsum(count[able])[:-1]]
        sums = np.add.reduceat(mine, starts, axis=0)
        others = np.repeat(sums, count[able], axis=0) - mine
        return np.repeat(able, count[able]), mine, others


def _log_sum(z: np.ndarray) -> np.ndarray:
    """log of the sum of exp of each row."""
    top = z.max(axis=1)
    return np.log(np.exp(z - top[:, None]).sum(axis=1)) + top
