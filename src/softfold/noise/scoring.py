"""What a noise model says of items: how suspicious a label is, and what it may be instead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from softfold.arrays import each_block
from softfold.noise.audit import LEAST, log_odds, with_odds
from softfold.noise.block import Block
from softfold.noise.explanation import log_floored, read_alike
from softfold.noise.matrices import column_of_most
from softfold.noise.model import NoiseModel

CONFIDENCE_VOTE = 0.3
"""How much the plain probability of the given label says in the order where noise follows the item,
beside explanations of standard deviation 1."""


@dataclass(frozen=True)
class Scores:
    """Of N items, in their order.

    ranking: int64 (N,), rows, the most suspicious first; equal ones in their own order.
    falling: float64 (N,), P(given label is wrong), in the order of the ranking.
    suggested: int64 (N,), the likeliest other class.
    no_class: float32 (N,), P(the item belongs to none of the classes).
    """

    ranking: np.ndarray
    falling: np.ndarray
    suggested: np.ndarray
    no_class: np.ndarray

    @property
    def suspicion(self) -> np.ndarray:
        """P(given label is wrong) of each item: float64 (N,)."""
        suspicion = np.empty_like(self.falling)
        suspicion[self.ranking] = self.falling
        return suspicion


def score(labels: np.ndarray, probabilities: np.ndarray, noise: NoiseModel) -> Scores:
    """Suspicion, suggestion and chance of no class of labels (N,) with predictions (N, K).

    The probability that a label is wrong is the mean over explanations. The order of items is not
    that of this probability, which saturates: it is a mean of log-odds, each explanation's with
    standard deviation 1 and the square of its weight. Probabilities are then dealt to items in that
    order, so that `suspicion` has both.
    """
    n, k = probabilities.shape
    explanations, shares = noise.counted, noise.shares
    nothing = [i for i, e in enumerate(explanations) if e.offset is not None]
    odds = np.empty((len(explanations), n), np.float32)
    wrong = np.empty(n)
    no_class = np.empty(n, np.float32)
    plain = np.empty(n, np.float32)
    suggested = np.empty(n, np.int64)

    def work(rows: slice) -> None:
        block = Block(labels[rows], log_floored(probabilities[rows], noise.shift))
        plain[rows] = -block.plain
        mixed = None
        for members in noise.alike:
            if members == nothing:
                odds[members, rows] = explanations[members[0]].odds_of_no_class(block)
                continue
            same = [explanations[i] for i in members]
            q, odds[members, rows] = read_alike(same, block, shares[members])
            mixed = q if mixed is None else np.add(mixed, q, out=mixed)
        doubt = shares[:, None] * with_odds(odds[:, rows].astype(float))
        wrong[rows] = doubt.sum(axis=0)
        no_class[rows] = doubt[nothing].sum(axis=0)
        if mixed is None:
            mixed = block.logs
        block.put_given(mixed, -np.inf)
        suggested[rows] = column_of_most(mixed)
        if noise.tilt:
            before = wrong[rows].copy()
            wrong[rows] = with_odds(log_odds(before) + noise.tilt)
            no_class[rows] *= wrong[rows] / np.maximum(before, LEAST)

    each_block(work, n, k)
    with ThreadPoolExecutor(1) as beside:
        dealt = beside.submit(np.sort, wrong)
        ranking = _falling(_order(noise, odds, plain))
    return Scores(ranking, dealt.result()[::-1].copy(), suggested, no_class)


def _falling(values: np.ndarray) -> np.ndarray:
    """Rows of float32 values (N,), the largest first, equal ones in their own order: int64 (N,).

    NumPy sorts numbers of 16 bits by counting them: two such sorts take a fifth of one of values.
    """
    bits = (np.float32(0) - values).view(np.uint32)  # 0 - 0 is +0: both zeros are equal
    # The order of floats as integers: negative ones the other way round, below the others.
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    by_low = keys.astype(np.uint16).argsort(kind="stable")
    high = (keys >> 16).astype(np.uint16)
    return by_low[high[by_low].argsort(kind="stable")]


def _order(noise: NoiseModel, odds: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """How suspicious items are, on no scale: float32 (N,)."""
    named = noise.counted
    rest = [i for i, e in enumerate(named) if e.name != "clean"]
    if not rest:
        return odds[0]
    out = np.zeros(len(plain), np.float32)
    for i in rest:
        spread = max(float(odds[i].std()), 1e-9)
        out += odds[i] * np.float32(named[i].weight ** 2 / spread)
    vote = CONFIDENCE_VOTE * noise.weight("clean", "no_class", "surest")
    if vote > 0:
        scale = float(out.std()) / max(float(plain.std()), 1e-9)
        out += plain * np.float32(vote * scale)
    return out
