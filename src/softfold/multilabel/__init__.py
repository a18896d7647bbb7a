"""Items with several labels: each class is a question of its own, answered yes or no.

`softfold.cross_fit` takes the tables; docs/multilabel.md has the way through.
The names below load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "MultiLabelTable": "table",
    "read_table": "reading",
    "MultiLabelNoise": "noise",
    "estimate_noise": "noise",
    "MultiSoftLabels": "soft",
    "soften": "soft",
    "rank_issues": "ranking",
    "mean_average_precision": "measures",
    "micro_f1": "measures",
    "differences": "measures",
}
__all__ = [*_HOME]  # noqa: PLE0604 - all of them are strings

if TYPE_CHECKING:
    from softfold.multilabel.measures import differences as differences
    from softfold.multilabel.measures import mean_average_precision as mean_average_precision
    from softfold.multilabel.measures import micro_f1 as micro_f1
    from softfold.multilabel.noise import MultiLabelNoise as MultiLabelNoise
    from softfold.multilabel.noise import estimate_noise as estimate_noise
    from softfold.multilabel.ranking import rank_issues as rank_issues
    from softfold.multilabel.reading import read_table as read_table
    from softfold.multilabel.soft import MultiSoftLabels as MultiSoftLabels
    from softfold.multilabel.soft import soften as soften
    from softfold.multilabel.table import MultiLabelTable as MultiLabelTable


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'softfold.multilabel' has no attribute {name!r}")
    value = getattr(import_module(f"softfold.multilabel.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
