"""The items that a noise model is fitted to, laid out for speed, and what they show at a glance.

Everything here is about out-of-fold predictions p (n, K) of n items and their given labels y (n,).
Rows are sorted by given label: T[:, y] is then one vector a block, and counts are one sum a block.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from softfold.noise.block import Block, powers
from softfold.noise.matrices import by_columns, column_of_most
from softfold.noise.temperature import base_shift, fitted_temperature

FLOOR = np.float32(1e-7)
"""Smaller probabilities count as this: float32 softmaxes underflow, and log 0 forgives nothing."""

MIDDLE, MIDDLE_ITEMS = 0.75, 20
"""With few contradictions, how foreseen they are is drawn to this as if by so many more."""


@dataclass(frozen=True)
class Sample:
    """labels int64 (n,), sorted; p float32 (n, K), at least FLOOR.

    lots: int64 (n,), each of 0..n-1 once, in random order: they draw parts, and order items that
        are equally sure. They go with the items, so that the order of the classes says nothing.
    shift: float32 (K,), what was added to log p (`softfold.noise.temperature.base_shift`), or None.
    """

    labels: np.ndarray
    p: np.ndarray
    lots: np.ndarray
    shift: np.ndarray | None = None
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, labels: np.ndarray, probabilities: np.ndarray, rows: np.ndarray) -> Sample:
        """The items of these rows (n,)."""
        order = np.argsort(labels[rows], kind="stable")
        lots, rows = np.random.default_rng(0).permutation(len(rows))[order], rows[order]
        p = np.asarray(probabilities[rows], np.float32)
        return cls(labels[rows], np.clip(by_columns(p), FLOOR, None), lots)

    def __len__(self) -> int:
        return len(self.labels)

    def about(self, count: int) -> Sample:
        """About `count` of the items, drawn by their lots, of every label its share."""
        if count >= len(self):
            return self
        wanted = count / len(self) * self._counts[self.labels]
        rows = np.flatnonzero(self._places + self.lots / len(self) < wanted)
        lots = np.argsort(np.argsort(self.lots[rows]))
        return Sample(self.labels[rows], by_columns(self.p[rows]), lots, self.shift)

    @cached_property
    def _places(self) -> np.ndarray:
        """Place of each item among those of its label, by lots: int64 (n,)."""
        places, order = np.empty(len(self), np.int64), np.lexsort((self.lots, self.labels))
        starts = np.cumsum(self._counts) - self._counts
        places[order] = self.rows - starts[self.labels]  # rows are sorted by label
        return places

    def evened(self) -> Sample:
        """The same items; predictions that are too unsure are no longer drawn to base rates."""
        shift = base_shift(self)
        if shift is None:
            return self
        p = self.p * np.exp(shift)
        p /= np.einsum("ij->i", p)[:, None]
        return Sample(self.labels, np.clip(p, FLOOR, None, out=p), self.lots, shift)

    @property
    def n_classes(self) -> int:
        return self.p.shape[1]

    @cached_property
    def rows(self) -> np.ndarray:
        return np.arange(len(self))

    @cached_property
    def block(self) -> Block:
        """What explanations read: the labels and log p."""
        return Block(self.labels, np.log(self.p))

    def part(self, rows: slice) -> Block:
        """`block` of some rows."""
        make = lambda: Block(self.labels[rows], by_columns(self.logs[rows]))  # noqa: E731
        return self.remembered((rows.start, rows.stop), make)

    @property
    def logs(self) -> np.ndarray:
        """log p (n, K), the largest of each row 0: no temperature makes it underflow whole."""
        return self.block.logs

    @cached_property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each item (n,)."""
        return column_of_most(self.p)

    @cached_property
    def disagreement(self) -> float:
        """Share of items whose given label is not the likeliest class."""
        return float((self.predicted != self.labels).mean())

    @cached_property
    def strength(self) -> float:
        """How often the surer half of predictions agrees with labels, above chance: up to 1."""
        top = self.p[self.rows, self.predicted]
        surer = np.lexsort((self.lots, -top))[: max(1, len(self) // 2)]
        agreed = float((self.predicted == self.labels)[surer].mean())
        chance = float(((self._counts / len(self)) ** 2).sum())
        return (agreed - chance) / max(1 - chance, 1e-9)

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.bincount(self.labels, minlength=self.n_classes)

    @cached_property
    def _blocks(self) -> list[tuple[int, slice]]:
        ends = np.cumsum(self._counts)
        starts = ends - self._counts
        return [(k, slice(starts[k], ends[k])) for k in np.flatnonzero(self._counts).tolist()]

    def at(self, temperature: float, logs: np.ndarray | None = None) -> np.ndarray:
        """p^(1 / temperature), normalised: float32 (n, K).

        logs: other log probabilities than those of p, the largest of a row near 0.
        """
        z = powers(self.logs if logs is None else logs, temperature)
        z /= np.einsum("ij->i", z)[:, None]
        return z

    def remembered(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once for this key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def weighed(self, v: np.ndarray, transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """v[i, k] T[k, y_i] (n, K), and its sum over k (n,): p(given | x) under T."""
        joint = np.empty_like(v)
        for (_, block), column in zip(self._blocks, self._columns(transition), strict=True):
            np.multiply(v[block], column, out=joint[block])
        return joint, np.maximum(np.einsum("ij->i", joint), np.float32(1e-30))

    def likelihoods(self, v: np.ndarray, transition: np.ndarray) -> np.ndarray:
        """p(given | x) under T, from p(k | x) v (n, K): float32 (n,), above 0."""
        seen = np.empty(len(self), np.float32)
        for (_, block), column in zip(self._blocks, self._columns(transition), strict=True):
            np.matmul(v[block], column, out=seen[block])
        return np.maximum(seen, np.float32(1e-30), out=seen)

    def log_likelihood(self, v: np.ndarray, transition: np.ndarray) -> float:
        """Mean of log p(given | x), in nats."""
        return float(np.log(self.likelihoods(v, transition)).mean(dtype=float))

    def own(self, temperature: float) -> np.ndarray:
        """p^(1 / temperature) of the given label, normalised: float32 (n,)."""
        z = powers(self.logs, temperature)
        return self.block.given(z) / np.einsum("ij->i", z)

    def even_level(self, own: np.ndarray, rate: float) -> float:
        """`log_likelihood` where noise is even: it follows from `own` (n,) alone, without a T."""
        other = rate / (self.n_classes - 1)
        seen = own * np.float32(1 - rate - other)
        seen += np.float32(other)
        return float(np.log(seen, out=seen).mean(dtype=float))

    def _columns(self, transition: np.ndarray) -> np.ndarray:
        """T[:, y] of each label y that is there, as rows: float32 (labels, K)."""
        present = [k for k, _ in self._blocks]
        return np.ascontiguousarray(transition[:, present].T, np.float32)

    def tally(self, q: np.ndarray) -> np.ndarray:
        """Sums of q (n, K) by class and given label: float64 (K, K)."""
        counts = np.zeros((self.n_classes, self.n_classes))
        for label, block in self._blocks:
            np.add.reduce(q[block], axis=0, out=counts[label])
        return counts.T

    def predicted_counts(self) -> np.ndarray:
        """Items by likeliest class and given label: float64 (K, K)."""
        k = self.n_classes
        cells = self.predicted * k + self.labels
        return np.bincount(cells, np.ones(len(self)), k * k).reshape(k, k)

    @cached_property
    def temperature(self) -> float:
        """`softfold.noise.temperature.fitted_temperature` of these items."""
        return fitted_temperature(self)

    def information(self) -> tuple[float, float]:
        """What predictions say about given labels beyond class frequencies.

        Returns the share of the labels' entropy that they explain (1: all, 0: nothing) and how
        many standard errors it is from nothing.
        """
        frequency = np.maximum(self._counts / len(self), 1e-12)
        told = np.log(np.maximum(self.own(self.temperature), 1e-30))
        gain = told - np.log(frequency)[self.labels]
        entropy = max(-float((frequency * np.log(frequency)).sum()), 1e-12)
        error = max(float(gain.std()) / np.sqrt(len(self)), 1e-12)
        return float(gain.mean()) / entropy, float(gain.mean()) / error

    @cached_property
    def foreseen(self) -> tuple[float, float]:
        """`foreseen_by` the predictions themselves."""
        return self.foreseen_by(self.p)

    def foreseen_by(self, v: np.ndarray) -> tuple[float, float]:
        """How far predictions foresee the labels that contradict them, and its standard error.

        Of the items predicted as k, the surer half is looked at: the AUC of log p(l) between those
        labelled l and those labelled k, over all l. One half: p tells nothing of which items have
        the other label, as where labels are wrong at random. Near 1: p knew that these items look
        like l, as where the labels are right and the model is unsure. `v` (n, K): predictions of
        the truth, which choose k and the surer half.
        """
        best = column_of_most(v)
        top = v[self.rows, best]
        order = np.lexsort((self.lots, -top, best))
        ends = np.cumsum(np.bincount(best, minlength=self.n_classes))
        won = pairs = 0.0
        for k, end in enumerate(ends):
            start = ends[k - 1] if k else 0
            half = order[start : start + (end - start) // 2]
            right = self.labels[half] == k
            if right.all() or not right.any():
                continue
            half.sort()  # rows are sorted by label
            labels, firsts = np.unique(self.labels[half], return_index=True)
            mine = int(np.searchsorted(labels, k))
            groups = np.split(half, firsts[1:])
            base = groups.pop(mine)
            labels = np.delete(labels, mine)
            ours = np.sort(self.p[base, labels[:, None]], axis=1)
            beaten = 0
            for label, group, placed in zip(labels.tolist(), groups, ours, strict=True):
                theirs = self.p[group, label]
                beaten += int(placed.searchsorted(theirs, "left").sum())
                beaten += int(placed.searchsorted(theirs, "right").sum())
            won += beaten / 2 / len(base)
            pairs += len(half) - len(base)
        drawn = (won + MIDDLE * MIDDLE_ITEMS) / (pairs + MIDDLE_ITEMS)
        return float(drawn), 0.29 / np.sqrt(pairs + MIDDLE_ITEMS)
