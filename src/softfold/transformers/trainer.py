"""The Trainer of transformers with soft targets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer

from softfold.errors import InputError
from softfold.torch.delivery import LABEL_KEYS


def soft_cross_entropy(
    outputs: Any,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    *,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy with soft targets or class indices, as `compute_loss_func` of a Trainer.

    Args:
        outputs: of the model, with `logits` (n, K).
        labels: float (n, K), rows sum to 1, or int (n,).
        num_items_in_batch: labels in all batches that one step of the optimiser takes, as the
            Trainer counts them: K an item where labels are float (n, K). None: the mean is taken.
        label_smoothing: 0 to 1.

    Raises:
        InputError: no labels, or labels of another shape.
    """
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
    n, k = logits.shape
    if labels is None:
        raise InputError(
            "a batch without labels: items need 'labels', as softfold.torch.with_soft_targets "
            "gives them"
        )
    soft = labels.is_floating_point()
    if tuple(labels.shape) != ((n, k) if soft else (n,)):
        raise InputError(
            f"labels have shape {tuple(labels.shape)}, logits ({n}, {k}): want float ({n}, {k}) or "
            f"int ({n},); is num_labels of the model {k} on purpose?"
        )
    labels = labels.to(logits.device)
    if num_items_in_batch is None:
        return cross_entropy(logits, labels, label_smoothing=label_smoothing)
    total = cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)
    return total / (num_items_in_batch / k if soft else num_items_in_batch)


class SoftLabelTrainer(Trainer):
    """A Trainer of transformers for a classifier with soft targets.

    Everything else is that of `transformers.Trainer`. Training items bring targets float (K,) as
    `softfold.torch.with_soft_targets` gives them, under "labels" or "label"; items to evaluate on
    may keep class indices. A label smoothing of the arguments is applied. The model is marked as
    one of a single label, so that later users of its config take a softmax, and so that a Trainer
    without this loss stops at soft targets and does not train something else.

    Raises:
        InputError: the model is one of several labels an item, or a loss is given as well.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("compute_loss_func") is not None:
            raise InputError(
                "compute_loss_func is given, and SoftLabelTrainer has its own: use "
                "transformers.Trainer with your loss"
            )
        super().__init__(*args, **kwargs)
        config: Any = self.model.config  # type: ignore[union-attr]
        kind = getattr(config, "problem_type", None)
        if kind not in (None, "single_label_classification"):
            raise InputError(
                f"the model's config says problem_type={kind!r}: soft labels are for one class an "
                "item; set it to None, and load the model anew if it was trained so"
            )
        config.problem_type = "single_label_classification"
        self.compute_loss_func = partial(
            soft_cross_entropy, label_smoothing=self.args.label_smoothing_factor
        )
        if getattr(self.data_collator, "__module__", "").startswith("transformers."):
            self.data_collator = partial(_collated, self.data_collator)


def _collated(collate: Any, items: list[Any]) -> Any:
    """A batch of the items, and their soft targets (n, K) as its labels.

    The collators of transformers stack class indices; soft targets under "label", as Hugging Face's
    datasets name it, or beside a tokenizer's padding stop them.
    """
    first = items[0]
    key = next((k for k in LABEL_KEYS if isinstance(first, Mapping) and k in first), None)
    if key is None or not torch.is_tensor(first[key]) or first[key].ndim != 1:
        return collate(items)
    if not first[key].is_floating_point():
        return collate(items)
    batch = collate([{k: v for k, v in item.items() if k != key} for item in items])
    batch["labels"] = torch.stack([item[key] for item in items])
    return batch
