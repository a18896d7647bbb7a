"""Soft labels in scikit-learn: a classifier that learns from labels that are partly wrong."""

from softfold.errors import require

require("sklearn", extra="sklearn")

from softfold.sklearn.classifier import SoftLabelClassifier  # noqa: E402

__all__ = ["SoftLabelClassifier"]
