"""Losses for soft targets, (N, K) rows that sum to 1; class indices (N,) are taken as well."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REDUCTIONS = ("mean", "sum", "none")


class SoftCrossEntropy(nn.Module):
    """Cross-entropy with soft targets or class indices: -sum_k w_k t_k log softmax(x)_k.

    Args:
        weight: (K,) weights of the classes, or None.
        reduction: "mean" (the weighted mean, as PyTorch takes it for class indices), "sum" or
            "none".

    Call it with logits (N, K) and targets float (N, K) or int (N,). A one-hot target gives what
    its class index gives. Works as a Learner's `loss_func`.

    >>> loss = SoftCrossEntropy()
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> loss(logits, torch.tensor([0])) == loss(logits, torch.tensor([[1.0, 0.0]]))
    tensor(True)
    """

    weight: Tensor | None
    y_int = False  # MixUp and CutMix are to mix the targets themselves

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__()
        _check_reduction(reduction)
        self.register_buffer("weight", None if weight is None else torch.as_tensor(weight).float())
        self.reduction = reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        target = as_distribution(target, pred.shape[-1])
        # A Learner moves its net, not its loss.
        weighted = target if self.weight is None else target * self.weight.to(pred.device)
        losses = -(weighted * F.log_softmax(plain(pred).float(), dim=-1)).sum(-1)
        if self.reduction == "mean" and self.weight is not None:
            return losses.sum() / weighted.sum()
        return reduce(losses, self.reduction)

    def activation(self, pred: Tensor) -> Tensor:
        """Logits to probabilities, as fastai's `get_preds` asks for them."""
        return F.softmax(pred, dim=-1)

    def decodes(self, pred: Tensor) -> Tensor:
        """Probabilities or logits to class indices."""
        return pred.argmax(dim=-1)


class ForwardCrossEntropy(SoftCrossEntropy):
    """Cross-entropy through a noise model: -sum_j t_j log sum_k softmax(x)_k T[k, j].

    Forward correction (Patrini et al., "Making deep neural networks robust to label noise",
    CVPR 2017, theorem 2): the net predicts the truth, T says which label that truth gets.

    Args:
        transition: (K, K) matrix T[truth, given], rows sum to 1.
        reduction: "mean", "sum" or "none".

    >>> import numpy as np
    >>> same = ForwardCrossEntropy(np.eye(2))
    >>> logits, target = torch.tensor([[2.0, 0.0]]), torch.tensor([1])
    >>> torch.allclose(same(logits, target), SoftCrossEntropy()(logits, target))
    True
    """

    def __init__(self, transition: Any, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.transition: Tensor
        self.register_buffer("transition", torch.as_tensor(transition).float())

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        target = as_distribution(target, pred.shape[-1])
        # before `fit`, fastai has not moved the loss to the net's device
        given = F.softmax(plain(pred).float(), dim=-1) @ self.transition.to(pred.device)
        losses = -(target * given.clamp_min(1e-8).log()).sum(-1)
        return reduce(losses, self.reduction)


class ExpectedLoss(nn.Module):
    """Any loss over class indices, for soft targets: its mean over the target's classes.

    What label smoothing, focal and other losses of fastai mean for a label that is in doubt.
    The wrapped loss is computed once a class, so prefer `SoftCrossEntropy` where K is large.

    Args:
        loss_func: takes logits (N, K) and class indices (N,), and has a `reduction`.
    """

    y_int = False

    def __init__(self, loss_func: Any) -> None:
        super().__init__()
        self.loss_func, self.reduction = loss_func, loss_func.reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        n, k = pred.shape
        target = as_distribution(target, k)
        classes = torch.arange(k, device=pred.device).repeat(n)
        reduction, self.loss_func.reduction = self.loss_func.reduction, "none"
        try:
            losses = self.loss_func(plain(pred).repeat_interleave(k, 0), classes)
        except RuntimeError as error:  # a loss that ignores its `reduction`
            raise TypeError(f"{self.loss_func} gives no loss an item: {error}") from error
        finally:
            self.loss_func.reduction = reduction
        return reduce((target * plain(losses).view(n, k)).sum(-1), self.reduction)


def as_soft_loss(loss_func: Any) -> Any:
    """The loss over soft targets that `loss_func` over class indices stands for.

    None where that is not known, as for a function of one's own: it then has to take soft
    targets by itself.
    """
    if isinstance(loss_func, SoftCrossEntropy | ExpectedLoss):
        return loss_func
    inner = getattr(loss_func, "func", loss_func)  # fastai's flattening wrapper holds PyTorch's
    if isinstance(inner, nn.CrossEntropyLoss) and not inner.label_smoothing:
        return SoftCrossEntropy(weight=inner.weight, reduction=inner.reduction)
    if isinstance(inner, nn.CrossEntropyLoss) or getattr(loss_func, "y_int", False):
        return ExpectedLoss(loss_func)
    return None


def as_distribution(target: Tensor, n_classes: int) -> Tensor:
    """Targets as float (N, K): soft ones as they are, class indices one-hot.

    >>> as_distribution(torch.tensor([1]), 2)
    tensor([[0., 1.]])
    """
    target = plain(target)
    if target.is_floating_point():
        return target
    return F.one_hot(target.long(), n_classes).float()


def plain(tensor: Tensor) -> Tensor:
    """The tensor without fastai's subclass, whose dispatch costs time in every operation."""
    return tensor.as_subclass(Tensor) if type(tensor) is not Tensor else tensor


def reduce(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def _check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it is one of {', '.join(REDUCTIONS)}")
