"""Soft labels for a Learner that is there already."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any, SupportsIndex

import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.data.load import DataLoader

from softfold.align import match_columns, take_part
from softfold.align.keys import RowIndex
from softfold.errors import InputError
from softfold.fastai.delivery import copy_loader, share_randomness, soft_dataset
from softfold.fastai.loss import SoftCrossEntropy as OneClass
from softfold.fastai.loss import as_soft_loss
from softfold.fastai.matching import Key, as_soft_labels, item_keys
from softfold.fastai.metrics import as_they_were, take_either
from softfold.soft_labels import SoftLabels


class SoftLabelCallback(Callback):
    """Train a Learner on soft labels: `Learner(dls, ..., cbs=SoftLabelCallback(soft))`.

    Each training item brings its soft target along, whatever the DataLoader does with it; rows
    are matched by item key, columns by class name. Validation, predictions, `show_batch` and
    `export` see the DataLoaders, their given labels and the loss as without the callback. The
    cross-entropies of fastai and PyTorch (with class weights, label smoothing, focal) take soft
    targets while training; a loss of your own must take float (N, K) and int (N,) targets.

    Soft labels of several labels an item (`softfold.multilabel.soften`) go to DataLoaders of a
    MultiCategoryBlock and its binary cross-entropy.

    Args:
        soft: SoftLabels, or a DataFrame with the items' keys as index and one-hot columns
            `y_true_*` and `y_pred_*`, blended 0.7 to 0.3.
        key: what an item's key is: the column of a DataFrame source, "index" for its row labels,
            or a function of the item. By itself the item (a path or text), the first column of a
            frame, the row label in a TabularPandas.
        root: folder that relative keys start from; by itself `dls.path`, and the folder of the
            table that the soft labels were made of.

    Raises:
        InputError: when training begins: an item without a soft label (named), classes that
            differ, keys that fit in two ways, a loader or loss that cannot carry soft targets.

    Needs nothing private of fastai. A Learner that `export` writes leaves the callback out, so
    that `load_learner` needs no softfold (it does for softfold's own losses, metrics and block).
    """

    order = -5  # after the Learner is set to training, before MixUp looks at the loss
    run_valid = False

    def __init__(
        self,
        soft: SoftLabels | pd.DataFrame,
        *,
        key: Key = None,
        root: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.soft, self.key, self.root = as_soft_labels(soft), key, root
        self._matched: tuple[Any, Any, Any] | None = None
        self._loaders: tuple[DataLoader, DataLoader] | None = None

    def before_fit(self) -> None:
        self._restore()
        self._matched = None

    def before_train(self) -> None:
        """Train this epoch from a copy of the loader that delivers soft targets."""
        loader = self.learn.dl
        if not isinstance(loader, DataLoader):
            raise InputError(
                f"soft labels need a fastai DataLoader, the Learner has {type(loader).__name__}"
            )
        twin = copy_loader(loader, self._soft_dataset(loader))
        loss = TrainingLoss(self.learn.loss_func, self.soft.multi_label)
        loss.check(len(self.soft.vocab), next(self.learn.model.parameters()).device)
        self._loaders = (loader, twin)
        self.learn.dl, self.learn.loss_func = twin, loss
        take_either(self.learn.metrics, self.soft.multi_label)

    def before_validate(self) -> None:
        self._restore()
        take_either(self.learn.metrics, self.soft.multi_label)

    def before_batch(self) -> None:
        target = self.learn.yb[0] if len(self.learn.yb) == 1 else None
        if target is None or not target.is_floating_point() or target.ndim != 2:
            raise InputError(
                "the training loader does not read its dataset: its batches came without soft "
                "targets (a create_item or create_batch of its own?)"
            )

    def _restore(self) -> None:
        """Back to the Learner's own loss and metrics; its loader goes on where the copy stopped."""
        as_they_were(self.learn.metrics)
        if isinstance(self.learn.loss_func, TrainingLoss):
            self.learn.loss_func = self.learn.loss_func.given
        if self._loaders is not None:
            share_randomness(*self._loaders)
            self._loaders = None

    # An epoch or a fit that is cancelled skips the events before; what is done stays done.
    after_train = after_cancel_train = after_validate = after_cancel_validate = _restore
    after_cancel_epoch = after_cancel_fit = after_fit = _restore

    def _soft_dataset(self, loader: DataLoader) -> Any:
        """The loader's dataset with soft targets, matched once a fit."""
        dataset = loader.dataset
        items = getattr(dataset, "items", None)
        known = self._matched
        if known is None or known[0] is not dataset or known[1] is not items:
            self._matched = known = (dataset, items, self._match(dataset))
        return known[2]

    def _match(self, dataset: Any) -> Any:
        n_inp: Any = getattr(dataset, "n_inp", None) or getattr(self.learn.dls, "n_inp", 1)
        root = getattr(self.learn.dls, "path", ".") if self.root is None else self.root
        index = RowIndex(self.soft.item, root, self.soft.root if self.root is None else None)
        keys = item_keys(dataset, index, self.key)
        rows = index.rows(keys, "key= says where keys are, root= where paths start")
        names = class_names(self.learn.dls)
        columns = match_columns(self.soft.vocab, names, "soft labels", "DataLoaders")
        targets = take_part(self.soft.targets, None, columns)
        return soft_dataset(dataset, targets, rows, n_inp, self.soft.multi_label)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        learn = self.learn
        if learn is not None and not len(learn.dls.train.dataset):  # what `export` writes
            return Callback, (), {"learn": learn}
        return super().__reduce_ex__(protocol)


class TrainingLoss:
    """The Learner's loss while it trains on soft targets; all else is as in the given loss.

    Pickled, it is the given loss, so that a Learner exported after an interrupted epoch loads
    without softfold.
    """

    y_int = False  # MixUp and CutMix are to mix the soft targets themselves

    def __init__(self, given: Any, multi_label: bool = False) -> None:
        self.given, self.multi_label = given, multi_label
        self.soft = as_soft_loss(given) or given

    def __call__(self, pred: torch.Tensor, target: torch.Tensor, **kwargs: Any) -> Any:
        loss = self.soft if target.is_floating_point() else self.given
        return loss(pred, target, **kwargs)

    def check(self, n_classes: int, device: torch.device) -> None:
        """Refuse a loss of unknown kind that fails on soft targets or on class indices."""
        if self.multi_label and (self.soft is not self.given or isinstance(self.given, OneClass)):
            raise InputError(
                f"the soft labels are of several labels an item, and the Learner's loss "
                f"{self.given!r} of one: use a MultiCategoryBlock, whose loss is binary"
            )
        if self.soft is not self.given:
            return
        logits = torch.zeros(n_classes + 1, n_classes, device=device)  # broadcasts with neither
        soft = torch.full_like(logits, 1 / n_classes)
        tried = [("soft targets", soft), ("class indices", soft.argmax(-1))]
        for what, target in tried[: 1 if self.multi_label else 2]:
            try:
                self.given(logits, target)
            except Exception as error:
                if self.multi_label:
                    raise InputError(
                        f"the Learner's loss {self.given!r} takes no soft targets (N, K) ({error})"
                    ) from error
                raise InputError(
                    f"the Learner's loss {self.given!r} takes no {what} ({error}): validation has "
                    "class indices, training soft targets; leave loss_func out, or use "
                    "softfold.fastai.SoftCrossEntropy()"
                ) from error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "given" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.given, name)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return operator.getitem, ((self.given,), 0)


def class_names(dls: Any) -> list[str]:
    """The target's classes of DataLoaders; a text's own vocabulary comes before them."""
    vocab = getattr(dls, "vocab", None)
    if vocab is not None and len(vocab) and not isinstance(vocab[-1], str):
        vocab = vocab[-1] if hasattr(vocab[-1], "__len__") else vocab
    if vocab is None or len(vocab) == 0:
        raise InputError("the DataLoaders have no vocab: soft labels need a CategoryBlock target")
    return [str(name) for name in vocab]
