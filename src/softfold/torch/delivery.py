"""The soft target travels with its item: a dataset that gives both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Subset

from softfold.align.keys import (
    RowIndex,
    as_keys,
    find,
    match_columns,
    some,
    take_part,
)
from softfold.arrays import ROW_SUM_TOLERANCE, check_independent, check_probabilities
from softfold.errors import InputError, count_of
from softfold.soft_labels import SoftLabels

LABEL_KEYS = ("labels", "label")
"""Where an item that is a dictionary has its label, as transformers and datasets name it."""


class SoftTargetDataset(Dataset):
    """A map-style dataset whose items come with a soft target in place of their label.

    Everything else is asked of the dataset itself (`classes`, `transform`, ...).

    Args:
        dataset: gives items; see `with_soft_targets`.
        targets: float32 (N, K); item i has `targets[i]`.
        soft: (N,) bool, the items that get their target, all where None; others stay as they are.
    """

    def __init__(self, dataset: Any, targets: np.ndarray, soft: np.ndarray | None = None) -> None:
        self.dataset, self.targets, self.soft = dataset, targets, soft

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: Any) -> Any:
        item = self.dataset[i]
        if self.soft is not None and not self.soft[i]:
            return item
        return replaced(item, torch.from_numpy(np.array(self.targets[i], dtype=np.float32)))

    def __getattr__(self, name: str) -> Any:
        # batches that the dataset would make by itself (__getitems__) have no soft targets
        if name.startswith("__") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)


def with_soft_targets(
    dataset: Any,
    soft: SoftLabels | np.ndarray | Any,
    items: Iterable[Any] | None = None,
    *,
    vocab: Iterable[Any] | None = None,
    multi_label: bool = False,
) -> SoftTargetDataset:
    """The same dataset, each item with its soft target float32 (K,) in place of its label.

    The target is part of the item, so any sampler, worker or several GPUs may do with the items as
    they like. Split before, and give the part to train on: a split of the result has soft targets
    in all parts, and metrics of validation want class indices. Train with
    `torch.nn.functional.cross_entropy`, which takes probabilities; where items have several labels,
    with `binary_cross_entropy_with_logits`.

    An item that is a tuple ends in its label; an item that is a dictionary has it under "labels" or
    "label". An item that is neither becomes the tuple (item, target).

    Args:
        dataset: a map-style dataset: it has a length and gives item i by `dataset[i]`. A Subset
            (also of random_split) may have `soft` and `items` of the whole that it is a part of.
        soft: SoftLabels, or float (N, K) with row i of `dataset[i]`. Items of the hold-out of the
            table that SoftLabels were made of keep their label.
        items: key of each item of the dataset, in its order, where `soft` is SoftLabels: rows are
            found by key. Without it the keys must be positions, as those of `label_table` are.
        vocab: class names in the order in which the dataset numbers its classes; by itself
            `dataset.classes`, or those of the feature "label" of a Hugging Face Dataset. Columns
            are found by name.
        multi_label: a matrix `soft` is of classes that do not exclude each other: each in 0..1, and
            rows need not sum to 1. MultiSoftLabels say so themselves.

    Raises:
        InputError: an item without a soft label, another number of items, a Subset of all items in
            another order without `items`, classes that differ, keys or names that cannot be told.

    >>> x, y = torch.zeros(2, 3), torch.tensor([0, 1])
    >>> dataset = torch.utils.data.TensorDataset(x, y)
    >>> with_soft_targets(dataset, np.array([[0.75, 0.25], [0.0, 1.0]]))[0][1]
    tensor([0.7500, 0.2500])
    """
    dataset_length(dataset)
    if not isinstance(soft, SoftLabels):
        if items is not None:
            raise InputError(
                "soft labels are a matrix without item keys, so items= finds nothing: give "
                "SoftLabels, such as softfold.soften(table, oof) makes"
            )
        targets = np.asarray(soft)
        independent = targets.ndim == 2 and not multi_label and _several(targets)
        if independent:
            raise InputError(
                "soft labels have rows that do not sum to 1: say multi_label=True where items may "
                "have several labels"
            )
        check = check_independent if multi_label else check_probabilities
        targets = check(targets, "soft labels")
        _refuse_other_order(dataset, len(targets))
        rows = _part(dataset, len(targets), "soft label")
        return SoftTargetDataset(dataset, take_part(np.asarray(targets, np.float32), rows, None))
    whole = soft.item if soft.given is None else soft.given[0]
    if items is not None:
        keys = as_keys(list(items))
        keys = keys[_part(dataset, len(keys), "key")]
    elif np.array_equal(whole, position_keys(len(whole))):
        _refuse_other_order(dataset, len(whole))
        keys = whole[_part(dataset, len(whole), "soft label")]
    else:
        raise InputError(
            f"soft labels have keys such as {str(soft.item[0])!r}: say with items= which key each "
            "item of the dataset has"
        )
    rows = _rows(soft, keys)
    targets = take_part(soft.targets, np.maximum(rows, 0), _columns(dataset, soft, vocab))
    return SoftTargetDataset(dataset, targets, None if (rows >= 0).all() else rows >= 0)


def _rows(soft: SoftLabels, keys: np.ndarray) -> np.ndarray:
    """(n,) int64 rows of soft labels by key or path; -1 of an item of the table's hold-out."""
    rows = _found(soft.item, keys, soft.root)
    missing = rows < 0
    if missing.any() and soft.given is not None:
        missing[missing] = _found(soft.given[0], keys[missing], soft.root) < 0
    if missing.any():
        raise InputError(
            f"{count_of(int(missing.sum()), 'item')} of {len(keys):,} of the dataset without a "
            f"soft label; the first is {keys[int(np.argmax(missing))]!r}, soft labels have keys "
            f"such as {str(soft.item[0])!r}"
        )
    return rows


def _found(known: np.ndarray, keys: np.ndarray, root: str | None) -> np.ndarray:
    """(n,) int64 rows of `keys` among `known`, also of paths below the folder they start from."""
    rows = find(known, keys)
    missing = np.flatnonzero(rows < 0)
    if len(missing) and root is not None:
        index = RowIndex(known, home=root)
        at = (index.get(key) for key in keys[missing])
        rows[missing] = [-1 if row is None else row for row in at]
    return rows


def _several(targets: np.ndarray) -> bool:
    """Whether they look like targets of several labels: in 0..1, and many rows sum to more."""
    if targets.dtype.kind not in "fiub" or not len(targets):
        return False
    inside = bool(((targets >= 0) & (targets <= 1)).all())
    return inside and bool((np.abs(targets.sum(axis=1) - 1) > ROW_SUM_TOLERANCE).mean() > 0.1)


def _part(dataset: Any, n: int, noun: str) -> np.ndarray:
    """(m,) rows of a dataset's m items among n: all of them, or those that a Subset takes."""
    rows, whole = np.arange(len(dataset)), dataset
    while len(whole) != n and isinstance(whole, Subset):
        rows, whole = np.asarray(whole.indices, dtype=np.int64)[rows], whole.dataset
    if len(whole) != n:
        raise InputError(
            f"the dataset has {count_of(len(dataset), 'item')} and there are {count_of(n, noun)}: "
            "give one an item of the dataset, or of the whole that it is a Subset of"
        )
    return rows


def _refuse_other_order(dataset: Any, n: int) -> None:
    """Of a Subset with as many items as its whole, positions may be those of either."""
    rows = np.arange(len(dataset))
    whole: Any = dataset
    while isinstance(whole, Subset):
        rows, whole = np.asarray(whole.indices, dtype=np.int64)[rows], whole.dataset
        if len(dataset) == len(whole) == n and (rows != np.arange(n)).any():
            raise InputError(
                f"the dataset is a Subset that has all {n:,} items in another order, so that a "
                "position may be one of it or of its whole: give with_soft_targets the whole and "
                "take the Subset of what it returns, or say with items= which key each item has"
            )


def _columns(dataset: Any, soft: SoftLabels, vocab: Iterable[Any] | None) -> np.ndarray | None:
    """Where the dataset's classes are among the columns; None where the order is the same."""
    names = class_names(dataset) if vocab is None else tuple(map(str, vocab))
    if names is not None:
        return match_columns(soft.vocab, names, "soft labels", "dataset")
    if soft.vocab != tuple(map(str, range(len(soft.vocab)))):
        raise InputError(
            f"soft labels have class names ({some(soft.vocab)}) and the dataset has none: say with "
            "vocab= in which order it numbers them"
        )
    return None


def dataset_length(dataset: Any) -> int:
    """How many items a map-style dataset has. Raises InputError where it is none."""
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise InputError(
            f"{type(dataset).__name__} has no length or no items by position: soft targets need a "
            "map-style dataset"
        )
    if hasattr(dataset, "columns") and hasattr(dataset, "shape"):
        raise InputError(
            f"a {type(dataset).__name__} is a table, and its [i] is no item: make a dataset of it, "
            "such as datasets.Dataset.from_pandas(frame) or a TensorDataset"
        )
    return len(dataset)


def class_names(dataset: Any) -> tuple[str, ...] | None:
    """Names of the classes by number, as datasets of torchvision and Hugging Face have them.

    Also below a Subset.
    """
    while dataset is not None:
        names = getattr(dataset, "classes", None)
        features = getattr(dataset, "features", None)
        if names is None and isinstance(features, Mapping):
            labels = (features[key] for key in LABEL_KEYS if key in features)
            names = getattr(next(labels, None), "names", None)
        if isinstance(names, list | tuple):
            return tuple(map(str, names))
        dataset = getattr(dataset, "dataset", None)
    return None


def position_keys(n: int) -> np.ndarray:
    """(n,) str objects "0", "1", ...: the keys of items that are known by their position."""
    return np.arange(n).astype(str).astype(object)


def replaced(item: Any, target: torch.Tensor) -> Any:
    """The item with the soft target in place of its label.

    >>> replaced({"text": "a", "label": 0}, torch.tensor([1.0]))
    {'text': 'a', 'label': tensor([1.])}
    """
    if isinstance(item, Mapping):
        key = next((k for k in LABEL_KEYS if k in item), LABEL_KEYS[0])
        return {**item, key: target}
    if not isinstance(item, tuple | list):
        return item, target
    if hasattr(item, "_fields"):  # a namedtuple
        kind: Any = type(item)
        return kind(*item[:-1], target)
    inputs = item if len(item) == 1 else item[:-1]
    return (*inputs, target)


def split_batch(batch: Any) -> Any:
    """The inputs of an item or a batch, without its label: a dictionary or a tuple."""
    if isinstance(batch, Mapping):
        return {k: v for k, v in batch.items() if k not in LABEL_KEYS}
    if isinstance(batch, tuple | list):
        return tuple(batch if len(batch) == 1 else batch[:-1])
    return (batch,)
