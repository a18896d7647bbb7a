"""Whom to ask next about what: the vote that is expected to tell most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from softfold.arrays import row_blocks

if TYPE_CHECKING:
    from softfold.votes.combining import CombinedVotes

CANDIDATES = 20
"""Annotators looked at, those with the best share of right votes first."""


def ask_next(combined: CombinedVotes, n: int = 100) -> pd.DataFrame:
    """The n items whose next vote would tell most, and who should give it.

    What a vote tells is the mutual information of the item's class and the vote, under the item's
    soft label and the annotator's matrix: how many bits of doubt it is expected to take away. It
    is no larger than the item's doubt, so items are looked at from the most doubtful until no
    other can be among the n. Who has voted on an item is not asked again.

    Returns:
        A frame `item, annotator, gain, doubt, votes`, the largest gain first: gain and doubt (the
        entropy of the soft label) in bits. An item that all candidates have voted on is left out.
    """
    votes, targets = combined.votes, combined.targets
    k = targets.shape[1]
    doubt = np.empty(len(targets))
    for rows in row_blocks(len(targets), k):
        doubt[rows] = _entropy(targets[rows])
    best = np.argsort(-combined.model.accuracy, kind="stable")[:CANDIDATES]
    asked = np.zeros((len(targets), len(best)), bool)
    place = np.full(len(votes.annotators), -1)
    place[best] = np.arange(len(best))
    known = place[votes.annotator] >= 0
    asked[votes.row[known], place[votes.annotator[known]]] = True
    matrices = [combined.transition(int(w)) for w in best]
    noise = [_entropy(matrix) for matrix in matrices]
    order = np.flatnonzero(~asked.all(axis=1))
    order = order[np.argsort(-doubt[order], kind="stable")]
    found, gain, who = order[:0], doubt[:0], order[:0]
    step = max(n, 1000, (1 << 20) // k // 10)
    for start in range(0, len(order), step):
        part = order[start : start + step]
        if len(found) >= n and doubt[part[0]] <= gain[n - 1]:
            break
        q = targets[part].astype(float)
        tells = np.stack([_entropy(q @ m) - q @ h for m, h in zip(matrices, noise)], axis=1)
        tells[asked[part]] = -np.inf
        found, gain = np.r_[found, part], np.r_[gain, tells.max(axis=1)]
        who = np.r_[who, best[tells.argmax(axis=1)]]
        top = np.argsort(-gain, kind="stable")[:n]
        found, gain, who = found[top], gain[top], who[top]
    return pd.DataFrame(
        {
            "item": combined.item[found],
            "annotator": np.array(combined.annotators, object)[who],
            "gain": np.maximum(gain, 0),
            "doubt": doubt[found],
            "votes": combined.n_votes[found],
        }
    )


def _entropy(rows: np.ndarray) -> np.ndarray:
    """Entropy of each row, in bits."""
    return -(rows * np.log2(np.maximum(rows, 1e-12))).sum(axis=1)
