"""fastai's metrics for soft targets: the target's most likely class counts as the label."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

import numpy as np
from fastai import metrics as fastai_metrics
from fastai.learner import AvgMetric, Metric, mk_metric
from torch import Tensor

from softfold.evaluation import binary_auc
from softfold.fastai.loss import as_distribution, plain


def hard_targets(target: Tensor) -> Tensor:
    """Class indices (N,) of soft targets (N, K); class indices stay as they are.

    >>> import torch
    >>> hard_targets(torch.tensor([[0.2, 0.8]])), hard_targets(torch.tensor([1]))
    (tensor([1]), tensor([1]))
    """
    return target.argmax(dim=-1) if target.is_floating_point() else target


def soft_metric(metric: Any) -> Any:
    """A fastai metric, or a function of (predictions, targets), that takes soft targets too.

    Args:
        metric: a function such as `accuracy`, a `Metric` such as `F1Score()`, or its class.

    >>> import torch
    >>> from fastai.metrics import error_rate
    >>> float(soft_metric(error_rate)(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.1, 0.9]])))
    1.0
    """
    if isinstance(metric, Metric | type):
        return SoftMetric(mk_metric(metric))

    @functools.wraps(metric)
    def on_hard_targets(pred: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Any:
        return metric(pred, hard_targets(target), *args, **kwargs)

    return on_hard_targets


class SoftMetric(Metric):
    """A fastai `Metric` that sees the most likely class of soft targets."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def reset(self) -> None:
        self.metric.reset()

    def accumulate(self, learn: Any) -> None:
        self.metric.accumulate(_HardTargets(learn))

    def __call__(self, preds: Tensor, targs: Tensor) -> Any:
        return self.metric(preds, hard_targets(targs))

    @property
    def value(self) -> Any:
        return self.metric.value

    @property
    def name(self) -> str:
        return self.metric.name


class EitherTargets:
    """A metric function that is given the form of targets that it takes.

    Validation targets are class indices. A function of one-hot targets, as the blog post's
    accuracy is, fails on them and is given one-hot ones instead; what fails on both raises what it
    raised first. Pickled, it is the given function.
    """

    def __init__(self, given: Any) -> None:
        self.given = given

    def __call__(self, pred: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Any:
        indices = hard_targets(target) if target.ndim == 2 else target
        try:
            return self.given(pred, indices, *args, **kwargs)
        except Exception:
            if pred.ndim != 2 or len(pred) != len(target):
                raise
            try:
                return self.given(pred, as_distribution(target, pred.shape[-1]), *args, **kwargs)
            except Exception:
                pass
            raise

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("__") and name != "__name__") or "given" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.given, name)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return operator.getitem, ((self.given,), 0)


class RoundedTargets(EitherTargets):
    """A metric function of several labels an item, which sees soft targets as 0 and 1."""

    def __call__(self, pred: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.given(pred, (target >= 0.5).to(target.dtype), *args, **kwargs)


def take_either(metrics: Iterable[Any], multi_label: bool = False) -> None:
    """Let metrics that are functions take the targets of training and of validation."""
    for metric in metrics:
        if isinstance(metric, AvgMetric) and not isinstance(metric.func, EitherTargets):
            metric.func = (RoundedTargets if multi_label else EitherTargets)(metric.func)


def as_they_were(metrics: Iterable[Any]) -> None:
    """Undo `take_either`."""
    for metric in metrics:
        if isinstance(metric, AvgMetric) and isinstance(metric.func, EitherTargets):
            metric.func = metric.func.given


class _HardTargets:
    """A Learner as a metric sees it, with class indices for targets."""

    def __init__(self, learn: Any) -> None:
        self.learn = learn
        self.yb = tuple(hard_targets(y) for y in learn.yb)
        self.y = self.yb[0] if len(self.yb) == 1 else self.yb

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learn, name)


accuracy: Callable[..., Tensor] = soft_metric(fastai_metrics.accuracy)
error_rate: Callable[..., Tensor] = soft_metric(fastai_metrics.error_rate)
top_k_accuracy: Callable[..., Tensor] = soft_metric(fastai_metrics.top_k_accuracy)


def roc_auc_score(preds: Tensor, targs: Tensor) -> float:
    """Area under the ROC curve, one class against the rest, the mean over the classes.

    preds: logits or probabilities (N, K), K >= 2; only their order within a class counts, so
        give probabilities where K > 2. With two classes column 1 is what is ranked.
    targs: class indices (N,), or soft targets (N, K), of which the most likely class counts.

    Classes that are absent from the targets, or the only ones there, have no curve and are left
    out; without any curve the score is NaN.

    >>> import torch
    >>> roc_auc_score(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 1]))
    1.0
    """
    labels = plain(hard_targets(targs)).cpu().numpy()
    scores = plain(preds).detach().float().cpu().numpy()
    columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    areas = [
        binary_auc(scores[:, k], labels == k)
        for k in columns
        if 0 < (labels == k).sum() < len(labels)
    ]
    return float(np.mean(areas)) if areas else float("nan")


class RocAuc(fastai_metrics.AccumMetric):
    """fastai's `RocAuc`, for soft targets, two classes and classes that are absent as well."""

    def __init__(self) -> None:
        super().__init__(
            roc_auc_score,
            dim_argmax=-1,
            activation=fastai_metrics.ActivationType.Softmax,
            flatten=False,
        )

    def accum_values(self, preds: Tensor, targs: Tensor, learn: Any = None) -> None:
        super().accum_values(preds, hard_targets(targs), learn)
