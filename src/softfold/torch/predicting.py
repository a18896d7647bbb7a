"""What a net says of the items of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from softfold.torch.delivery import LABEL_KEYS, split_batch


def predict_probabilities(
    net: nn.Module,
    dataset: Any,
    batch_size: int = 256,
    collate_fn: Callable[[list], Any] | None = None,
    workers: int = 0,
    multi_label: bool = False,
) -> np.ndarray:
    """Probabilities float32 (n, K), row i of `dataset[i]`: the softmax of the net's logits.

    Of classes that do not exclude each other (`multi_label`) the sigmoid.
    """
    loader = DataLoader(dataset, batch_size, collate_fn=collate_fn, num_workers=workers)
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    was_training, parts = net.training, []
    net.eval()
    try:
        with torch.inference_mode():
            for batch in loader:
                logits, _ = logits_of(net, to_device(batch, device))
                logits = logits.float()
                made = logits.sigmoid() if multi_label else logits.softmax(dim=-1)
                parts.append(made.cpu().numpy())
    finally:
        net.train(was_training)
    return np.concatenate(parts)


def logits_of(net: nn.Module, batch: Any) -> tuple[torch.Tensor, Any]:
    """The net's logits (n, K) of a batch, and what the batch has in the place of labels."""
    inputs = split_batch(batch)
    if isinstance(inputs, Mapping):
        made = net(**inputs)
        wanted = next((batch[k] for k in LABEL_KEYS if k in batch), None)
    else:
        made = net(*inputs)
        wanted = batch[-1] if isinstance(batch, tuple | list) else None
    return getattr(made, "logits", made), wanted


def to_device(batch: Any, device: Any) -> Any:
    """A batch with all of its tensors on a device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {k: to_device(v, device) for k, v in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(to_device(v, device) for v in batch)
    return batch
