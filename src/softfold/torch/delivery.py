"""The soft target travels with its item: a dataset that gives both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from softfold.align.keys import as_keys, match_columns, match_rows, some, take_part
from softfold.arrays import ROW_SUM_TOLERANCE, check_independent, check_probabilities
from softfold.errors import InputError, count_of
from softfold.softening import SoftLabels

LABEL_KEYS = ("labels", "label")
"""Where an item that is a dictionary has its label, as transformers and datasets name it."""


class SoftTargetDataset(Dataset):
    """A map-style dataset whose items come with a soft target in place of their label.

    Everything else is asked of the dataset itself (`classes`, `transform`, ...).

    Args:
        dataset: gives items; see `with_soft_targets`.
        targets: float32 (N, K); item i has `targets[i]`.
    """

    def __init__(self, dataset: Any, targets: np.ndarray) -> None:
        self.dataset, self.targets = dataset, targets

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: Any) -> Any:
        item = self.dataset[i]
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

    The target is part of the item, so any sampler, worker, Subset or several GPUs may do with the
    items as they like. Train with `torch.nn.functional.cross_entropy`, which takes probabilities;
    where items have several labels, with `binary_cross_entropy_with_logits`.

    An item that is a tuple ends in its label; an item that is a dictionary has it under "labels" or
    "label". An item that is neither becomes the tuple (item, target).

    Args:
        dataset: a map-style dataset: it has a length and gives item i by `dataset[i]`.
        soft: SoftLabels, or float (N, K) with row i of `dataset[i]`.
        items: key of each item of the dataset, in its order, where `soft` is SoftLabels: rows are
            found by key. Without it the keys must be positions, as those of `label_table` are.
        vocab: class names in the order in which the dataset numbers its classes; by itself
            `dataset.classes`, or those of the feature "label" of a Hugging Face Dataset. Columns
            are found by name.
        multi_label: a matrix `soft` is of classes that do not exclude each other: each in 0..1, and
            rows need not sum to 1. MultiSoftLabels say so themselves.

    Raises:
        InputError: an item without a soft label, another number of items, classes that differ, keys
            or names that cannot be told.

    >>> x, y = torch.zeros(2, 3), torch.tensor([0, 1])
    >>> dataset = torch.utils.data.TensorDataset(x, y)
    >>> with_soft_targets(dataset, np.array([[0.75, 0.25], [0.0, 1.0]]))[0][1]
    tensor([0.7500, 0.2500])
    """
    n = dataset_length(dataset)
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
        _check_count(n, len(targets))
        return SoftTargetDataset(dataset, np.asarray(targets, dtype=np.float32))
    if items is not None:
        keys = as_keys(list(items))
        if len(keys) != n:
            raise InputError(
                f"items has {count_of(len(keys), 'key')}, the dataset {count_of(n, 'item')}: give "
                "one key an item"
            )
        rows = match_rows(soft.item, keys, "of the dataset without a soft label")
    elif np.array_equal(soft.item, position_keys(len(soft))):
        _check_count(n, len(soft))
        rows = np.arange(n)
    else:
        raise InputError(
            f"soft labels have keys such as {str(soft.item[0])!r}: say with items= which key each "
            "item of the dataset has"
        )
    return SoftTargetDataset(dataset, take_part(soft.targets, rows, _columns(dataset, soft, vocab)))


def _several(targets: np.ndarray) -> bool:
    """Whether they look like targets of several labels: in 0..1, and many rows sum to more."""
    if targets.dtype.kind not in "fiub" or not len(targets):
        return False
    inside = bool(((targets >= 0) & (targets <= 1)).all())
    return inside and bool((np.abs(targets.sum(axis=1) - 1) > ROW_SUM_TOLERANCE).mean() > 0.1)


def _check_count(n: int, n_soft: int) -> None:
    if n != n_soft:
        raise InputError(
            f"the dataset has {count_of(n, 'item')} and there are "
            f"{count_of(n_soft, 'soft label')}: take a part (Subset, random_split) of the dataset "
            "with soft targets, not before"
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
