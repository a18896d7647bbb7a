"""items.parquet: the label table, and what the first seed's cross-fit says of each item."""

from __future__ import annotations

import numpy as np
import pandas as pd

from softfold.align import find
from softfold.arrays import likeliest
from softfold.crossfit.oof import OutOfFold
from softfold.data.table import LabelTable
from softfold.issues import rank_issues
from softfold.multilabel.table import MultiLabelTable
from softfold.noise.model import NoiseModel
from softfold.pixels.images import Images


def items_frame(
    table: LabelTable, oof: OutOfFold, noise: NoiseModel, decisions: pd.DataFrame | None
) -> pd.DataFrame:
    """One row an item, class names as text; hold-out items have no fold and no suspicion.

    Args:
        table: all items; rows of `oof` are those of its training items.
        oof: out-of-fold predictions.
        noise: the noise model that belongs to them.
        decisions: what people decided; a label that they confirmed has suspicion 0.
    """
    frame, train = _given_frame(table), table.train
    names = np.asarray(table.vocab, dtype=object)
    ranked = rank_issues(train.given, oof.probabilities, noise=noise)
    ranked = ranked.set_index("index").sort_index()
    suspicion = ranked["suspicion"].to_numpy(dtype=np.float32).copy()
    if decisions is not None:
        confirmed = decisions.loc[decisions["state"] == "confirmed", "item"]
        suspicion[np.isin(train.item, confirmed.to_numpy(dtype=object))] = 0.0
    own = oof.probabilities[np.arange(len(train)), train.given].astype(np.float32)
    rows, n = np.flatnonzero(~table.valid), len(table)
    frame["fold"] = _spread([f.tolist() for f in oof.fold], rows, [[] for _ in range(n)])
    frame["predicted"] = _spread(names[likeliest(oof.probabilities)], rows, [None] * n)
    frame["self_confidence"] = _spread(own, rows, np.full(n, np.nan, np.float32))
    frame["suspicion"] = _spread(suspicion, rows, np.full(n, np.nan, np.float32))
    frame["suggested"] = _spread(names[ranked["suggested"].to_numpy()], rows, [None] * n)
    return frame


def several_items_frame(
    table: MultiLabelTable, oof: OutOfFold, issues: pd.DataFrame
) -> pd.DataFrame:
    """One row an item with several labels, classes as lists of names.

    Args:
        table: all items; rows of `oof` are those of its training items.
        oof: out-of-fold predictions.
        issues: of every item and class, as `softfold.multilabel.rank_issues` gives them.

    Returns:
        As `items_frame`; `predicted` are classes of at least one half, `suspicion` is that of the
        item's most suspicious class, `suggested` are its classes where those of at least one half
        are taken for wrong.
    """
    frame, train = _given_frame(table), table.train
    names = np.asarray(table.vocab, dtype=object)
    suspicion = np.zeros((len(train), table.n_classes), np.float32)
    suspicion[issues["index"], find(table.vocab, issues["class"])] = issues["suspicion"]
    right = train.given ^ (suspicion >= 0.5)
    rows, n = np.flatnonzero(~table.valid), len(table)
    none = [None] * n
    frame["fold"] = _spread([f.tolist() for f in oof.fold], rows, [[] for _ in range(n)])
    likely = [list(names[row]) for row in np.asarray(oof.probabilities) >= 0.5]
    frame["predicted"] = _spread(likely, rows, none)
    frame["suspicion"] = _spread(suspicion.max(axis=1), rows, np.full(n, np.nan, np.float32))
    frame["suggested"] = _spread([list(names[row]) for row in right], rows, none)
    return frame


def _given_frame(table: LabelTable) -> pd.DataFrame:
    """The columns that the label table gives."""
    frame = pd.DataFrame(
        {
            "item": table.item,
            "given": table.written("given"),
            "split": np.where(table.valid, "valid", "train"),
        }
    )
    if table.truth is not None:
        frame["truth"] = table.written("truth")
    if table.group is not None:
        frame["group"] = table.group
    if isinstance(table.data, Images) and len(table) and table.data.path(0) is not None:
        paths = (table.data.path(i) for i in range(len(table)))
        frame["file"] = [None if path is None else str(path.absolute()) for path in paths]
    return frame


def _spread(values, rows: np.ndarray, rest) -> pd.Series:
    """A column that has `values` in `rows`, and `rest` elsewhere."""
    out = pd.Series(rest)
    if out.dtype == object:
        out = out.to_list()
        for row, value in zip(rows, values, strict=True):
            out[row] = value
        return pd.Series(out, dtype=object)
    out.iloc[rows] = values
    return out
