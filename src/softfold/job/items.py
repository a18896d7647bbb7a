"""items.parquet: the label table, and what the first seed's cross-fit says of each item."""

from __future__ import annotations

import numpy as np
import pandas as pd

from softfold.arrays import likeliest
from softfold.crossfit.oof import OutOfFold
from softfold.data.table import LabelTable
from softfold.issues import rank_issues
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


def _given_frame(table: LabelTable) -> pd.DataFrame:
    """The columns that the label table gives."""
    names = np.asarray(table.vocab, dtype=object)
    frame = pd.DataFrame(
        {
            "item": table.item,
            "given": names[table.given],
            "split": np.where(table.valid, "valid", "train"),
        }
    )
    if table.truth is not None:
        frame["truth"] = np.where(table.truth >= 0, names[table.truth], None)
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
