"""Tables of items with several labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from softfold import markup
from softfold.align import find
from softfold.data.table import LabelTable
from softfold.errors import InputError


@dataclass(frozen=True)
class MultiLabelTable(LabelTable):
    """N items, each of which has any number of K classes, also none.

    All is as in a `LabelTable`, but for

    Attributes:
        given: (N, K) bool, whether the class was given to the item.
        truth: (N, K) int8, 1 where the item has the class, 0 where not, -1 where that is not known;
            or None. Never trained on.

    >>> given = np.array([[True, False], [True, True], [False, False]])
    >>> item = np.array(["a", "b", "c"], dtype=object)
    >>> table = MultiLabelTable(item, given, vocab=("sea", "sky"), valid=np.zeros(3, bool))
    >>> len(table), table.n_classes, table.given.sum(axis=0)
    (3, 2, array([2, 1]))
    """

    multi_label: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind, values in (("given", bool, (0, 1)), ("truth", np.int8, (-1, 0, 1))):
            value = getattr(self, name)
            if value is None:
                continue
            value = np.asarray(value)
            if value.shape != (len(self.item), len(self.vocab)):
                raise InputError(
                    f"{self.name}: {name} has shape {value.shape}; want "
                    f"({len(self.item)}, {len(self.vocab)}), a row an item and a column a class"
                )
            if not np.isin(value, values).all():
                said = f"{', '.join(map(str, values[:-1]))} and {values[-1]}"
                raise InputError(f"{self.name}: {name} holds other values than {said}")
            object.__setattr__(self, name, value.astype(kind))

    def __repr__(self) -> str:
        return f"MultiLabelTable({self._about})"

    @property
    def _about(self) -> str:
        before, _, kind = super()._about.rpartition(", ")
        mean = self.given[~self.valid].sum(axis=1).mean() if (~self.valid).any() else 0.0
        return f"{before}, {mean:.1f} an item, {kind}"

    def _repr_html_(self) -> str:
        """A row a class, the one that most training items have first."""
        given, counts = self.given[~self.valid], self.given[~self.valid].sum(axis=0)
        head = ["class", "training items", "share"]
        if self.truth is not None:
            head.append("wrong, by the truth")
            truth = self.truth[~self.valid]
            known = truth >= 0
            wrong = ((given != truth) & known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        rows: list[list[Any]] = []
        for k in np.argsort(-counts, kind="stable")[: markup.MOST_ROWS]:
            title = self.names.get(self.vocab[k])
            label = self.vocab[k] if title is None else f"{title} ({self.vocab[k]})"
            rows.append([label, int(counts[k]), f"{counts[k] / max(1, len(given)):.1%}"])
            if self.truth is not None:
                rows[-1].append(f"{wrong[k]:.1%}")
        if len(rows) < self.n_classes:
            rows.append([f"and {self.n_classes - len(rows):,} more"])
        return markup.table(self._about, head, rows)

    @property
    def class_counts(self) -> np.ndarray:
        """(K,) int64: how many training items were given each class."""
        return self.given[~self.valid].sum(axis=0)

    def written(self, column: Literal["given", "truth"]) -> np.ndarray:
        """(N,) objects, lists of the classes of each item; None where any is not known."""
        names, values = np.asarray(self.vocab, dtype=object), getattr(self, column)
        out = np.full(len(self), None, dtype=object)
        for i in np.flatnonzero((values >= 0).all(axis=1)):
            out[i] = list(names[values[i] == 1])
        return out

    @property
    def strata(self) -> np.ndarray:
        """(N,) int64: the rarest class that an item has, from 1; 0 where it has none."""
        return rarest(self.given)

    def of_class(self, name: str) -> LabelTable:
        """The question whether items have one class, as a label table of its own: no 0, yes 1."""
        (k,) = find(self.vocab, [name])
        if k < 0:
            raise InputError(f"{self.name}: no class {name!r}")
        return LabelTable(
            item=self.item,
            given=self.given[:, k].astype(np.int64),
            vocab=(f"not {name}", name),
            valid=self.valid,
            truth=None if self.truth is None else self.truth[:, k].astype(np.int64),
            group=self.group,
            data=self.data,
            name=f"{self.name}, {name}",
        )


def rarest(given: np.ndarray) -> np.ndarray:
    """(N,) int64: of the classes (N, K) that an item has, the rarest one's number from 1; else 0.

    >>> rarest(np.array([[1, 1], [1, 0], [0, 0]], dtype=bool))
    array([2, 1, 0])
    """
    counts = np.where(given, given.sum(axis=0), len(given) + 1)
    return np.where(given.any(axis=1), counts.argmin(axis=1) + 1, 0)


def of_several(table: LabelTable) -> MultiLabelTable:
    """A table whose labels are not known, as one of items that may have several."""
    none = np.zeros((len(table), table.n_classes), dtype=bool)
    fields = {name: getattr(table, name) for name in ("item", "vocab", "valid", "group", "data")}
    return MultiLabelTable(given=none, name=table.name, left_out=table.left_out, **fields)
