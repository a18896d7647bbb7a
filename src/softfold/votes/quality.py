"""How good each annotator is, and who disagrees with whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from softfold.votes.combining import CombinedVotes

Z = 1.96
"""Standard errors of a 95% interval."""
MOST_MISSING = 0.95
"""Share of an annotator's votes that doubt about the truth may take away, at most."""


def annotator_quality(combined: CombinedVotes) -> pd.DataFrame:
    """One row an annotator, worst first.

    Columns:
        annotator, votes: name, and how many votes.
        accuracy, low, high: share of right votes, 0..1, and its 95% interval. It is the model's
            share, drawn to that of all annotators by as many votes as the votes say, and the
            interval counts both the number of votes and the doubt about each item's truth. It
            trusts the model: that annotators err independently once the truth is known.
        agreement: share of the other votes about the same items that say the same; NaN where
            nobody else voted.
        mistake: the commonest wrong vote as "truth -> vote", None where there is next to none.
    """
    votes, model = combined.votes, combined.model
    n_people = len(votes.annotators)
    given = np.bincount(votes.annotator, minlength=n_people)
    right = combined.targets[votes.row, votes.label].astype(float)
    doubt = np.bincount(votes.annotator, right * (1 - right), minlength=n_people)
    a = model.accuracy
    weight = given + model.pull
    # Information about a is what complete data had, less what is missing (Louis 1982).
    missing = np.minimum(doubt / np.maximum(a * (1 - a) * weight, 1e-12), MOST_MISSING)
    low, high = _wilson(a, weight * (1 - missing))
    alone, same = _agreement(combined)
    with np.errstate(invalid="ignore"):
        agreement = same / alone
    frame = pd.DataFrame(
        {
            "annotator": list(votes.annotators),
            "votes": given,
            "accuracy": a,
            "low": low,
            "high": high,
            "agreement": agreement,
            "mistake": _mistakes(combined),
        }
    )
    return frame.sort_values("accuracy", kind="stable", ignore_index=True)


def disagreements(combined: CombinedVotes) -> pd.DataFrame:
    """One row a pair of annotators who voted on the same items; who agree least come first.

    Columns:
        first, second: names.
        both: items that both voted on.
        agreement, low, high: share of them with the same vote, and its 95% interval (Wilson 1927);
            rows are sorted by `high`.
        expected: the agreement that both shares of right votes and the common mistakes give. Far
            below `agreement`: the two copy, or err on the same items.
        first_right, second_right: of the items they disagree on, the share where the first's or
            the second's vote is right (mean soft label); the rest is neither's.
    """
    votes = combined.votes
    parts = []
    for a, b in _pairs(votes.row):
        said_a, said_b = votes.label[a], votes.label[b]
        at = votes.row[a]
        parts.append(
            pd.DataFrame(
                {
                    "a": votes.annotator[a],
                    "b": votes.annotator[b],
                    "same": said_a == said_b,
                    "a_right": np.where(said_a != said_b, combined.targets[at, said_a], 0.0),
                    "b_right": np.where(said_a != said_b, combined.targets[at, said_b], 0.0),
                    "expected": _expected_agreement(combined, a, b),
                }
            )
        )
    names = np.array(votes.annotators, dtype=object)
    if not parts:
        columns = ["first", "second", "both", "agreement", "low", "high", "expected"]
        return pd.DataFrame(columns=[*columns, "first_right", "second_right"])
    pair = pd.concat(parts).groupby(["a", "b"], sort=True)
    sums, both = pair.sum(), pair.size()
    agreement = sums["same"] / both
    low, high = _wilson(agreement.to_numpy(float), both.to_numpy(float))
    apart = np.maximum(both - sums["same"], 1)
    frame = pd.DataFrame(
        {
            "first": names[sums.index.get_level_values("a")],
            "second": names[sums.index.get_level_values("b")],
            "both": both.to_numpy(),
            "agreement": agreement.to_numpy(float),
            "low": low,
            "high": high,
            "expected": (sums["expected"] / both).to_numpy(float),
            "first_right": (sums["a_right"] / apart).to_numpy(float),
            "second_right": (sums["b_right"] / apart).to_numpy(float),
        }
    )
    return frame.sort_values("high", kind="stable", ignore_index=True)


def _pairs(row: np.ndarray):
    """Votes a and b of the same item, each pair once; `row` is sorted."""
    step = 1
    while True:
        a = np.flatnonzero(row[:-step] == row[step:]) if step < len(row) else np.zeros(0, int)
        if len(a) == 0:
            return
        yield a, a + step
        step += 1


def _agreement(combined: CombinedVotes) -> tuple[np.ndarray, np.ndarray]:
    """For each annotator: other votes about the same items, and those that say the same."""
    votes = combined.votes
    n = len(votes.annotators)
    others, same = np.zeros(n), np.zeros(n)
    for a, b in _pairs(votes.row):
        equal = (votes.label[a] == votes.label[b]).astype(float)
        for side in (a, b):
            others += np.bincount(votes.annotator[side], minlength=n)
            same += np.bincount(votes.annotator[side], equal, minlength=n)
    return others, same


def _expected_agreement(combined: CombinedVotes, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The chance that votes a and b agree, by each annotator's share of right votes.

    Two wrong votes agree about as often as two draws from the common matrix's mistakes.
    """
    accuracy, common = combined.model.accuracy, combined.common
    rest = common.copy()
    np.fill_diagonal(rest, 0)
    rest /= np.maximum(rest.sum(axis=1, keepdims=True), 1e-12)
    alike = float(combined.prior @ (rest**2).sum(axis=1))
    first = accuracy[combined.votes.annotator[a]]
    second = accuracy[combined.votes.annotator[b]]
    return first * second + (1 - first) * (1 - second) * alike


def _mistakes(combined: CombinedVotes) -> list[str | None]:
    """The commonest wrong vote of each annotator, None below half a vote."""
    layout, vocab = combined.layout, combined.vocab
    wrong = combined.model.counts.copy()
    wrong[np.arange(len(wrong)), layout.said] = 0
    truth, most = wrong.argmax(axis=1), wrong.max(axis=1)
    order = np.lexsort((most, layout.who))
    last = order[np.r_[np.diff(layout.who[order]) > 0, True]]
    out: list[str | None] = [None] * len(combined.annotators)
    for pair in last:
        if most[pair] >= 0.5:
            out[layout.who[pair]] = f"{vocab[truth[pair]]} -> {vocab[layout.said[pair]]}"
    return out


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95% interval of a share from n draws (n need not be whole)."""
    n = np.maximum(n, 1e-9)
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)
