"""Rows of a log of decisions, and a label table that they are about."""

import numpy as np

from softfold.data.table import LabelTable
from softfold.decisions.opinions import replay


def row(reviewer, stroke, item, action, label=None, given="cat", suspicion=0.9):
    return {
        "reviewer": reviewer,
        "stroke": stroke,
        "item": item,
        "action": action,
        "label": label,
        "given": given,
        "suspicion": suspicion,
    }


def outcome(log, item):
    return replay(log.since())[item].outcome()


def table(n=6):
    return LabelTable(
        item=np.array([f"i{k}" for k in range(n)], dtype=object),
        given=np.zeros(n, dtype=np.int64),
        vocab=("cat", "dog", "fox"),
        valid=np.arange(n) >= n - 1,
    )
