"""Soft labels: given labels and out-of-fold predictions become targets to train on.

A strategy is one function in `STRATEGIES`: a block of given labels (n,) and one of
probabilities (n, K) in, targets (n, K) out. `docs/method.md` has the equations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from softfold.align import HasGiven, align_predictions, align_second, doubt_rows
from softfold.arrays import each_block, one_hot
from softfold.errors import InputError
from softfold.large_arrays import scratch
from softfold.noise.estimation import check_second, estimate_checked
from softfold.noise.explanation import log_floored
from softfold.noise.model import NoiseModel, matched_noise, posterior
from softfold.noise.sample import Sample
from softfold.soft_labels import SoftLabels

GATE_THRESHOLD = 0.8

PEOPLE_FLATTER, PEOPLE_ITEMS = 2.0, 10_000
"""On CIFAR-10H and CIFAR-10N's votes, what several people said was fitted by predictions about
twice as flat as one person's labels are; items that the temperature is fitted to."""


@dataclass(frozen=True)
class _Settings:
    given_weight: float
    hard: bool
    threshold: float
    noise: NoiseModel | None = None
    temperature: float = 1.0
    shift: np.ndarray | None = None


def _blend(labels: np.ndarray, p: np.ndarray, use: _Settings) -> np.ndarray:
    """given_weight * one-hot(given) + (1 - given_weight) * prediction."""
    predicted = one_hot(p.argmax(axis=1), p.shape[1]) if use.hard else _normalised(p)
    predicted *= 1 - use.given_weight
    predicted[np.arange(len(labels)), labels] += use.given_weight
    return predicted


def _gate(labels: np.ndarray, p: np.ndarray, use: _Settings) -> np.ndarray:
    """Blend where the prediction is sure, or rules the given label out; else keep that label."""
    rows = np.arange(len(labels))
    sure = p.max(axis=1) >= use.threshold
    disagrees = p[rows, labels] <= 1 - use.threshold
    keep = ~(sure | disagrees)
    targets = _blend(labels, p, use)
    targets[keep] = one_hot(labels[keep], p.shape[1])
    return targets


def _posterior(labels: np.ndarray, p: np.ndarray, use: _Settings) -> np.ndarray:
    """q(k) proportional to p(k | x) T[k, given]."""
    assert use.noise is not None
    return posterior(labels, p, use.noise)


def _people(labels: np.ndarray, p: np.ndarray, use: _Settings) -> np.ndarray:
    """Blend with predictions as unsure as several people together are of an item."""
    z = log_floored(p, use.shift) / np.float32(use.temperature)
    z -= z.max(axis=1, keepdims=True)
    return _blend(labels, np.exp(z, out=z), use)


def _given(labels: np.ndarray, p: np.ndarray, use: _Settings) -> np.ndarray:
    return one_hot(labels, p.shape[1])


STRATEGIES: dict[str, Callable[[np.ndarray, np.ndarray, _Settings], np.ndarray]] = {
    "blend": _blend,
    "gate": _gate,
    "posterior": _posterior,
    "people": _people,
    "given": _given,
}


def soften(
    labels: Any,
    probabilities: Any = None,
    strategy: str = "auto",
    *,
    given_weight: float = 0.7,
    hard: bool = False,
    threshold: float | None = None,
    noise: NoiseModel | np.ndarray | None = None,
    second: Any = None,
    out: np.ndarray | None = None,
    vocab: Iterable[Any] | None = None,
) -> Any:
    """Soft labels from given labels and out-of-fold predictions.

    Args:
        labels: int (N,), each in 0..K-1, or names (N,); or a LabelTable (its training part is
            used); or the data frame with one-hot columns `y_true_*` and predictions `y_pred_*`,
            its index the items' keys (then there are no `probabilities`).
        probabilities: float (N, K); or an OutOfFold or a data frame, matched to a table by key and
            class name (`softfold.align.align_predictions` has the rules).
        strategy: one of

            - `auto`: the posterior, or the given labels where predictions tell nothing;
            - `blend`: given_weight * given + (1 - given_weight) * prediction;
            - `gate`: blend only where the prediction's largest probability is at least
              `threshold` (0.8) or that of the given label at most 1 - `threshold`;
            - `posterior`: what the item is: the mean of what the explanations of a noise
              model say, each q(k) proportional to p(k given x) T[k, given];
            - `people`: what people would say of it: blend with predictions that are
              `PEOPLE_FLATTER` times as flat as fits one person's labels;
            - `given`: the given labels as they are.
        given_weight: what `blend` and `gate` leave of the given label, 0 to 1.
        hard: blend with the predicted class instead of its probabilities.
        threshold: how sure a prediction must be for `gate`.
        noise: a NoiseModel, its classes matched by name where it knows them, or a transition
            matrix (K, K), rows truth, columns given; by itself estimated from these labels and
            probabilities.
        second: another model's out-of-fold predictions, in any form that `probabilities` have: a
            second witness where the noise is estimated (`softfold.estimate_noise`).
        out: float32 (N, K) to write to, such as a memory map; may be `probabilities`.
        vocab: K class names, in the order of the columns of an array.

    Returns:
        SoftLabels where the labels came with keys (a table, a data frame), else float32 (N, K)
        with the columns in the order of `vocab`, else of the predictions' columns where those have
        names (a data frame, an OutOfFold), else of the sorted names. Works in blocks of rows, also
        on memory maps.

    Raises:
        InputError: with one line on what is wrong.

    >>> import numpy as np
    >>> print(soften(np.array([0]), np.array([[0.25, 0.75]]), "blend", given_weight=0.5))
    [[0.625 0.375]]
    >>> T = np.array([[0.9, 0.1], [0.3, 0.7]])
    >>> print(soften(np.array([0]), np.array([[0.2, 0.8]]), "posterior", noise=T).round(2))
    [[0.43 0.57]]
    """
    check_settings(strategy, given_weight, threshold)
    _check_second(second, noise, strategy)
    both = align_predictions(labels, probabilities, vocab)
    if second is not None:
        second = align_second(labels, probabilities, second, vocab)
    whole = (labels.item, labels.given) if isinstance(labels, HasGiven) else None
    how: dict[str, Any] = {"given_weight": given_weight, "hard": hard, "threshold": threshold}
    if noise is not None:
        noise = matched_noise(noise, both.probabilities.shape[1], both.columns)
    made = soften_aligned(
        both.labels, both.probabilities, strategy, noise=noise, second=second, out=out, **how
    )
    if strategy == "auto" and made.strategy == "given":
        doubt_rows(len(both.labels), "so the soft labels are the given ones")
    if both.item is None or both.vocab is None:
        return made.targets
    given = whole or (both.item, both.labels)
    root = getattr(labels, "root", None)
    return SoftLabels(
        both.item, made.targets, both.vocab, made.strategy, made.settings, given, root
    )


class Softened(NamedTuple):
    """Targets float32 (N, K), the strategy that made them, and its settings as JSON keeps them."""

    targets: np.ndarray
    strategy: str
    settings: dict[str, Any]


def soften_aligned(
    labels: np.ndarray,
    probabilities: np.ndarray,
    strategy: str,
    *,
    given_weight: float,
    hard: bool,
    threshold: float | None,
    noise: NoiseModel | None = None,
    second: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> Softened:
    """`soften` of labels int (N,) and probabilities (N, K) that belong together; same arguments."""
    asked, model = strategy, None
    if strategy in ("auto", "posterior"):
        if noise is None:
            model = estimate_checked(labels, probabilities, second=second)
        else:
            model = noise
        if strategy == "auto":
            strategy = "given" if model.rate != model.rate else "posterior"
    use = _Settings(
        given_weight=float(given_weight),
        hard=bool(hard),
        threshold=GATE_THRESHOLD if threshold is None else float(threshold),
        noise=model if strategy == "posterior" else None,
    )
    if strategy == "people":
        use = _of_people(use, labels, probabilities)
    targets = _output(out, probabilities.shape)
    make = STRATEGIES[strategy]

    def work(rows: slice) -> None:
        block = np.asarray(probabilities[rows], dtype=np.float32)
        targets[rows] = make(labels[rows], block, use)

    each_block(work, *probabilities.shape)
    return Softened(targets, strategy, _described(strategy, use, asked))


def _of_people(use: _Settings, labels: np.ndarray, probabilities: np.ndarray) -> _Settings:
    """Predictions calibrated to one label an item are too sure of what many people would say."""
    rows = np.arange(0, len(labels), max(1, len(labels) // PEOPLE_ITEMS))
    sample = Sample.of(labels, probabilities, rows).evened()
    return replace(use, temperature=PEOPLE_FLATTER * sample.temperature, shift=sample.shift)


def _described(strategy: str, use: _Settings, asked: str) -> dict[str, Any]:
    """The settings that shaped the soft labels, as JSON keeps them."""
    settings: dict[str, Any] = {"asked": asked}
    if strategy in ("blend", "gate", "people"):
        settings |= {"given_weight": use.given_weight, "hard": use.hard}
    if strategy == "gate":
        settings["threshold"] = use.threshold
    if use.noise is not None:
        settings |= {"noise_rate": use.noise.rate, "temperature": use.noise.temperature}
    return settings


def check_settings(strategy: str, given_weight: float, threshold: float | None) -> None:
    """Raises InputError where settings of `soften` are unknown or do not go together."""
    if strategy != "auto" and strategy not in STRATEGIES:
        raise InputError(
            f"strategy {strategy!r} is unknown; there are auto, {', '.join(STRATEGIES)}"
        )
    if not 0 <= given_weight <= 1:
        raise InputError(f"given_weight is {given_weight}; it must be in 0..1")
    if threshold is not None and strategy != "gate":
        raise InputError(f"threshold belongs to strategy 'gate', not {strategy!r}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; it must be in 0..1")


def _check_second(second: Any, noise: Any, strategy: str) -> None:
    if second is None:
        return
    if strategy not in ("auto", "posterior"):
        raise InputError(f"second belongs to strategy 'posterior', not {strategy!r}")
    check_second(second, noise)


def _output(out: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    if out is None:
        return scratch(shape)
    if out.shape != shape or out.dtype != np.float32:
        raise InputError(f"out: expected float32 {shape}, got {out.dtype} {out.shape}")
    return out


def _normalised(p: np.ndarray) -> np.ndarray:
    return p / p.sum(axis=1, keepdims=True)
