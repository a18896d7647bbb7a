"""A scikit-learn classifier around another one: cross-fit, soften, fit on soft labels."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import cross_val_predict
from sklearn.utils import _safe_indexing, check_random_state, get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from softfold.align import align_predictions, numbered
from softfold.errors import InputError
from softfold.noise.estimation import estimate_noise
from softfold.noise.scoring import score
from softfold.sklearn.splitting import split_rows
from softfold.softening import soften
from softfold.trainers.classifiers import (
    set_random_state,
    weight_parameter,
    weighted_copies,
    with_probabilities,
)


def _estimator_has(name: str) -> Any:
    """Whether the fitted classifier has a method, before the fit the one that was given."""

    def check(self: SoftLabelClassifier) -> bool:
        return hasattr(getattr(self, "estimator_", self.estimator), name)

    return check


class SoftLabelClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Fit any scikit-learn classifier on labels that are partly wrong.

    `fit` predicts every item by a copy of the classifier that did not see it (out-of-fold
    predictions), estimates from these how labels go wrong, makes soft labels of both, and fits the
    classifier on the soft labels. Everything else is that classifier's: methods, columns, what X
    may be (arrays, sparse matrices, data frames, lists of texts).

    Soft labels reach the classifier as weighted copies: an item is repeated for every class with
    at least 1% of its soft label, each copy weighted by its share, so that an item weighs 1 in
    all. A classifier or Pipeline whose `fit` takes no `sample_weight` gets every item once, with
    the likeliest class of its soft label. A classifier without `predict_proba` is calibrated
    for the out-of-fold predictions (`CalibratedClassifierCV`) and fitted as it is.

    Folds are stratified and drawn at random. Equal rows of X share a fold, and so do items of a
    group: a prediction by a model that saw a copy of the item would know its label.

    Args:
        estimator: a classifier or a Pipeline that ends in one. It is copied, never fitted itself.
        cv: number of folds, at least 2.
        strategy: how soft labels are made, see `softfold.soften`: "auto", "posterior", "people",
            "blend", "gate" or "given".
        given_weight: of the given label, 0 to 1, in the strategies that blend.
        n_jobs: folds that run at the same time, as in `cross_val_predict`.
        random_state: int, RandomState or None; of the folds. An int or RandomState also seeds
            every `random_state` of the classifier that is None.

    Attributes:
        classes_: (K,) the labels, sorted.
        estimator_: the classifier, fitted on the soft labels.
        soft_labels_: float32 (N, K), row i of the i-th item of `fit`, columns as in `classes_`.
        oof_: float32 (N, K), out-of-fold probabilities.
        suspicion_: float64 (N,), 0 to 1, how likely the item's given label is wrong.
        noise_: the `NoiseModel`, with `rate` and `rate_interval`.
        n_features_in_, feature_names_in_: as far as the classifier has them.

    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = make_blobs(300, centers=2, random_state=0, cluster_std=0.4)
    >>> y[:30] = 1 - y[:30]
    >>> model = SoftLabelClassifier(LogisticRegression(), random_state=0).fit(X, y)
    >>> bool((np.sort(np.argsort(-model.suspicion_)[:30]) == np.arange(30)).all())
    True
    """

    classes_: np.ndarray
    soft_labels_: np.ndarray
    estimator_: Any

    def __init__(
        self,
        estimator: Any,
        *,
        cv: int = 5,
        strategy: str = "auto",
        given_weight: float = 0.7,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.strategy = strategy
        self.given_weight = given_weight
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any, groups: Any = None, *, soft_labels: Any = None
    ) -> SoftLabelClassifier:
        """Cross-fit, make soft labels and fit the classifier on them.

        Args:
            X: N items, whatever the classifier takes.
            y: (N,) given labels, int or str.
            groups: (N,) groups; items of one group share a fold. None where there are none.
            soft_labels: those that are there already; nothing is cross-fitted then, and `oof_`,
                `noise_` and `suspicion_` are not set. An array (N, K), columns in the order of
                `classes_`; or SoftLabels or a data frame, matched by class name, and by item key
                where y or X has an index of keys, else in the order of the items.

        Raises:
            InputError: fewer than two classes, a class with one item, folds that cannot be drawn;
                an item or a class without soft label, soft labels that are none.
            ValueError: what the classifier itself refuses.
        """
        if not isinstance(self.cv, Integral):
            raise InputError(
                f"cv is {self.cv!r}: want a number of folds; groups= says what shares a fold"
            )
        X, groups = indexable(X, groups)
        keys = _keys(y, X)
        y = self._checked(y)
        indexable(X, y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        classifier = clone(self.estimator)
        if self.random_state is not None:
            set_random_state(classifier, seed)
        if soft_labels is None:
            self._cross_fit(classifier, X, labels, groups, seed)
        else:
            self._forget("oof_", "noise_", "suspicion_")  # of an earlier fit
            self.soft_labels_ = _aligned(soft_labels, labels, keys, self.classes_)
        self.estimator_ = self._fitted(classifier, X, _with_all_classes(self.soft_labels_, labels))
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            else:
                self._forget(name)
        return self

    def _cross_fit(
        self, classifier: Any, X: Any, labels: np.ndarray, groups: Any, seed: int
    ) -> None:
        """Out-of-fold predictions, the noise model and soft labels of labels int (N,)."""
        splits = split_rows(X, labels, groups, self.classes_, int(self.cv), seed)
        made = cross_val_predict(
            with_probabilities(clone(classifier)),
            X,
            labels,
            cv=splits,
            n_jobs=self.n_jobs,
            method="predict_proba",
        )
        self.oof_ = np.asarray(made, dtype=np.float32)
        self.noise_ = estimate_noise(labels, self.oof_, seed=seed)
        self.soft_labels_ = soften(
            labels,
            self.oof_,
            self.strategy,
            given_weight=self.given_weight,
            noise=self.noise_,
        )
        self.suspicion_ = score(labels, self.oof_, self.noise_).suspicion

    def _forget(self, *names: str) -> None:
        """Delete attributes where they are set."""
        for name in names:
            if hasattr(self, name):
                delattr(self, name)

    def _checked(self, y: Any) -> np.ndarray:
        """Given labels (N,), one a item, none of them missing."""
        if y is None:
            raise InputError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: give "
                "the given labels"
            )
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=self)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return y

    def _fitted(self, classifier: Any, X: Any, targets: np.ndarray) -> Any:
        """The classifier, fitted on soft targets (N, K)."""
        weight = weight_parameter(classifier)
        rows, labels, weights = weighted_copies(targets)
        if weights is None or weight is None:
            return classifier.fit(X, self.classes_[targets.argmax(axis=1)])
        copies = _safe_indexing(X, rows)
        return classifier.fit(copies, self.classes_[labels], **{weight: weights})

    def predict(self, X: Any) -> np.ndarray:
        """(M,) labels of items."""
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """(M, K) probabilities, columns as in `classes_`."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """(M, K) logarithms of probabilities, columns as in `classes_`."""
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """The classifier's decision function, (M,) or (M, K)."""
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        for name in ("sparse", "string", "dict", "allow_nan", "categorical", "positive_only"):
            setattr(tags.input_tags, name, getattr(inner, name))
        return tags


def _keys(y: Any, X: Any) -> pd.Index | None:
    """The index of y or of X, rather one that pandas did not number; None where neither has one."""
    found = [each.index for each in (y, X) if isinstance(each, pd.Series | pd.DataFrame)]
    return min(found, key=numbered, default=None)


def _aligned(
    soft_labels: Any, labels: np.ndarray, keys: pd.Index | None, classes: np.ndarray
) -> np.ndarray:
    """Soft labels float32 (N, K) of the items in their order, columns in that of the classes."""
    given = labels if keys is None else pd.Series(labels, index=keys)
    try:
        both = align_predictions(given, soft_labels, classes)
    except InputError as error:
        raise InputError(f"soft_labels: {error}") from None
    return np.asarray(both.probabilities, dtype=np.float32)


def _with_all_classes(targets: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Targets (N, K) in which every class is some item's likeliest, so that models know it.

    Of a class that is nowhere likeliest, the item of that given label that it fits best keeps it.
    """
    lacking = np.setdiff1d(np.arange(targets.shape[1]), targets.argmax(axis=1))
    if not len(lacking):
        return targets
    targets = targets.copy()
    for k in lacking:
        own = np.flatnonzero(labels == k)
        row = own[targets[own, k].argmax()]
        targets[row] = 0
        targets[row, k] = 1
    return targets
