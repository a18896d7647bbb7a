"""Fold plans: which fold each training item belongs to, and the hold-out drawn before them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.data.grouping import copies_of, merge_groups
from softfold.data.table import LabelTable
from softfold.errors import InputError, count_of, require
from softfold.files import write_parquet


@dataclass(frozen=True)
class FoldPlan:
    """Which fold each training item belongs to, in every repeat.

    Attributes:
        item: (N,) item keys.
        fold: (N, R) int16, fold of each item in each of R repeats, 0 to n_folds - 1.
        n_folds: folds a repeat.
        seed: what the folds were drawn with.

    `plan_folds` draws plans that keep exact copies of an item in its fold. A plan that came from
    elsewhere is looked at once for copies that it divides, when it is first checked.
    """

    item: np.ndarray
    fold: np.ndarray
    n_folds: int
    seed: int
    _copies_checked: bool = field(default=False, repr=False, compare=False)

    @property
    def repeats(self) -> int:
        """How many times the items are divided into folds."""
        return self.fold.shape[1]

    def splits(self, repeat: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each fold of a repeat, the rows to train on and the rows to predict."""
        column = self.fold[:, repeat]
        return [
            (np.flatnonzero(column != f), np.flatnonzero(column == f)) for f in range(self.n_folds)
        ]

    @property
    def fingerprint(self) -> str:
        """A short hash of keys and folds: two plans with the same one are the same plan."""
        digest = hashlib.sha256("\0".join(self.item).encode())
        digest.update(np.ascontiguousarray(self.fold, dtype=np.int16).tobytes())
        return digest.hexdigest()[:16]

    def check(self, table: LabelTable) -> None:
        """Refuse a plan that is not of this table's items, in this order, or divides a group.

        Exact copies are a group (see `softfold.data.grouping.copies_of`).
        """
        if len(self.item) != len(table) or not np.array_equal(self.item, table.item):
            raise InputError(
                f"the fold plan has {len(self.item):,} items and is not of the "
                f"{len(table):,} training items of {table.name}: draw it anew with plan_folds"
            )
        if table.group is not None:
            divided = self._divided(merge_groups(table.group, n=len(table)))
            if divided.any():
                raise InputError(
                    f"the fold plan divides group {table.group[int(np.argmax(divided))]!r} of "
                    f"{table.name} between folds: draw it anew with plan_folds"
                )
        if not self._copies_checked:
            copies = copies_of(table)
            divided = self._divided(copies)
            if divided.any():
                row = int(np.argmax(divided))
                raise InputError(
                    f"the fold plan divides {count_of(int(divided.sum()), 'item')} of {table.name} "
                    f"from an exact copy in another fold; the first is {table.item[row]}, a copy "
                    f"of {table.item[copies[row]]}: draw it anew with plan_folds"
                )
            object.__setattr__(self, "_copies_checked", True)

    def _divided(self, group: np.ndarray) -> np.ndarray:
        """(N,) bool: items in another fold than the first of their group."""
        _, first, number = np.unique(group, return_index=True, return_inverse=True)
        return (self.fold != self.fold[first][number]).any(axis=1)

    def save(self, path: str | Path) -> None:
        """Write a Parquet file: item, and fold as a list with one number a repeat."""
        frame = pd.DataFrame({"item": self.item, "fold": list(self.fold.astype(np.int64))})
        frame.attrs = {"n_folds": self.n_folds, "seed": self.seed}
        write_parquet(path, frame)

    @classmethod
    def load(cls, path: str | Path) -> FoldPlan:
        """Read what `save` wrote."""
        require("pyarrow", extra="cli")
        frame = pd.read_parquet(path)
        fold = np.stack(frame["fold"].to_list()).astype(np.int16)
        return cls(
            item=frame["item"].to_numpy(dtype=object),
            fold=fold,
            n_folds=int(frame.attrs.get("n_folds", fold.max() + 1)),
            seed=int(frame.attrs.get("seed", 0)),
        )


def fold_seed(seed: int, fold: int, repeat: int = 0) -> int:
    """The seed of the model that is blind to a fold, in a cross-fit with `seed`.

    >>> fold_seed(0, 2), fold_seed(1, 2, repeat=1)
    (2, 1112)
    """
    return seed * 1009 + repeat * 101 + fold


def plan_folds(
    table: LabelTable,
    n_folds: int = 5,
    *,
    repeats: int = 1,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> FoldPlan:
    """Draw stratified folds that keep groups and exact copies together, the same for a seed.

    Args:
        table: the training items (hold-out items are left out).
        n_folds: folds, at least 2.
        repeats: how many times to draw.
        seed: of the draw.
        groups: (N,) groups besides `table.group` and exact copies, such as near copies; items
            that any of them joins share a fold.

    A class of a multi-label table may have fewer items than there are folds: where a fold's
    training has none, nothing is learned of the class, and its share is predicted.

    Raises:
        InputError: a class with fewer items than folds, or one that some fold's training lacks.
    """
    table = table.train if table.valid.any() else table
    if n_folds < 2:
        raise InputError(f"{n_folds} folds: cross-fitting needs at least 2 (--folds, n_folds=)")
    if repeats < 1:
        raise InputError(f"{repeats} repeats: at least 1 is needed (--repeats, repeats=)")
    counts = np.bincount(table.strata, minlength=table.n_classes)
    if not table.multi_label and (counts < n_folds).any():
        small = np.flatnonzero(counts < n_folds)
        raise InputError(
            f"{table.name}: {count_of(len(small), 'class has', 'classes have')} fewer training "
            f"items than the {n_folds} folds; the first is {table.vocab[small[0]]!r} with "
            f"{counts[small[0]]}: use fewer folds (--folds, n_folds=) "
            "or leave the class out"
        )
    group = merge_groups(table.group, groups, copies_of(table), n=len(table))
    n_groups = len(np.unique(group))
    if n_groups < n_folds:
        raise InputError(
            f"{table.name}: {count_of(n_groups, 'group is', 'groups are')} too few for {n_folds} "
            "folds, since a group stays in one fold, and so do exact copies of an item: use fewer "
            "folds (--folds, n_folds=)"
        )
    fold = np.empty((len(table), repeats), dtype=np.int16)
    for r in range(repeats):
        fold[:, r] = draw_folds(table.strata, group, n_folds, np.random.default_rng([seed, r]))
        for f in range(0 if table.multi_label else n_folds):
            left = np.bincount(table.given[fold[:, r] != f], minlength=table.n_classes)
            if (left == 0).any():
                lost = table.vocab[int(np.argmax(left == 0))]
                raise InputError(
                    f"{table.name}: all items of class {lost!r} fall into fold {f} (its groups, or "
                    "those of exact copies, are too large to divide), so the model of that fold "
                    "would never see the class: use smaller groups or leave the class out"
                )
    return FoldPlan(table.item, fold, n_folds, seed, _copies_checked=True)


def draw_holdout(
    table: LabelTable,
    fraction: float = 0.2,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> LabelTable:
    """Mark a stratified part of a table as its hold-out; groups and copies stay on one side.

    Items are drawn in the order of their keys, so that a folder and a table of the same files have
    the same hold-out, in whatever order they are listed.
    """
    if not 0 < fraction < 1:
        raise InputError(f"a hold-out of {fraction} of the items: want a fraction between 0 and 1")
    parts = max(2, round(1 / fraction))
    counts = np.bincount(table.strata, minlength=table.n_classes)
    if not table.multi_label and (counts < 2).any():
        first = int(np.argmax(counts < 2))
        raise InputError(
            f"{table.name}: class {table.vocab[first]!r} has {count_of(int(counts[first]), 'item')}"
            ", too few to draw a hold-out from: misspelt? Else give one (--valid or --holdout)"
        )
    group = merge_groups(table.group, groups, copies_of(table), n=len(table))
    order = _in_order(table.item)
    numbered = pd.factorize(group[order])[0]
    fold = np.empty(len(table), np.int16)
    rng = np.random.default_rng([seed, 7919])
    fold[order] = draw_folds(table.strata[order], numbered, parts, rng)
    return replace(table, valid=fold == 0)


def _in_order(keys: np.ndarray) -> np.ndarray:
    """(n,) rows in the order of their keys, numbers in them by value.

    >>> _in_order(np.array(["b", "a10", "a9"], dtype=object))
    array([2, 1, 0])
    """
    padded = [re.sub(r"\d+", lambda number: number[0].zfill(20), key) for key in keys]
    return np.argsort(np.array(padded, dtype=object), kind="stable")


def draw_folds(
    given: np.ndarray, group: np.ndarray, n_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """(N,) folds: groups first, largest first, each where it balances best; then single items."""
    n_classes = int(given.max()) + 1
    fold = np.full(len(given), -1, dtype=np.int16)
    filled = np.zeros((n_folds, n_classes))
    total = np.maximum(np.bincount(given, minlength=n_classes), 1)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0])
    sizes = np.diff(np.r_[starts, len(order)])
    large = np.flatnonzero(sizes > 1)
    for g in large[np.lexsort((rng.random(len(large)), -sizes[large]))]:
        rows = order[starts[g] : starts[g] + sizes[g]]
        adds = np.bincount(given[rows], minlength=n_classes)
        cost = (((filled + adds) / total) ** 2 - (filled / total) ** 2).sum(1)
        cost += filled.sum(1) / len(given) * 1e-6
        f = int(np.argmin(cost))
        fold[rows] = f
        filled[f] += adds
    alone = rng.permutation(np.flatnonzero(fold < 0))
    for c in rng.permutation(n_classes):
        rows = alone[given[alone] == c]
        quota = _fill(filled[:, c], len(rows), tie=filled.sum(1) + rng.random(n_folds) * 0.5)
        fold[rows] = np.repeat(np.arange(n_folds), quota)
        filled[:, c] += quota
    return fold


def _fill(have: np.ndarray, n: int, tie: np.ndarray) -> np.ndarray:
    """How many of n items each fold takes so that `have` ends as level as it can."""
    low, high = have.min(), have.max() + n
    while high - low > 1:
        level = np.floor((low + high) / 2)
        low, high = (level, high) if np.maximum(level - have, 0).sum() <= n else (low, level)
    take = np.maximum(low - have, 0).astype(np.int64)
    rest = n - int(take.sum())
    at_level = np.flatnonzero(have + take <= low)
    take[at_level[np.argsort(tie[at_level], kind="stable")][:rest]] += 1
    return take
