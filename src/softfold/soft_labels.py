"""Soft labels with the keys of their items and the names of their classes, also in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from softfold import markup
from softfold.align import KeyedMatrix, match_columns, match_rows, take_part
from softfold.align.keys import as_keys, refuse_repeats, unique_names
from softfold.arrays import check_probabilities
from softfold.errors import InputError, count_of
from softfold.tensors import pack_keys, read_tensors, unpack_keys, write_tensors


@dataclass(frozen=True)
class SoftLabels:
    """Soft labels with the keys of their items and the names of their columns.

    Attributes:
        item: (N,) str, unique keys.
        targets: float32 (N, K), rows sum to 1.
        vocab: K class names, in column order.
        strategy: what made them: blend, gate, posterior, or given.
        settings: its settings, as JSON keeps them.
        given: keys (M,) and classes int (M,) of the given labels that they were made of, those of
            a table's hold-out too; None where they were read from a file.
        root: the folder, as an absolute path, that the keys of a table's files start from; None
            where it is not known, as where they were read from a file.
    """

    item: np.ndarray
    targets: np.ndarray
    vocab: tuple[str, ...]
    strategy: str
    settings: dict[str, Any] = field(default_factory=dict)
    given: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False, compare=False)
    root: str | None = field(default=None, repr=False, compare=False)

    multi_label: ClassVar[bool] = False
    """Whether the classes do not exclude each other: `softfold.multilabel.MultiSoftLabels`."""

    check: ClassVar[Callable[..., np.ndarray]] = staticmethod(check_probabilities)
    """What targets are looked at with."""

    def __post_init__(self) -> None:
        item = as_keys(self.item)
        object.__setattr__(self, "item", item)
        object.__setattr__(self, "vocab", unique_names(self.vocab, "soft labels: classes"))
        targets = self.check(self.targets, "soft labels")
        if targets.dtype != np.float32:
            targets = targets.astype(np.float32)
        object.__setattr__(self, "targets", targets)
        if targets.shape != (len(item), len(self.vocab)):
            raise InputError(
                f"soft labels: {count_of(len(item), 'item')} and "
                f"{count_of(len(self.vocab), 'class', 'classes')}, but targets of shape "
                f"{targets.shape}"
            )
        refuse_repeats(item, "soft labels: items")

    def __len__(self) -> int:
        return len(self.item)

    def __repr__(self) -> str:
        """One line; the targets themselves are in `targets`."""
        return f"{type(self).__name__}({self._about})"

    @property
    def _about(self) -> str:
        n, k = self.targets.shape
        why = ""
        if self.strategy == "given" and self.settings.get("asked") == "auto":
            why = ", since predictions tell nothing of the labels"
        return f"{n:,} items, {k} classes, strategy {self.strategy!r}{why}"

    def _repr_html_(self) -> str:
        """The first rows, and how sure soft labels are."""
        rows = [
            [key, markup.most_likely(target, self.vocab)]
            for key, target in zip(self.item[:5], self.targets)
        ]
        sure = float((self.targets.max(axis=1) > 0.9).mean()) if len(self) else 0.0
        about = f"soft labels: {self._about}; {sure:.0%} put more than 90% on one class"
        return markup.table(about, ["item", "soft label"], rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is None:  # which NumPy 1 does not take
            return np.asarray(self.targets, dtype=dtype)
        return np.array(self.targets, dtype=dtype, copy=copy)

    def aligned(self, item: Sequence[Any] | np.ndarray, vocab: Sequence[Any]) -> np.ndarray:
        """Targets float32 (n, K) for these items, columns in the order of `vocab`.

        Rows are matched by key and columns by class name, never by position. Raises
        InputError naming the first item without a soft label, or the first class that differs.
        """
        columns = match_columns(self.vocab, vocab, "soft labels", "vocab asked for")
        rows = match_rows(self.item, item, "without a soft label")
        return take_part(self.targets, rows, columns)

    def keyed(self) -> KeyedMatrix:
        """The targets with their keys and class names, as `softfold.align` reads them."""
        return KeyedMatrix(self.targets, self.item, self.vocab, "soft labels", "a soft label")

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: targets, keys as UTF-8, and the rest as JSON."""
        write_tensors(
            path,
            {"targets": self.targets, "item": pack_keys(self.item)},
            metadata={
                "vocab": json.dumps(self.vocab),
                "strategy": self.strategy,
                "settings": json.dumps(self.settings),
                **({"multi_label": "true"} if self.multi_label else {}),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> SoftLabels:
        """Read what `save` wrote."""
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file of soft labels")
        kept, about = read_tensors(path)
        if not {"targets", "item"} <= set(kept):
            raise InputError(
                f"{path}: not a file of soft labels with keys, as SoftLabels.save writes it"
            )
        if ("multi_label" in about) != cls.multi_label:
            there = "several labels an item" if "multi_label" in about else "one label an item"
            want = "SoftLabels" if cls.multi_label else "multilabel.MultiSoftLabels"
            raise InputError(f"{path}: soft labels of {there}: read them with softfold.{want}.load")
        return cls(
            item=unpack_keys(kept["item"]),
            targets=kept["targets"],
            vocab=tuple(json.loads(about["vocab"])),
            strategy=about["strategy"],
            settings=json.loads(about["settings"]),
        )
