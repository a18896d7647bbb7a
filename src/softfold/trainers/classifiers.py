"""scikit-learn's classifiers as objects: made by name, copied, seeded, given soft labels."""

from __future__ import annotations

import copy
from importlib import import_module
from typing import Any

import numpy as np

from softfold.errors import InputError

_LEAST_WEIGHT = 0.01
"""A class with less of an item's soft label than this gets no copy of the item."""


def classifier_by_name(arch: str, params: dict[str, Any]) -> Any:
    """A classifier by dotted name; only public names below `sklearn` are looked up."""
    module, _, name = arch.rpartition(".")
    parts = arch.split(".")
    if parts[0] != "sklearn" or len(parts) < 3 or any(p.startswith("_") or not p for p in parts):
        raise InputError(
            f"--arch {arch}: want a scikit-learn classifier by its dotted name, such as "
            "sklearn.ensemble.RandomForestClassifier"
        )
    try:
        factory = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise InputError(f"--arch {arch}: scikit-learn has no such classifier") from None
    if not (isinstance(factory, type) and hasattr(factory, "get_params")):
        raise InputError(f"--arch {arch}: it is no scikit-learn classifier")
    try:
        classifier = factory(**params)
    except TypeError as error:
        raise InputError(f"--arch {arch}: {error}") from None
    check_classifier(classifier, arch)
    return classifier


def is_dotted(arch: str) -> bool:
    """Whether that is meant to be a class of scikit-learn's, not a model of texts."""
    return arch.split(".", maxsplit=1)[0] == "sklearn"


def dotted(estimator: Any) -> str:
    """The public dotted name: without private modules such as `_forest`."""
    if hasattr(estimator, "steps"):
        return dotted(estimator.steps[-1][1])
    parts = type(estimator).__module__.split(".") + [type(estimator).__qualname__]
    return ".".join(p for p in parts if not p.startswith("_"))


def check_classifier(estimator: Any, name: str) -> None:
    """Refuse what gives no probabilities."""
    if not (hasattr(estimator, "fit") and hasattr(estimator, "predict_proba")):
        raise InputError(
            f"{name} gives no probabilities (it has no predict_proba): choose a classifier that "
            "does, or wrap it in sklearn.calibration.CalibratedClassifierCV"
        )


def with_probabilities(classifier: Any) -> Any:
    """A classifier as it is; calibrated by a cross-validation where it has no `predict_proba`."""
    if hasattr(classifier, "predict_proba"):
        return classifier
    from sklearn.base import is_classifier
    from sklearn.calibration import CalibratedClassifierCV

    # what is no classifier is refused by who asked, in words of its own
    return CalibratedClassifierCV(classifier) if is_classifier(classifier) else classifier


def unfitted(estimator: Any) -> Any:
    """A copy to fit, so that the user's object stays as it is."""
    if not hasattr(estimator, "get_params"):
        return copy.deepcopy(estimator)
    from sklearn.base import clone

    return clone(estimator)


def parameters(estimator: Any) -> dict[str, Any]:
    """The estimator's settings; a class that is not derived from scikit-learn's may tell none."""
    if hasattr(estimator, "get_params"):
        return estimator.get_params(deep=True)
    return {k: v for k, v in sorted(vars(estimator).items()) if not k.startswith("_")}


def set_random_state(classifier: Any, seed: int) -> None:
    """Give every `random_state` that is None the seed; one that was set stays."""
    unset = [
        key
        for key, value in parameters(classifier).items()
        if value is None and (key == "random_state" or key.endswith("__random_state"))
    ]
    if unset and hasattr(classifier, "set_params"):
        classifier.set_params(**dict.fromkeys(unset, seed % 2**32))


def weight_parameter(classifier: Any) -> str | None:
    """How `fit` takes sample weights, through the last step of nested pipelines; None if it cannot.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> weight_parameter(make_pipeline(LogisticRegression()))
    'logisticregression__sample_weight'
    """
    from sklearn.utils.validation import has_fit_parameter

    if hasattr(classifier, "steps"):
        name, last = classifier.steps[-1]
        inner = weight_parameter(last)
        return None if inner is None else f"{name}__{inner}"
    return "sample_weight" if has_fit_parameter(classifier, "sample_weight") else None


def weighted_copies(
    targets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows, labels and weights that stand for soft targets (n, K).

    Every item is there once for each class with at least `_LEAST_WEIGHT` of its target, and at
    least for its most probable one; its weights sum to 1. Weights are None where every item is
    there once.

    >>> weighted_copies(np.array([[0.75, 0.25], [0.0, 1.0]]))
    (array([0, 0, 1]), array([0, 1, 1]), array([0.75, 0.25, 1.  ]))
    >>> weighted_copies(np.array([[1.0, 0.0], [0.0, 1.0]]))
    (array([0, 1]), array([0, 1]), None)
    """
    kept = targets >= _LEAST_WEIGHT
    kept[np.arange(len(targets)), targets.argmax(axis=1)] = True
    rows, labels = np.nonzero(kept)
    if len(rows) == len(targets):
        return rows, labels, None
    weights = targets[rows, labels]
    return rows, labels, weights / np.bincount(rows, weights=weights)[rows]


def drawn(targets: np.ndarray, seed: int) -> np.ndarray:
    """(n,) one class an item, drawn from its target."""
    edges = np.cumsum(targets, axis=1)
    draw = np.random.default_rng(seed).random(len(targets)) * edges[:, -1]
    return (edges <= draw[:, None]).sum(axis=1).clip(0, targets.shape[1] - 1)
