"""One explanation of how given labels came about: what it says of items.

Explanations of one transition matrix are read together (`read_alike`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from softfold.noise.block import Block, given_cells, powers, top
from softfold.noise.matrices import MANY_CLASSES, by_columns, even_entries, unmix
from softfold.noise.sample import FLOOR

LEAST_SHARE = np.float32(1e-12)
ARRAYS = ("transition", "shift")
"""Fields of an explanation that JSON has as lists."""

HEAT = 2.0
"""How fast the chance to be of no class grows with the heat of an item, in log-odds."""


@dataclass(frozen=True)
class Explanation:
    """One way in which given labels may have come about.

    Attributes:
        name: "clean", "surest", "by_class", "even" or "no_class" (docs/method.md).
        transition: float64 (K, K), T[truth, given], rows sum to 1.
        temperature: p(k | x) is proportional to prediction**(1 / temperature).
        unmix: predictions are of the given label: taken back through T they are p(k | x).
        offset: of "no_class" alone: log-odds of an item of heat 0 to be of no class.
        shift: float (K,), added to log predictions first; None: nothing
            (`softfold.noise.temperature.base_shift`).
        weight: how much it is believed, 0..1; those of a noise model sum to 1.
        rate: share of given labels that are wrong by it, 0..1.
    """

    name: str
    transition: np.ndarray
    temperature: float
    unmix: bool = False
    offset: float | None = None
    weight: float = 1.0
    rate: float = float("nan")
    shift: np.ndarray | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them, without a shift where there is none."""
        arrays = {n: getattr(self, n) for n in ARRAYS if getattr(self, n) is not None}
        rest = {n: value for n, value in asdict(self).items() if n not in ARRAYS}
        return rest | {n: np.round(np.asarray(a, float), 7).tolist() for n, a in arrays.items()}

    @cached_property
    def even(self) -> tuple[float, float] | None:
        """What T has on its diagonal and beside it, where that is one number each."""
        return even_entries(self.transition)

    def has_transition_of(self, other: Explanation) -> bool:
        """Whether both are of one kind and have one T."""
        alike = self.transition is other.transition
        same = alike or np.array_equal(self.transition, other.transition)
        return same and (self.offset is None) == (other.offset is None)

    def columns(self, block: Block) -> np.ndarray:
        """T[:, y] of each label y, at least LEAST_SHARE: float32 (n, K), laid out as `by_columns`.

        Not to be written to: explanations of one T share it.
        """
        name = id(self.transition)
        if name not in block.columns:
            block.columns[name] = self.transition, self._by_labels(block.labels)
        return block.columns[name][1]

    def _by_labels(self, labels: np.ndarray) -> np.ndarray:
        # Labels are in range; "raise" would make a copy to check that.
        if len(self.transition) < MANY_CLASSES:
            return np.take(self._floored.T, labels, axis=1, mode="clip").T
        return np.take(self._floored, labels, axis=0, mode="clip")

    @cached_property
    def _floored(self) -> np.ndarray:
        """The transpose of T, float32 (K, K), laid out as `by_columns`."""
        floored = by_columns(self.transition.astype(np.float32).T)
        return np.maximum(floored, LEAST_SHARE, out=floored)

    def likeness(self, logs: np.ndarray) -> np.ndarray:
        """p(k | x) up to a factor a row: float32 (n, K), from log of predictions (n, K)."""
        return self._likeness(top(self._shifted(logs)))

    def _shifted(self, logs: np.ndarray) -> np.ndarray:
        """`log_floored` with the shift, a new array, from logs without it."""
        return logs.copy("K") if self.shift is None else log_floored(np.exp(logs), self.shift)

    def _likeness(self, logs: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """`likeness` from logs that are shifted, the largest of each row 0."""
        if self.unmix:
            logs = top(log_floored(unmix(np.exp(logs), self.transition)))
        return powers(logs, self.temperature, out)

    def read(self, labels: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it says of items: q(k) float32 (n, K), and log-odds that the given label is wrong.

        labels: int (n,); logs: of predictions, float32 (n, K), at least log of FLOOR.
        """
        return self.read_block(Block(labels, self._shifted(logs)))

    def read_block(self, block: Block, weight: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """`read`, of logs that are shifted; q is multiplied by `weight`."""
        q, odds = read_alike([self], block, np.array([weight]))
        return q, odds[0]

    def weigh(
        self, block: Block, likenesses: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`read_alike` of m explanations of this T, from what each takes p(k | x) for.

        likenesses: float32 (m, n, K), up to a factor a row; overwritten.
        """
        own = np.stack([block.given(z) for z in likenesses])
        for z in likenesses:
            block.put_given(z, 0)
        # The sum over the others keeps its digits where 1 - q(given) would lose them.
        if self.even is None:
            columns = self.columns(block)
            own *= block.given(columns)
            others = np.einsum("mik,ik->mi", likenesses, columns)
        else:
            right, wrong = np.maximum(self.even, LEAST_SHARE)
            own *= np.float32(right / wrong)
            others = np.einsum("mik->mi", likenesses)
        share = weights.astype(np.float32)[:, None] / np.maximum(own + others, np.float32(1e-30))
        q = np.einsum("mik,mi->ik", likenesses, share)
        if self.even is None:
            q *= columns
        block.put_given(q, np.einsum("mi,mi->i", own, share))
        tiny = np.float32(1e-37)
        return q, np.log(np.maximum(others, tiny)) - np.log(np.maximum(own, tiny))

    def odds_of_no_class(self, block: Block) -> np.ndarray:
        """Log-odds of items to be of no class, of "no_class" alone: float32 (n,)."""
        logs = block.logs * np.float32(1 / self.temperature)
        return np.float32(self.offset) + np.float32(HEAT) * heat(block.labels, logs)

    def _read_no_class(self, block: Block, weight: float) -> tuple[np.ndarray, np.ndarray]:
        """An item of no class has no label to be sure of: its share is spread evenly."""
        odds, k = self.odds_of_no_class(block), len(self.transition)
        wrong = 1 / (1 + np.exp(np.minimum(-odds, 80)))  # above, float32 overflows to the same
        q = np.empty_like(block.logs)
        q[:] = (np.float32(weight / k) * wrong)[:, None]
        block.put_given(q, np.float32(weight) * (1 - wrong + wrong / k))
        return q, odds


def read_alike(
    explanations: Sequence[Explanation], block: Block, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What m explanations of one T say of items.

    The sum of their q(k), each times its weight (m,): float32 (n, K). And log-odds that the given
    label is wrong by each: float32 (m, n).
    """
    first = explanations[0]
    if first.offset is not None:
        q, odds = first._read_no_class(block, weights[0])
        return q, odds[None]
    likenesses = block.empty(len(explanations))
    for explanation, z in zip(explanations, likenesses, strict=True):
        explanation._likeness(block.logs, out=z)
    return first.weigh(block, likenesses, weights)


def heat(labels: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """How unlike its given label, and unlike any class, the model finds an item: float32 (n,).

    log(1 - s_y + entropy of s) - log s_y, with s proportional to the square root of predictions,
    which lets small ones speak. logs: of predictions, float32 (n, K) laid out as `by_columns`, the
    largest of each row near 0.
    """
    z = logs * np.float32(0.5)
    own = z.ravel(order="K")[given_cells(labels, z.shape[1])]
    s = np.exp(z)
    total = np.einsum("ij->i", s)
    entropy = np.log(total) - np.einsum("ij,ij->i", s, z) / total
    own = np.maximum(np.exp(own) / total, LEAST_SHARE)
    return np.log(np.maximum(1 - own + entropy, LEAST_SHARE)) - np.log(own)


def log_floored(probabilities: np.ndarray, shift: np.ndarray | None = None) -> np.ndarray:
    """log of predictions (n, K) as float32, at least that of FLOOR, laid out as `by_columns`.

    shift: float (K,), of predictions times exp(shift), rows summing to 1.
    """
    # np.clip is thrice as fast as np.maximum.
    p = np.clip(by_columns(np.asarray(probabilities, np.float32)), FLOOR, np.inf)
    if shift is not None:
        p *= np.exp(shift, dtype=np.float32)
        p *= (1 / np.einsum("ij->i", p))[:, None]
        np.clip(p, FLOOR, np.inf, out=p)
    return np.log(p, out=p)
