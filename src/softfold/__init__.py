"""Soft labels from out-of-fold predictions: noisy labels in, a better model out.

The names below load on first use, so `import softfold` needs neither torch nor fastai.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "InputError": "errors",
    "Images": "pixels.images",
    "LabelTable": "data.table",
    "read_table": "data.reading",
    "corrupt": "data.corruption",
    "FoldPlan": "data.folds",
    "plan_folds": "data.folds",
    "OutOfFold": "crossfit.oof",
    "cross_fit": "crossfit.plain",
    "noise_aware_cross_fit": "crossfit.noise_aware",
    "NoiseModel": "noise.model",
    "estimate_noise": "noise.estimation",
    "SoftLabels": "soft_labels",
    "soften": "softening",
    "rank_issues": "issues",
    "label_quality": "issues",
    "show_issues": "notebook",
    "combine_votes": "votes.combining",
    "average_predictions": "averaging",
    "compare": "job.comparing",
    "load": "runs.predicting",
    "run": "job.running",
}
__all__ = ["__version__", *_HOME]  # noqa: PLE0604 - all of them are strings

if TYPE_CHECKING:
    from softfold.averaging import average_predictions as average_predictions
    from softfold.crossfit.noise_aware import noise_aware_cross_fit as noise_aware_cross_fit
    from softfold.crossfit.oof import OutOfFold as OutOfFold
    from softfold.crossfit.plain import cross_fit as cross_fit
    from softfold.data.corruption import corrupt as corrupt
    from softfold.data.folds import FoldPlan as FoldPlan
    from softfold.data.folds import plan_folds as plan_folds
    from softfold.data.reading import read_table as read_table
    from softfold.data.table import LabelTable as LabelTable
    from softfold.errors import InputError as InputError
    from softfold.issues import label_quality as label_quality
    from softfold.issues import rank_issues as rank_issues
    from softfold.job.comparing import compare as compare
    from softfold.job.running import run as run
    from softfold.noise.estimation import estimate_noise as estimate_noise
    from softfold.noise.model import NoiseModel as NoiseModel
    from softfold.notebook import show_issues as show_issues
    from softfold.pixels.images import Images as Images
    from softfold.runs.predicting import load as load
    from softfold.soft_labels import SoftLabels as SoftLabels
    from softfold.softening import soften as soften
    from softfold.votes.combining import combine_votes as combine_votes


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'softfold' has no attribute {name!r}")
    value = getattr(import_module(f"softfold.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
