"""Which classifier a table gets by default: the one that makes held-out given labels likeliest."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.folds import FoldPlan, plan_folds
from softfold.data.table import LabelTable, text_columns
from softfold.errors import InputError
from softfold.trainers.encoding import (
    estimator_data,
    gradient_boosting,
    logistic_regression,
    threads_for,
)

_ITEMS = 5000
"""Of how many items, drawn at random, the choice is made."""

_FOLDS = 3
_LEAST_PROBABILITY = 1e-6
"""What the given label of an item has at least, so that one item does not decide."""

_MOST_CLASSES = 100
"""Boosting grows a tree a class and round: with more classes it takes long, and much memory."""

_MOST_COLUMNS = 200
"""Wider tables are features that some network made, where boosting takes long for nothing."""

STRENGTHS = (0.01, 0.1, 1.0)
"""C of the logistic regressions; wrong labels want more shrinkage than scikit-learn's 1."""

TEXT_STRENGTHS = (0.3, 1.0, 3.0)
"""The same on TF-IDF, whose rows have unit length."""


@dataclass(frozen=True)
class Choice:
    """A classifier that was chosen.

    name: in words. make: gives an unfitted Pipeline for data like those it was chosen on.
    line: what was chosen, and beside what, for people.
    """

    name: str
    make: Callable[[Any], Any]
    line: str


def choose_classifier(table: LabelTable) -> Choice:
    """The classifier of a table of numbers, categories or texts, by its own given labels.

    Some thousand items are divided into three folds, exact copies and groups together, and each
    candidate is fitted without a fold and predicts it. The one with the highest mean of
    log p(given label) is taken. No truth and no hold-out is looked at, and nothing is random.

    Candidates are logistic regressions of three strengths on scaled columns (texts: on TF-IDF),
    and where no column is text gradient boosting for up to 100 classes and 200 columns.
    """
    table = table.train if table.valid.any() else table
    part = table
    if len(table) > _ITEMS:
        part = table.take(np.sort(np.random.default_rng(0).permutation(len(table))[:_ITEMS]))
    candidates = _candidates(estimator_data(table), table.n_classes, len(table))
    middle = list(candidates)[1]
    try:
        plan = plan_folds(part, _FOLDS, seed=0)
    except InputError:  # a class with fewer items than folds
        return Choice(
            middle,
            candidates[middle],
            f"classifier: {middle}; some class has too few items to choose by",
        )
    data = estimator_data(part)
    levels = {name: _level(make, data, part, plan) for name, make in candidates.items()}
    best = max(levels, key=lambda name: levels[name])
    rest = ", ".join(f"{name} {level:.3f}" for name, level in levels.items() if name != best)
    line = (
        f"classifier: {best}, with which held-out given labels are likeliest (log likelihood "
        f"{levels[best]:.3f}; {rest})"
    )
    return Choice(best, candidates[best], line)


def _candidates(
    data: pd.DataFrame | np.ndarray, n_classes: int, n_items: int
) -> dict[str, Callable[[Any], Any]]:
    """Classifiers by name, each as a function of the data that makes an unfitted Pipeline."""
    has_text = isinstance(data, pd.DataFrame) and bool(text_columns(data))
    found: dict[str, Callable[[Any], Any]] = {
        f"logistic regression, C={c:g}": partial(logistic_regression, strength=c)
        for c in (TEXT_STRENGTHS if has_text else STRENGTHS)
    }
    if has_text or n_classes > _MOST_CLASSES or data.shape[1] > _MOST_COLUMNS:
        return found
    found["boosting of small trees"] = partial(
        gradient_boosting, learning_rate=0.05, max_leaf_nodes=8, l2_regularization=1.0
    )
    if n_items >= _ITEMS:
        found["boosting"] = gradient_boosting
    return found


def _level(make: Callable[[Any], Any], data: Any, table: LabelTable, plan: FoldPlan) -> float:
    """Mean of log p(given label) of items that the classifier did not see."""
    p = np.zeros(len(table))
    for train, held in plan.splits(0):
        classifier = make(data)
        try:
            with warnings.catch_warnings(), threads_for(data):
                warnings.simplefilter("ignore")
                classifier.fit(_rows(data, train), table.given[train])
                found = classifier.predict_proba(_rows(data, held))
        except (ValueError, TypeError):  # the fit itself will say why
            return -np.inf
        place = np.full(table.n_classes, -1)
        place[classifier.classes_] = np.arange(len(classifier.classes_))
        at = place[table.given[held]]
        p[held[at >= 0]] = found[at >= 0, at[at >= 0]]
    return float(np.log(np.maximum(p, _LEAST_PROBABILITY)).mean())


def _rows(data: Any, rows: np.ndarray) -> Any:
    return data.iloc[rows] if isinstance(data, pd.DataFrame) else data[rows]
