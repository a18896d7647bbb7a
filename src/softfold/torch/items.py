"""The items of a torch Dataset as a label table: their labels, keys, and what tells copies."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from softfold.align.keys import as_keys, unique_names
from softfold.data.table import ForeignItems, LabelTable
from softfold.errors import InputError, count_of
from softfold.multilabel.table import MultiLabelTable
from softfold.torch.delivery import (
    LABEL_KEYS,
    SoftTargetDataset,
    class_names,
    dataset_length,
    position_keys,
    replaced,
    split_batch,
)


class DatasetItems(ForeignItems):
    """Items of a map-style dataset.

    Args:
        dataset: the dataset.
        rows: int64 (n,), positions of the items in it.
        digests: int64 (n, 2), equal where the inputs are.
        evaluation: the same items as they are predicted; the dataset itself where None.
    """

    def __init__(
        self, dataset: Any, rows: np.ndarray, digests: np.ndarray, evaluation: Any = None
    ) -> None:
        self.dataset, self.rows, self.digests = dataset, rows, digests
        self.evaluation = dataset if evaluation is None else evaluation

    def take(self, rows: np.ndarray) -> DatasetItems:
        """The items of the rows given as integers or as a mask."""
        return DatasetItems(self.dataset, self.rows[rows], self.digests[rows], self.evaluation)


def label_table(
    dataset: Any,
    items: Iterable[Any] | None = None,
    *,
    evaluation: Any = None,
    vocab: Iterable[Any] | None = None,
    group: Iterable[Any] | None = None,
    multi_label: bool | None = None,
    name: str = "dataset",
) -> LabelTable:
    """A label table of a torch Dataset, for `softfold.cross_fit` and all that follows.

    Every item is read once, for its label and to find exact copies; each under the same random
    numbers, so that copies are copies also where a transform is random.

    Args:
        dataset: map-style; item i is a tuple that ends in its label, or a dictionary with the label
            under "labels" or "label". Labels are class indices 0 to K-1; or 0 and 1 of every class,
            (K,).
        items: (N,) keys of the items; their positions by itself.
        evaluation: a dataset of the same items in the same order, without random transforms: what
            models predict and are validated on. By itself `dataset`, under whatever transforms it
            trains with.
        vocab: K class names, by class index; `dataset.classes` by itself, else numbers.
        group: (N,) groups; items of one group share a fold. Copies share one anyway.
        multi_label: whether labels (K,) are of items that may have several, so that the table is a
            MultiLabelTable. By itself they are, unless every item has one 1: such one-hot labels
            are read as class indices, with a warning.
        name: for messages.

    Raises:
        InputError: labels that are no class indices, or counts that differ.

    >>> table = label_table(TensorDataset(torch.rand(4, 2), torch.tensor([0, 1, 1, 0])))
    >>> table.given, table.vocab
    (array([0, 1, 1, 0]), ('0', '1'))
    """
    n = dataset_length(dataset)
    if evaluation is not None and dataset_length(evaluation) != n:
        raise InputError(
            f"{name}: evaluation has {count_of(len(evaluation), 'item')} and the dataset {n:,}: "
            "want the same items in the same order"
        )
    labels: list[int | np.ndarray] = []
    digests = np.empty((n, 2), np.int64)
    with _same_randomness() as restart:
        for i in range(n):
            restart()
            item = dataset[i]
            labels.append(_label(item, i, name))
            if np.shape(labels[i]) != np.shape(labels[0]):
                raise InputError(
                    f"{name}: item {i} brings a label of shape {np.shape(labels[i])}, item 0 one "
                    f"of {np.shape(labels[0])}"
                )
            digests[i] = np.frombuffer(_digest(split_batch(item)), np.int64)
    names = class_names(dataset) if vocab is None else unique_names(vocab, "vocab")
    given = np.array(labels) if labels else np.zeros(0, np.int64)
    several = given.ndim == 2
    if names is None:
        count = given.shape[1] if several else int(given.max(initial=-1)) + 1
        names = tuple(map(str, range(count)))
    if several and _is_one_hot(given, multi_label, name):
        given, several = given.argmax(axis=1), False
    wrong = (given < 0) | (given >= len(names))
    if wrong.any() and not several:
        first = int(np.argmax(wrong))
        raise InputError(
            f"{name}: {count_of(int(wrong.sum()), 'label')} of {n:,} outside 0..{len(names) - 1}; "
            f"the first is {given[first]} at item {first}"
        )
    return (MultiLabelTable if several else LabelTable)(
        item=position_keys(n) if items is None else as_keys(list(items)),
        given=given,
        vocab=names,
        valid=np.zeros(n, bool),
        group=None if group is None else as_keys(list(group)),
        data=DatasetItems(dataset, np.arange(n), digests, evaluation),
        name=name,
    )


def training_set(table: LabelTable, targets: np.ndarray) -> Dataset:
    """A dataset of the table's n items, each with its target, a row of float (n, K).

    Raises:
        InputError: items that are neither a dataset's nor a numeric array.
    """
    targets = np.asarray(targets, dtype=np.float32)
    if isinstance(table.data, DatasetItems):
        return SoftTargetDataset(Subset(table.data.dataset, table.data.rows.tolist()), targets)
    return TensorDataset(_inputs(table), torch.from_numpy(targets))


def validation_set(table: LabelTable, targets: np.ndarray) -> Dataset:
    """A dataset of the table's n items, each with the likeliest class of its target (n, K)."""
    return _Labelled(items_of(table), np.asarray(targets).argmax(axis=1))


class _Labelled(Dataset):
    """Items of a dataset with class indices (n,) in place of their labels."""

    def __init__(self, dataset: Any, labels: np.ndarray) -> None:
        self.dataset, self.labels = dataset, torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Any:
        return replaced(self.dataset[i], self.labels[i])


def items_of(table: LabelTable) -> Dataset:
    """A dataset of the table's items whose last element or label says nothing."""
    if isinstance(table.data, DatasetItems):
        return Subset(table.data.evaluation, table.data.rows.tolist())
    return TensorDataset(_inputs(table), torch.zeros(len(table)))


def _inputs(table: LabelTable) -> torch.Tensor:
    """The rows of an array as a tensor; floats as float32."""
    data = table.data
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "biuf":
        raise InputError(
            f"{table.name}: trainers of softfold.torch take numeric arrays (N, ...), or a table "
            "that softfold.torch.label_table made of a Dataset"
        )
    return torch.from_numpy(np.array(data, dtype=np.float32 if data.dtype.kind == "f" else None))


def _label(item: Any, i: int, name: str) -> int | np.ndarray:
    """The class index that an item brings, or numbers (K,) where it may have several labels."""
    label = None
    if isinstance(item, Mapping):
        label = next((item[k] for k in LABEL_KEYS if k in item), None)
    elif isinstance(item, tuple | list) and len(item) > 1:
        label = item[-1]
    if isinstance(label, torch.Tensor | np.ndarray) and label.ndim == 0:
        label = label.item()
    if isinstance(label, torch.Tensor | np.ndarray) and label.ndim == 1 and len(label) > 1:
        several = np.asarray(label)
        if np.isin(several, (0, 1)).all():
            return several
    if isinstance(label, bool) or not isinstance(label, Integral):
        raise InputError(
            f"{name}: item {i} brings no class index as its label but "
            f"{type(label).__name__}: want a tuple that ends in it, or a dictionary with 'labels'"
        )
    return int(label)


def _is_one_hot(given: np.ndarray, multi_label: bool | None, name: str) -> bool:
    """Whether labels (N, K) are one label an item. Raises InputError where they cannot be."""
    one_each = bool((given.sum(axis=1) == 1).all())
    if multi_label is False and not one_each:
        i = int(np.argmax(given.sum(axis=1) != 1))
        raise InputError(f"{name}: item {i} has {int(given[i].sum())} labels, not one")
    if multi_label is None and one_each:
        warnings.warn(
            f"{name}: every item has one 1 among its {given.shape[1]} labels, so they are read as "
            "one label an item (multi_label=True: items may have several)",
            stacklevel=3,
        )
    return one_each and not multi_label


@contextmanager
def _same_randomness() -> Iterator[Any]:
    """Gives what starts all random numbers anew; in the end they go on as if nothing had been."""
    kept = random.getstate(), np.random.get_state(), torch.random.get_rng_state()

    def restart() -> None:
        random.seed(0)
        np.random.seed(0)
        torch.random.default_generator.manual_seed(0)

    try:
        yield restart
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.random.set_rng_state(kept[2])


def _digest(value: Any) -> bytes:
    """16 bytes, the same where the content is."""
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, value)
    return digest.digest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
        value = value.numpy()
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            digest.update(f"key {key}".encode())
            _add(digest, value[key])
    elif isinstance(value, tuple | list):
        digest.update(f"list {len(value)}".encode())
        for part in value:
            _add(digest, part)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"array {value.shape} {value.dtype}".encode())
        digest.update(np.ascontiguousarray(value))
    elif hasattr(value, "tobytes"):  # images of Pillow, numbers of NumPy
        digest.update(f"{getattr(value, 'size', '')} {getattr(value, 'mode', '')}".encode())
        digest.update(value.tobytes())
    else:
        digest.update(repr(value).encode())
