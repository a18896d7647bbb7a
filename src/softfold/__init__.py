"""Soft labels from out-of-fold predictions: noisy labels in, a better model out.

The names below load on first use, so `import softfold` needs neither torch nor fastai.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "InputError": "errors",
    "Images": "labels",
    "LabelTable": "labels",
    "read_table": "reading",
    "corrupt": "corruption",
    "FoldPlan": "folds",
    "plan_folds": "folds",
    "OutOfFold": "oof",
    "cross_fit": "crossfit",
    "noise_aware_cross_fit": "rounds",
    "NoiseModel": "noise",
    "estimate_noise": "noise",
    "SoftLabels": "softening",
    "soften": "softening",
    "rank_issues": "issues",
    "compare": "comparing",
    "load": "runs",
    "run": "pipeline",
}
__all__ = [*_HOME, "__version__"]

if TYPE_CHECKING:
    from softfold.comparing import compare as compare
    from softfold.corruption import corrupt as corrupt
    from softfold.crossfit import cross_fit as cross_fit
    from softfold.errors import InputError as InputError
    from softfold.folds import FoldPlan as FoldPlan
    from softfold.folds import plan_folds as plan_folds
    from softfold.issues import rank_issues as rank_issues
    from softfold.labels import Images as Images
    from softfold.labels import LabelTable as LabelTable
    from softfold.noise import NoiseModel as NoiseModel
    from softfold.noise import estimate_noise as estimate_noise
    from softfold.oof import OutOfFold as OutOfFold
    from softfold.pipeline import run as run
    from softfold.reading import read_table as read_table
    from softfold.rounds import noise_aware_cross_fit as noise_aware_cross_fit
    from softfold.runs import load as load
    from softfold.softening import SoftLabels as SoftLabels
    from softfold.softening import soften as soften


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'softfold' has no attribute {name!r}")
    value = getattr(import_module(f"softfold.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
