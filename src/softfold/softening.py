"""Soft labels: given labels and out-of-fold predictions become targets to train on.

A strategy is one function in `STRATEGIES`: a block of given labels (n,) and one of
probabilities (n, K) in, targets (n, K) out. `docs/method.md` has the equations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.arrays import check_both, check_probabilities, one_hot, row_blocks
from softfold.errors import InputError, count_of
from softfold.files import pack_keys, read_tensors, unpack_keys, write_tensors
from softfold.noise.estimation import estimate_noise
from softfold.noise.model import NoiseModel, as_noise_model, posterior

GATE_THRESHOLD = 0.8
TRUE, PREDICTED = "y_true_", "y_pred_"


@dataclass(frozen=True)
class SoftLabels:
    """Soft labels with the keys of their items and the names of their columns.

    item:     (N,) str, unique keys
    targets:  float32 (N, K), rows sum to 1
    vocab:    K class names, in column order
    strategy: what made them: blend, gate, posterior, or given
    settings: its settings, as JSON keeps them
    """

    item: np.ndarray
    targets: np.ndarray
    vocab: tuple[str, ...]
    strategy: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        item = np.asarray(self.item, dtype=object)
        object.__setattr__(self, "item", item)
        object.__setattr__(self, "vocab", tuple(str(name) for name in self.vocab))
        targets = check_probabilities(self.targets, "soft labels")
        if targets.dtype != np.float32:
            targets = targets.astype(np.float32)
        object.__setattr__(self, "targets", targets)
        if targets.shape != (len(item), len(self.vocab)):
            raise InputError(
                f"soft labels: {count_of(len(item), 'item')} and "
                f"{count_of(len(self.vocab), 'class', 'classes')}, but targets of shape "
                f"{targets.shape}"
            )
        _refuse_repeats(pd.Index(item), "items")
        _refuse_repeats(pd.Index(self.vocab, dtype=object), "classes")

    def __len__(self) -> int:
        return len(self.item)

    def __repr__(self) -> str:
        """One line; the targets themselves are in `targets`."""
        n, k = self.targets.shape
        return f"SoftLabels({n:,} items, {k} classes, strategy {self.strategy!r})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.targets, dtype=dtype, copy=copy)

    def aligned(self, item: Sequence[Any], vocab: Sequence[Any]) -> np.ndarray:
        """Targets float32 (n, K) for these items, columns in the order of `vocab`.

        Rows are matched by key and columns by class name, never by position. Raises
        InputError naming the first item without a soft label, or the first class that differs.
        """
        names = [str(name) for name in vocab]
        for name in names:
            if name not in self.vocab:
                raise InputError(
                    f"class {name!r} has no column in the soft labels; they have "
                    f"{_some(self.vocab)}"
                )
        for name in self.vocab:
            if name not in names:
                raise InputError(
                    f"class {name!r} of the soft labels is not among the {len(names)} classes "
                    f"asked for: {_some(names)}"
                )
        _refuse_repeats(pd.Index(names, dtype=object), "classes")
        keys = np.asarray([str(key) for key in item], dtype=object)
        rows = pd.Index(self.item.astype(str).astype(object)).get_indexer(keys)
        missing = rows < 0
        if missing.any():
            raise InputError(
                f"{missing.sum():,} of {count_of(len(keys), 'item')} "
                f"{'has' if missing.sum() == 1 else 'have'} no soft label; the first is "
                f"{keys[int(np.argmax(missing))]!r}"
            )
        columns = [self.vocab.index(name) for name in names]
        if columns == list(range(len(columns))):
            return self.targets[rows]
        return self.targets[rows][:, columns]

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: targets, keys as UTF-8, and the rest as JSON."""
        write_tensors(
            path,
            {"targets": self.targets, "item": pack_keys(self.item)},
            metadata={
                "vocab": json.dumps(self.vocab),
                "strategy": self.strategy,
                "settings": json.dumps(self.settings),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> SoftLabels:
        """Read what `save` wrote."""
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file of soft labels")
        kept, about = read_tensors(path)
        if not {"targets", "item"} <= set(kept):
            raise InputError(
                f"{path}: not a file of soft labels with keys, as SoftLabels.save writes it"
            )
        return cls(
            item=unpack_keys(kept["item"]),
            targets=kept["targets"],
            vocab=tuple(json.loads(about["vocab"])),
            strategy=about["strategy"],
            settings=json.loads(about["settings"]),
        )


@dataclass(frozen=True)
class _Settings:
    given_weight: float
    hard: bool
    threshold: float
    noise: NoiseModel | None


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


def _given(labels: np.ndarray, p: np.ndarray, use: _Settings) -> np.ndarray:
    return one_hot(labels, p.shape[1])


STRATEGIES: dict[str, Callable[[np.ndarray, np.ndarray, _Settings], np.ndarray]] = {
    "blend": _blend,
    "gate": _gate,
    "posterior": _posterior,
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
    out: np.ndarray | None = None,
) -> Any:
    """Soft labels from given labels and out-of-fold predictions.

    labels:        int (N,), each in 0..K-1; or a LabelTable (its training part is used); or the
                   data frame with one-hot columns `y_true_*` and predictions `y_pred_*`, its
                   index the items' keys (then there are no `probabilities`)
    probabilities: float (N, K); or an OutOfFold, matched to the table by key and class name
    strategy:      `auto`: the posterior, or the given labels where nothing shows them wrong;
                   `blend`: given_weight * given + (1 - given_weight) * prediction;
                   `gate`: blend only where the prediction's largest probability is at least
                   `threshold` (0.8) or that of the given label at most 1 - `threshold`;
                   `posterior`: q(k) proportional to p(k | x) T[k, given], T the noise model;
                   `given`: the given labels as they are
    hard:          blend with the predicted class instead of its probabilities
    noise:         a NoiseModel or transition matrix (K, K), rows truth, columns given; by
                   itself estimated from these labels and probabilities
    out:           float32 (N, K) to write to, such as a memory map; may be `probabilities`

    Returns float32 (N, K) for arrays, else SoftLabels. Works in blocks of rows, also on memory
    maps. Raises InputError with one line on what is wrong.

    >>> import numpy as np
    >>> print(soften(np.array([0]), np.array([[0.25, 0.75]]), "blend", given_weight=0.5))
    [[0.625 0.375]]
    >>> T = np.array([[0.9, 0.1], [0.3, 0.7]])
    >>> print(soften(np.array([0]), np.array([[0.2, 0.8]]), "posterior", noise=T).round(2))
    [[0.43 0.57]]
    """
    use_strategy = _check_settings(strategy, given_weight, threshold)
    item, vocab = None, None
    if isinstance(labels, pd.DataFrame):
        if probabilities is not None:
            raise InputError("soften: the data frame holds the predictions; give it alone")
        labels, probabilities, item, vocab = _from_frame(labels)
    elif hasattr(labels, "given") and hasattr(labels, "vocab"):
        labels, probabilities, item, vocab = _from_table(labels, probabilities)
    elif probabilities is None:
        raise InputError("soften: probabilities are missing (N x K out-of-fold predictions)")
    labels, probabilities = check_both(labels, probabilities)
    if use_strategy in ("auto", "posterior") and not isinstance(noise, NoiseModel):
        if noise is None:
            noise = estimate_noise(labels, probabilities)
        else:
            noise = as_noise_model(noise, probabilities.shape[1])
    if use_strategy == "auto":
        use_strategy = "given" if noise.clean else "posterior"
    use = _Settings(
        given_weight=float(given_weight),
        hard=bool(hard),
        threshold=GATE_THRESHOLD if threshold is None else float(threshold),
        noise=noise if use_strategy == "posterior" else None,
    )
    targets = _output(out, probabilities.shape)
    make = STRATEGIES[use_strategy]
    for rows in row_blocks(*probabilities.shape):
        block = np.asarray(probabilities[rows], dtype=np.float32)
        targets[rows] = make(labels[rows], block, use)
    if item is None:
        return targets
    return SoftLabels(item, targets, vocab, use_strategy, _described(use_strategy, use, strategy))


def _described(strategy: str, use: _Settings, asked: str) -> dict[str, Any]:
    """The settings that shaped the soft labels, as JSON keeps them."""
    settings: dict[str, Any] = {"asked": asked}
    if strategy in ("blend", "gate"):
        settings |= {"given_weight": use.given_weight, "hard": use.hard}
    if strategy == "gate":
        settings["threshold"] = use.threshold
    if use.noise is not None:
        settings |= {"noise_rate": use.noise.rate, "temperature": use.noise.temperature}
    return settings


def _check_settings(strategy: str, given_weight: float, threshold: float | None) -> str:
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
    return strategy


def _output(out: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32:
        raise InputError(f"out: expected float32 {shape}, got {out.dtype} {out.shape}")
    return out


def _normalised(p: np.ndarray) -> np.ndarray:
    return p / p.sum(axis=1, keepdims=True)


def _from_frame(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Labels, predictions, keys and classes out of columns y_true_* and y_pred_*."""
    columns = [str(name) for name in frame.columns]
    true = [name[len(TRUE) :] for name in columns if name.startswith(TRUE)]
    predicted = [name[len(PREDICTED) :] for name in columns if name.startswith(PREDICTED)]
    if not true or not predicted:
        raise InputError(
            f"data frame: no columns {TRUE}* and {PREDICTED}*; it has {_some(columns)}"
        )
    _refuse_repeats(pd.Index(true, dtype=object), f"columns {TRUE}*")
    _refuse_repeats(pd.Index(predicted, dtype=object), f"columns {PREDICTED}*")
    odd = sorted(set(true) ^ set(predicted))
    if odd:
        has, lacks = (TRUE, PREDICTED) if odd[0] in true else (PREDICTED, TRUE)
        raise InputError(
            f"data frame: class {odd[0]!r} has a column {has}{odd[0]} and none named "
            f"{lacks}{odd[0]}"
        )
    item = np.array([str(key) for key in frame.index], dtype=object)
    _refuse_repeats(pd.Index(item), "items in the data frame's index")
    vocab = tuple(sorted(true))
    frame = frame.set_axis(columns, axis=1)
    try:
        given = frame[[TRUE + name for name in vocab]].to_numpy(np.float32)
        probabilities = frame[[PREDICTED + name for name in vocab]].to_numpy(np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"data frame: {TRUE}* and {PREDICTED}* must hold numbers: {error}"
        ) from None
    wrong = ~(((given == 0) | (given == 1)).all(axis=1) & (given.sum(axis=1) == 1))
    if wrong.any():
        raise InputError(
            f"data frame: in {wrong.sum():,} of {count_of(len(frame), 'row')} {TRUE}* is not "
            f"one-hot; the first is {item[int(np.argmax(wrong))]!r}"
        )
    return given.argmax(axis=1), probabilities, item, vocab


def _from_table(table: Any, oof: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """A label table's training part beside the out-of-fold predictions of the same items."""
    if not hasattr(oof, "probabilities"):
        raise InputError("soften: a label table needs an OutOfFold beside it, matched by key")
    train = table.train
    if set(map(str, oof.vocab)) != set(map(str, train.vocab)):
        odd = sorted(set(map(str, oof.vocab)) ^ set(map(str, train.vocab)))
        raise InputError(
            f"classes of the label table and of the out-of-fold predictions differ; the first "
            f"is {odd[0]!r}"
        )
    rows = pd.Index(np.asarray(oof.item, dtype=object)).get_indexer(train.item)
    missing = rows < 0
    if missing.any():
        raise InputError(
            f"{missing.sum():,} of {count_of(len(train), 'training item')} without an "
            f"out-of-fold prediction; the first is {train.item[int(np.argmax(missing))]!r}"
        )
    probabilities = oof.probabilities
    if not np.array_equal(rows, np.arange(len(probabilities))):
        probabilities = probabilities[rows]
    names = list(map(str, oof.vocab))
    columns = [names.index(str(name)) for name in train.vocab]
    if columns != list(range(len(columns))):
        probabilities = probabilities[:, columns]
    return train.given, probabilities, train.item, tuple(train.vocab)


def _refuse_repeats(index: pd.Index, what: str) -> None:
    repeated = index.duplicated()
    if repeated.any():
        raise InputError(
            f"{what}: {int(repeated.sum()):,} of {len(index):,} repeat an earlier one; the "
            f"first is {index[int(np.argmax(repeated))]!r}"
        )


def _some(names: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(map(str, names[:limit]))
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in all)"
