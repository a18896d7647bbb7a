"""Soft labels as the target block of a DataBlock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from fastai.data.block import TransformBlock
from fastai.data.transforms import Category, CategoryMap
from fastai.torch_core import TensorCategory
from fasttransform import Transform

from softfold.align.keys import RowIndex
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.fastai.delivery import TensorSoftTarget
from softfold.fastai.loss import SoftCrossEntropy
from softfold.fastai.matching import as_soft_labels
from softfold.soft_labels import SoftLabels

Labels: TypeAlias = Mapping[Any, Any] | pd.Series | LabelTable | None


def SoftCategoryBlock(
    soft: SoftLabels | pd.DataFrame, labels: Labels = None, *, root: str | Path | None = None
) -> TransformBlock:
    """A `CategoryBlock` with soft training targets: `blocks=(ImageBlock, SoftCategoryBlock(soft))`.

    `get_y` gives the item's key. Training items get the soft label with that key, validation
    items the class index of their given label. `dls.vocab` is the soft labels' classes, the loss
    `SoftCrossEntropy`, `show_batch` shows the most likely class. A confusion matrix of training
    items (`ds_idx=0`) wants class indices: train with `SoftLabelCallback` for that.

    Args:
        soft: SoftLabels, or a frame of `y_true_*` and `y_pred_*` columns, blended 0.7 to 0.3.
        labels: the given label's class name of each validation item, by key: a mapping, a
            Series, or a LabelTable. By itself the given labels that the soft labels were made of,
            those of the table's hold-out too.
        root: folder that relative keys start from, where keys are not written alike; by itself the
            working folder, and the folder of the table that the soft labels were made of.

    Raises:
        InputError: a training item without a soft label; and when a validation item is read, one
            without a given label. The first is named.
    """
    return TransformBlock(type_tfms=SoftCategorize(as_soft_labels(soft), labels, root))


class SoftCategorize(Transform):
    """Key to soft target in training (K,), to class index elsewhere; back to a class name."""

    loss_func, order = SoftCrossEntropy(), 1

    def __init__(
        self, soft: SoftLabels, labels: Labels = None, root: str | Path | None = None
    ) -> None:
        super().__init__()
        if soft.multi_label:
            raise InputError(
                "the soft labels are of several labels an item: use fastai's MultiCategoryBlock, "
                "and SoftLabelCallback(soft) for the Learner"
            )
        self.vocab = CategoryMap(list(soft.vocab), sort=False)
        self.c = len(self.vocab)
        where = (".", soft.root) if root is None else (root, None)
        self.soft_rows, self.targets = RowIndex(soft.item, *where), soft.targets
        keys, names = _keys_and_names(labels, soft)
        self.label_rows, self.names = RowIndex(keys, *where), names

    def setup(self, items: Any = None, train_setup: bool = False) -> None:
        """Refuse training items without a soft label, before the first is read.

        `split_idx` does not tell a training item later: `Learner.tta` reads validation items as 0.
        """
        train = getattr(items, "train", items)
        if train is not None:
            self.soft_rows.rows(
                [str(key) for key in train], "get_y gives keys, root= says where paths start"
            )

    def __call__(self, key: Any, split_idx: int | None = None, **kwargs: Any) -> torch.Tensor:
        key = str(key)
        row = self.soft_rows.get(key)
        if row is not None and split_idx != 1:
            target = torch.from_numpy(np.array(self.targets[row], dtype=np.float32))
            return target.as_subclass(TensorSoftTarget)
        return self._given(key)

    def _given(self, key: str) -> torch.Tensor:
        row = self.label_rows.get(key)
        if row is None:
            raise InputError(
                f"validation item {key!r} has no given label: SoftCategoryBlock(soft, labels) "
                "takes them as a label table or a mapping of keys to class names"
            )
        name = str(self.names[row])
        if name not in self.vocab.o2i:
            raise InputError(f"validation item {key!r} has the label {name!r}, which is no class")
        return TensorCategory(self.vocab.o2i[name])

    def decodes(self, target: torch.Tensor) -> Category:
        index = target.argmax(-1) if target.is_floating_point() else target
        return Category(self.vocab[int(index)])


def _keys_and_names(labels: Labels, soft: SoftLabels) -> tuple[list[Any], list[Any]]:
    if labels is None and soft.given is not None:
        keys, codes = soft.given
        return list(keys), [soft.vocab[k] for k in codes]
    if labels is None:
        return [], []
    if isinstance(labels, LabelTable):
        return list(labels.item), [labels.vocab[i] for i in labels.given]
    pairs = list(labels.items())
    return [key for key, _ in pairs], [name for _, name in pairs]
