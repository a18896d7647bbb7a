"""Trainer `estimator`: scikit-learn classifiers on tables, feature matrices and texts."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.data.item_features import ItemFeatures, as_item_features
from softfold.data.numbers import read_numbers
from softfold.data.table import LabelTable
from softfold.errors import InputError, count_of, require
from softfold.files import write_json
from softfold.trainers.choosing import Choice, choose_classifier
from softfold.trainers.classifiers import (
    check_classifier,
    classifier_by_name,
    dotted,
    drawn,
    is_dotted,
    parameters,
    set_random_state,
    unfitted,
    weight_parameter,
    weighted_copies,
    with_probabilities,
)
from softfold.trainers.encoding import (
    column_numbers,
    columns_by_kind,
    encoder,
    estimator_data,
    threads_for,
)
from softfold.trainers.protocol import BaseModel, BaseTrainer, Fold, Progress
from softfold.trainers.text_features import TextFeatures


class Estimator(BaseTrainer):
    """A scikit-learn classifier that learns from soft labels.

    Soft labels reach the classifier as weighted copies: an item is repeated for every class with
    at least 1% of its soft label, each copy with that class as its label and its share as its
    weight, so that an item weighs 1 in all. A classifier that takes no `sample_weight` gets one
    copy an item instead, its class drawn from the soft label with the seed, and a warning says so.
    One-hot targets are passed as they are, without weights.

    Args:
        estimator: a classifier with `fit` and `predict_proba`, copied for every fit; a Pipeline
            sees the data as they are, as does any other classifier unless it would meet text
            columns.
        arch: the same by dotted name, such as "sklearn.ensemble.RandomForestClassifier"; it gets
            missing values filled, numbers scaled and categories one-hot encoded. Of texts also a
            sentence-transformers model, by name or local folder: a logistic regression learns its
            features.
        params: keyword arguments for `arch`.
        features: made elsewhere, and used in place of the items' data, as `Probe` takes them.

    By default the table's own given labels choose, among logistic regressions of three strengths on
    scaled columns (of texts: on TF-IDF) and gradient boosting: what makes held-out ones
    likeliest (`softfold.trainers.choosing`). All folds and both final models have that classifier.
    A `random_state` that is None is set to the seed of the fit.

    >>> table = LabelTable(
    ...     item=np.array(list("abcd"), dtype=object), given=np.array([0, 0, 1, 1]),
    ...     vocab=("no", "yes"), valid=np.zeros(4, bool), data=np.array([[0.], [1.], [8.], [9.]]))
    >>> model = Estimator().fit(table, np.array([[1, 0], [.9, .1], [.1, .9], [0, 1]]), seed=0)
    >>> model.predict(table).argmax(axis=1)
    array([0, 0, 1, 1])
    """

    name = "estimator"

    def __init__(
        self,
        estimator: Any = None,
        *,
        arch: str | None = None,
        params: dict[str, Any] | None = None,
        features: Any = None,
    ) -> None:
        require("sklearn", extra="sklearn")
        if estimator is not None and arch is not None:
            raise InputError("give the estimator either as an object or by name, not both")
        if params and arch is None:
            raise InputError("params go with arch, the estimator's dotted name")
        if estimator is not None:
            check_classifier(estimator, dotted(estimator))
        self.estimator = estimator
        self.arch = arch
        self.params = dict(params or {})
        self._given: ItemFeatures | TextFeatures | None = as_item_features(features)
        self._choices: dict[str, Choice] = {}
        by_name = arch is not None and (bool(params) or is_dotted(arch))
        if arch is not None and not by_name:
            self._given = TextFeatures(arch)
        self._chooses = estimator is None and not by_name
        self.prepares = None
        if self._chooses:
            self.prepares = "features" if isinstance(self._given, TextFeatures) else "classifier"
        if arch is not None and by_name:
            classifier_by_name(arch, self.params)

    def describe(self) -> dict[str, Any]:
        """Settings that make the same trainer again where the estimator was given by name."""
        own = self._given if isinstance(self._given, ItemFeatures) else None
        given = {} if own is None else {"features": own.digest}
        if self.estimator is None:
            return {"arch": self.arch, "params": self.params, **given}
        params = parameters(self.estimator).items()
        return {
            "arch": dotted(self.estimator),
            "params": {k: _plain(v) for k, v in params},
            **given,
        }

    def prepare(self, table: LabelTable, progress: Progress | None = None) -> str | None:
        """Choose the classifier by the given labels of the training items, where none was given."""
        if isinstance(self._given, TextFeatures):
            self._given.on(table, progress)
        if not self._chooses:
            return None
        return self._chosen(table.train if table.valid.any() else table).line

    def _chosen(self, table: LabelTable) -> Choice:
        """The default classifier of these items and given labels; chosen once for the same ones."""
        table = self._on(table)
        given = np.ascontiguousarray(table.given).data
        mark = table.fingerprint + hashlib.sha256(given).hexdigest()
        if mark not in self._choices:
            self._choices[mark] = choose_classifier(table)
        return self._choices[mark]

    def _on(self, table: LabelTable) -> LabelTable:
        """The items with the data to learn from."""
        return table if self._given is None else self._given.on(table)

    def fit_folds(
        self,
        table: LabelTable,
        folds: Sequence[Fold],
        targets: np.ndarray,
        *,
        seed: int,
        noise: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Predictions of each fold's second rows; all folds have the classifier of the table."""
        choice = self._chosen(table) if self._chooses else None
        for i, (train, predict) in enumerate(folds):
            made = self._fit(table.take(train), targets[train], seed + i, choice)
            yield made.predict(table.take(predict))

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> EstimatorModel:
        """Fit to `targets` float (n, K), one-hot or soft; row i belongs to `table.item[i]`."""
        return self._fit(table, targets, seed, None)

    def _fit(
        self, table: LabelTable, targets: np.ndarray, seed: int, choice: Choice | None
    ) -> EstimatorModel:
        data = estimator_data(self._on(table))
        targets = np.asarray(targets, dtype=np.float64)
        if targets.shape != (len(table), table.n_classes):
            raise InputError(
                f"targets have shape {targets.shape}; want ({len(table)}, {table.n_classes})"
            )
        if choice is None and self._chooses:
            choice = self._chosen(table)
        classifier = self._build(data, choice)
        set_random_state(classifier, seed)
        rows, labels, weights = weighted_copies(targets)
        fit_params = {}
        if weights is not None:
            key = weight_parameter(classifier)
            if key is None:
                warnings.warn(
                    f"{dotted(classifier)} takes no sample_weight: it learns from one label an "
                    f"item, drawn from the soft labels (seed {seed})",
                    stacklevel=2,
                )
                rows, labels = np.arange(len(table)), drawn(targets, seed)
            else:
                fit_params[key] = weights
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise InputError(
                f"{table.name}: all targets of {count_of(len(table), 'training item')} are of "
                f"class {table.vocab[int(classes[0])]!r}; two classes are the least"
            )
        copies = data.iloc[rows] if isinstance(data, pd.DataFrame) else data[rows]
        try:
            with threads_for(copies):
                classifier.fit(copies, codes, **fit_params)
        except (ValueError, TypeError) as error:
            line = str(error).strip().splitlines()[0]
            raise InputError(f"{dotted(classifier)} cannot be fitted: {line}") from error
        about = self.describe()
        return EstimatorModel(classifier, classes, table.vocab, about, data, self._given)

    def _build(self, data: pd.DataFrame | np.ndarray, choice: Choice | None) -> Any:
        from sklearn.pipeline import Pipeline, make_pipeline

        if self.estimator is not None:
            classifier = unfitted(self.estimator)
            plain = isinstance(data, np.ndarray) or not any(columns_by_kind(data)[1:])
            if plain or isinstance(classifier, Pipeline):
                return classifier
            return make_pipeline(encoder(data), classifier)
        if choice is not None:
            return choice.make(data)
        assert self.arch is not None
        return make_pipeline(encoder(data), classifier_by_name(self.arch, self.params))


class EstimatorModel(BaseModel):
    """A fitted classifier whose predictions have a column for every class of the vocabulary.

    given: features by item key that are used in place of the items' data; None: their data.
    """

    history: pd.DataFrame | None = None

    def __init__(
        self,
        classifier: Any,
        classes: np.ndarray,
        vocab: tuple[str, ...],
        settings: dict[str, Any],
        seen: pd.DataFrame | np.ndarray,
        given: ItemFeatures | TextFeatures | None = None,
    ) -> None:
        self.classifier, self.classes, self.vocab = classifier, classes, vocab
        self.settings, self.given = settings, given
        if isinstance(seen, pd.DataFrame):
            self._columns: list[str] | None = list(seen.columns)
            self._numeric = set(columns_by_kind(seen)[0])
        else:
            self._columns, self._width = None, seen.shape[1]

    def predict(self, table: LabelTable) -> np.ndarray:
        """(n, K) float32 probabilities, columns in the order of the vocabulary."""
        data = estimator_data(table if self.given is None else self.given.on(table))
        data = self._like_training(data, table.name)
        out = np.zeros((len(table), len(self.vocab)), dtype=np.float32)
        if len(table):
            with threads_for(data):
                out[:, self.classes] = self.classifier.predict_proba(data)
        return out

    def save(self, path: str | Path) -> None:
        """Write the settings as JSON; the classifier itself would be a pickle and is not kept.

        A run fits it again from its items, soft labels and config.json (`softfold.load`).
        """
        note = "scikit-learn models are fitted again from config.json and the soft labels"
        content = {"trainer": Estimator.name, "settings": self.settings, "note": note}
        write_json(path, content)

    def _like_training(self, data: Any, name: str) -> Any:
        if self._columns is None:
            if not isinstance(data, np.ndarray) or data.shape[1] != self._width:
                raise InputError(f"{name}: want a feature matrix with {self._width:,} columns")
            return data
        if isinstance(data, np.ndarray):
            raise InputError(f"{name}: want a table with the columns of training, not a matrix")
        lacking = [c for c in self._columns if c not in data.columns]
        if lacking:
            raise InputError(
                f"{name}: {count_of(len(lacking), 'column')} of training not there; the first is "
                f"{lacking[0]!r}"
            )
        data = data[self._columns].copy()
        read = read_numbers(data)  # new items out of a text file are text
        read.attrs = data.attrs  # has their lines
        for column in self._numeric:
            data[column] = column_numbers(read[column], name)
        return data


def trainer_of(classifier: Any) -> Estimator | None:
    """A trainer of a scikit-learn classifier or Pipeline; None where the object is neither.

    A scikit-learn classifier that gives classes and no probabilities is calibrated by a
    cross-validation of its own (`CalibratedClassifierCV`).
    """
    if isinstance(classifier, type) or not callable(getattr(classifier, "fit", None)):
        return None
    if hasattr(classifier, "predict_proba"):
        return Estimator(classifier)
    if not (hasattr(classifier, "get_params") and hasattr(classifier, "predict")):
        return None
    return Estimator(with_probabilities(classifier))


def load(path: str | Path) -> Any:
    """scikit-learn models are not read from disk: a run fits them again."""
    raise InputError(f"{path}: scikit-learn models are not kept; softfold.load(RUN) fits again")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
