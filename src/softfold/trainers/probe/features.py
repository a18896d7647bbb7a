"""What the probe looks at: numbers as they are, and whether a backbone's stages help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from softfold.data.table import LabelTable
from softfold.errors import InputError, count_of
from softfold.trainers.probe.fold_solver import FoldSolver
from softfold.trainers.probe.softmax_regression import Design

INNER_FOLDS = 5
"""Inner folds that choose the strength of one model."""


_LARGE = 5000
"""With so many items, fewer inner folds choose the strength as well, in half the time."""

_LARGE_FOLDS = 3
"""Inner folds of large data."""


_STAGE_ITEMS = 4000
"""Of how many items it is decided whether stages are used."""


_STAGE_AXES, _STAGE_MARGIN = 384, 4e-3
"""So many principal axes decide it where the losses are farther apart than that, in nats: few axes
move their difference by less than a quarter of it. Else all axes decide."""


def stages_help(
    pooled: np.ndarray, stages: np.ndarray, table: LabelTable, device: str | None = None
) -> bool:
    """Whether the stages make held-out given labels likelier, on some thousand items drawn.

    pooled (N, D), stages (N, E): of the items of `table`. Nothing but its given labels is used.
    device: torch device that solves it; the one that `setup` chose where None.
    """
    if not stages.shape[1]:
        return False
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(table))[:_STAGE_ITEMS])
    given = np.asarray(table.given)[rows]
    targets = np.eye(len(table.vocab), dtype=np.float32)[given]
    part = inner_folds(given, None if table.group is None else table.group[rows], 0, _LARGE_FOLDS)
    folds = [(np.flatnonzero(part != f), np.flatnonzero(part == f)) for f in range(_LARGE_FOLDS)]
    parts = pooled[rows], stages[rows]

    def gain(axes: int | None) -> float:
        alone, both = (Design.of(*parts[:n], axes=axes) for n in (1, 2))
        losses = [FoldSolver(d.on(device), targets, folds).plain().loss for d in (alone, both)]
        return losses[0] - losses[1]

    quick = gain(_STAGE_AXES)
    return bool((quick if abs(quick) > _STAGE_MARGIN else gain(None)) > 0)


def numbers(table: LabelTable, columns: Sequence[str] | None = None) -> np.ndarray:
    """The numbers of a feature matrix or a frame of numeric columns, (N, D), all finite."""
    data = table.data
    if isinstance(data, pd.DataFrame):
        data = data if columns is None else data[list(columns)]
        words = [c for c in data.columns if not pd.api.types.is_numeric_dtype(data[c])]
        if words:
            raise InputError(
                f"{table.name}: the probe takes numbers, and {count_of(len(words), 'column')} "
                f"of {data.shape[1]} hold{'s' if len(words) == 1 else ''} none; the first is "
                f"{words[0]!r}: use --trainer estimator"
            )
        data = data.to_numpy(dtype=np.float32, na_value=np.nan)
    if not isinstance(data, np.ndarray) or data.ndim != 2:
        raise InputError(f"{table.name}: the probe takes images, a feature matrix or numbers")
    for start in range(0, len(data), 65536):
        wrong = ~np.isfinite(data[start : start + 65536]).all(axis=1)
        if wrong.any():
            first = table.item[start + int(np.argmax(wrong))]
            raise InputError(
                f"{table.name}: features are missing or infinite; the first such item is {first!r}"
            )
    return data


def inner_folds(
    labels: np.ndarray, group: np.ndarray | None, seed: int, n_folds: int | None = None
) -> np.ndarray:
    """Inner fold of each row, by label; rows of one group stay together."""
    rng = np.random.default_rng(seed)
    n_folds = n_folds or (INNER_FOLDS if len(labels) < _LARGE else _LARGE_FOLDS)
    if group is not None:
        names, index = np.unique(group.astype(str), return_inverse=True)
        return (rng.permutation(len(names)) % n_folds)[index]
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    part = np.empty(len(labels), np.int64)
    part[order] = np.arange(len(labels)) % n_folds
    return part
