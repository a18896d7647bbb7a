"""Groups that are given and groups of copies become one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softfold.crossfit.plain import draw_plan
from softfold.data.folds import FoldPlan, draw_holdout, plan_folds
from softfold.data.grouping import copies_of, groups_of_pairs, merge_groups
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images

try:
    from pictures import encode
except ImportError:
    encode = None


def test_chains_of_groups_are_one_group():
    first = np.array(["a", "a", "b", "b", "c", None, None], dtype=object)
    second = np.array([0, 1, 1, 2, 3, 4, 5])
    assert merge_groups(first, second, n=7).tolist() == [0, 0, 0, 0, 4, 5, 6]
    assert merge_groups(n=3).tolist() == [0, 1, 2]


def test_a_chain_of_a_hundred_thousand_is_one_group_at_once():
    order = np.random.default_rng(0).permutation(100_000)
    pairs = np.stack([order[:-1], order[1:]], 1)
    assert not groups_of_pairs(pairs, 100_000).any()
    place = np.argsort(order)  # links from an even place to the next, and from an odd one
    assert not merge_groups(place // 2, (place + 1) // 2, n=100_000).any()
    assert groups_of_pairs(pairs[:0], 3).tolist() == [0, 1, 2]


def table_with(data, **columns):
    n = len(data)
    return LabelTable(
        item=np.array([f"i{i}" for i in range(n)], dtype=object),
        given=np.arange(n) % 2,
        vocab=("a", "b"),
        valid=np.zeros(n, bool),
        data=data,
        **columns,
    )


def doubled(kind, n=60):
    """n items, and behind them a copy of each, which carries another label."""
    rng = np.random.default_rng(0)
    rows = np.r_[np.arange(n), rng.permutation(n)]
    if kind == "text":
        words = np.array(["red", "green", "blue", "grey", "pink"])
        texts = [" ".join([*rng.choice(words, 6), str(i)]) for i in range(n)]
        return pd.DataFrame({"text": np.array(texts, object)[rows]}), rows
    if kind == "table":
        frame = pd.DataFrame(
            {
                "x": rng.normal(size=n),
                "n": pd.array([*range(n - 1), None], dtype="Int64"),
                "w": np.array([None, "a", "b"], object)[np.arange(n) % 3],
                "when": pd.date_range("2020", periods=n),
            }
        )
        return frame.iloc[rows].reset_index(drop=True), rows
    if kind == "matrix":
        return rng.normal(size=(n, 3))[rows], rows
    pytest.importorskip("PIL")
    pixels = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8)
    formats = ["PNG" if i < n else "BMP" for i in range(2 * n)]
    return Images(encoded=[encode(pixels[r], f) for r, f in zip(rows, formats)]), rows


@pytest.mark.parametrize("kind", ["text", "table", "matrix", "image"])
def test_copies_share_a_fold_and_a_side_in_every_way_to_a_plan(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    data, rows = doubled(kind)
    table = table_with(data)
    assert (table.kind == kind) == (kind != "matrix")
    plans = [plan_folds(table, repeats=2), draw_plan(table, 4)]
    for plan in plans:
        for row in np.unique(rows):
            assert len({tuple(f) for f in plan.fold[rows == row]}) == 1
    held = draw_holdout(table).valid
    assert held.any() and not set(rows[held]) & set(rows[~held])


@pytest.mark.parametrize("kind", ["text", "table", "matrix", "image"])
def test_a_plan_from_elsewhere_that_divides_copies_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    table = table_with(doubled(kind)[0])
    fold = (np.arange(120) // 60)[:, None].astype(np.int16)
    with pytest.raises(InputError, match=r"divides 60 items of labels from an exact copy in anoth"):
        FoldPlan(table.item, fold, 2, 0).check(table)
    plan_folds(table).check(table)


def test_rows_that_differ_in_anything_are_no_copies():
    frame = pd.DataFrame(
        {"x": [0.0, -0.0, 0.0, 1.0, np.nan, np.nan], "w": ["a", "a", "b", "a", None, None]}
    )
    assert copies_of(table_with(frame)).tolist() == [0, 0, 2, 3, 4, 4]
    texts = pd.DataFrame({"t": ["a b", " a b ", "a  b", "A b"]})
    assert copies_of(table_with(texts)).tolist() == [0, 0, 2, 3]


def test_items_of_which_only_labels_are_known_are_no_copies():
    table = replace(table_with(np.zeros((3, 1))), data=None)
    assert copies_of(table).tolist() == [0, 1, 2]


def test_texts_in_a_column_whose_name_is_a_number_are_compared():
    data = pd.DataFrame({0: ["a word", "two words", "a word"]})
    given = np.zeros(3, np.int64)
    table = LabelTable(np.array(["a", "b", "c"], object), given, ("x",), given > 0, data=data)
    assert copies_of(table).tolist() == [0, 1, 0]
