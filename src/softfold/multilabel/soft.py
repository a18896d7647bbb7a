"""Soft labels of classes that do not exclude each other, made of given labels and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from softfold import markup
from softfold.align import HasGiven
from softfold.align.multilabel import align_multi_label
from softfold.arrays import check_independent
from softfold.multilabel.noise import MultiLabelNoise, models_of, numbered, problems
from softfold.soft_labels import SoftLabels
from softfold.softening import check_settings, soften_aligned

_Made = tuple[str, dict[str, Any]]
"""What made the soft labels of a class: its strategy and settings."""


@dataclass(frozen=True)
class MultiSoftLabels(SoftLabels):
    """Soft labels (N, K), each how probably the item has the class; rows need not sum to 1.

    All is as in `SoftLabels`, but for `given`: keys (M,) and given labels bool (M, K).
    """

    multi_label: ClassVar[bool] = True
    check: ClassVar[Callable[..., np.ndarray]] = staticmethod(check_independent)

    __repr__ = SoftLabels.__repr__

    def _repr_html_(self) -> str:
        """The first rows, and how many labels are in doubt."""
        rows = [
            [key, markup.most_likely(target, self.vocab)]
            for key, target in zip(self.item[:5], self.targets)
        ]
        doubt = float(((self.targets > 0.1) & (self.targets < 0.9)).mean()) if len(self) else 0.0
        about = f"soft labels: {self._about}; {doubt:.0%} are between 10% and 90%"
        return markup.table(about, ["item", "soft labels"], rows)


def soften(
    labels: Any,
    probabilities: Any = None,
    strategy: str = "auto",
    *,
    given_weight: float = 0.7,
    hard: bool = False,
    threshold: float | None = None,
    noise: MultiLabelNoise | None = None,
    vocab: Iterable[Any] | None = None,
) -> Any:
    """Soft labels for a binary cross-entropy, class by class: `softfold.soften` of each.

    Args:
        labels: 0 and 1 (N, K), a data frame of them, or a MultiLabelTable (its training part).
        probabilities: out-of-fold predictions (N, K); or an OutOfFold or a data frame
            (`softfold.align.multilabel` has the rules).
        strategy, given_weight, hard, threshold: as in `softfold.soften`. With `auto` a class of
            which predictions tell nothing keeps its given labels.
        noise: what `softfold.multilabel.estimate_noise` gave, matched by the names of classes;
            estimated by itself.
        vocab: K class names, in the order of an array's columns.

    Returns:
        MultiSoftLabels where the labels came with keys (a table, a data frame), else float32
        (N, K), each in 0..1.

    Raises:
        InputError: labels and probabilities that do not belong together, unknown settings.

    >>> soften(np.array([[1, 0]]), np.array([[0.5, 0.5]]), "blend", given_weight=0.5)
    array([[0.75, 0.25]], dtype=float32)
    """
    check_settings(strategy, given_weight, threshold)
    both = align_multi_label(labels, probabilities, vocab)
    how: dict[str, Any] = {"given_weight": given_weight, "hard": hard, "threshold": threshold}
    needed = strategy in ("auto", "posterior")
    models = models_of(noise, both) if needed else [None] * both.labels.shape[1]
    targets = np.empty(both.labels.shape, np.float32)
    classes: list[_Made] = []
    asked = zip(problems(both.labels, both.probabilities), models, strict=True)
    for k, ((y, p), model) in enumerate(asked):
        one = soften_aligned(y, p, strategy, noise=model, **how)
        targets[:, k] = one.targets[:, 1]
        classes.append((one.strategy, one.settings))
    if both.item is None:
        return targets
    names = numbered(both.vocab, both.labels.shape[1])
    whole = (labels.item, labels.given) if isinstance(labels, HasGiven) else None
    given = whole or (both.item, both.labels.astype(bool))
    made, settings = _described(classes, names)
    return MultiSoftLabels(both.item, targets, names, made, settings, given)


def _described(classes: Sequence[_Made], names: tuple[str, ...]) -> _Made:
    """The strategy and settings of K classes as one: lists (K,) of what each class has of its own.

    Where `auto` kept the given labels of some classes alone, `as_given` has their names.
    """
    settings = dict(classes[0][1])
    for own in ("noise_rate", "temperature"):
        values = [each.get(own) for _, each in classes]
        settings.pop(own, None)
        if any(value is not None for value in values):
            settings[f"{own}s"] = [None if v is None or np.isnan(v) else v for v in values]
    used = {strategy for strategy, _ in classes}
    if len(used) == 1:
        return used.pop(), settings
    settings["as_given"] = [n for n, (strategy, _) in zip(names, classes) if strategy == "given"]
    return "posterior", settings
