"""Fold plans: every item once a repeat, classes level, groups whole, all drawn by the seed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softfold.data.folds import FoldPlan, draw_holdout, plan_folds
from softfold.data.table import LabelTable
from softfold.errors import InputError


def table_of(labels, group=None, valid=None):
    labels = np.asarray(labels)
    return LabelTable(
        item=np.array([f"i{i}" for i in range(len(labels))], dtype=object),
        given=labels,
        vocab=tuple(str(k) for k in range(int(labels.max()) + 1)),
        valid=np.zeros(len(labels), bool) if valid is None else np.asarray(valid),
        group=None if group is None else np.array([str(g) for g in group], dtype=object),
    )


@given(
    sizes=st.lists(st.integers(5, 60), min_size=2, max_size=6),
    n_folds=st.integers(2, 5),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_folds_are_a_partition_with_level_classes(sizes, n_folds, repeats, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    plan = plan_folds(table_of(labels), n_folds, repeats=repeats, seed=seed)
    for repeat in range(repeats):
        splits = plan.splits(repeat)
        predicted = np.concatenate([predict for _, predict in splits])
        assert sorted(predicted) == list(range(len(labels)))
        for train, predict in splits:
            assert not set(train) & set(predict) and len(train) + len(predict) == len(labels)
        counts = np.array([np.bincount(labels[p], minlength=len(sizes)) for _, p in splits])
        assert np.ptp(counts, axis=0).max() <= 1
        assert np.ptp(counts.sum(axis=1)) <= len(sizes)


@given(seed=st.integers(0, 999), n_folds=st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_groups_and_copies_stay_whole_and_every_fold_trains_on_every_class(seed, n_folds):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(120) % 3)
    group, copies = rng.integers(0, 90, 120), np.arange(120)
    copies[:10] = rng.integers(0, 120, 10)
    plan = plan_folds(table_of(labels, group), n_folds, seed=seed, groups=copies)
    for joined in (group, copies):
        for g in np.unique(joined):
            assert len(set(plan.fold[joined == g, 0])) == 1
    for train, _ in plan.splits(0):
        assert set(labels[train]) == {0, 1, 2}


def test_grouped_folds_stay_near_level():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 200, 1000)
    labels = (group + (rng.random(1000) < 0.2)) % 4
    plan = plan_folds(table_of(labels, group), 5)
    counts = np.array([np.bincount(labels[p], minlength=4) for _, p in plan.splits(0)])
    assert (np.ptp(counts, axis=0) <= 0.15 * counts.mean(axis=0)).all()


def test_the_seed_draws_the_folds_and_repeats_differ():
    table = table_of(np.arange(100) % 4)
    one, same, other = (plan_folds(table, repeats=2, seed=s) for s in (1, 1, 2))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert (one.fold[:, 0] != one.fold[:, 1]).any()


def test_a_saved_plan_is_the_same_plan(tmp_path):
    pytest.importorskip("pyarrow")
    plan = plan_folds(table_of(np.arange(40) % 2), 4, repeats=3, seed=5)
    plan.save(tmp_path / "plan.parquet")
    again = FoldPlan.load(tmp_path / "plan.parquet")
    assert again.fingerprint == plan.fingerprint
    assert (again.n_folds, again.seed, again.repeats) == (4, 5, 3)


def test_only_training_items_are_planned():
    valid = np.arange(40) % 4 == 0
    plan = plan_folds(table_of(np.arange(40) // 2 % 2, valid=valid), 3)
    assert list(plan.item) == [f"i{i}" for i in range(40) if i % 4]


def test_a_plan_of_other_items_or_of_divided_groups_is_refused():
    table = table_of(np.arange(40) % 2, group=np.arange(40) // 2)
    plan = plan_folds(table, 2)
    plan.check(table)
    with pytest.raises(InputError, match="has 40 items and is not of the 39 training items"):
        plan.check(table.take(np.arange(39)))
    with pytest.raises(InputError, match="is not of the 40 training items"):
        plan.check(table.take(np.arange(40)[::-1]))
    fold = plan.fold.copy()
    fold[7] = 1 - fold[7]
    with pytest.raises(InputError, match="divides group '3' of labels"):
        FoldPlan(plan.item, fold, 2, 0).check(table)


@pytest.mark.parametrize("grouped", [False, True])
def test_holdout_is_a_stratified_fifth_with_whole_groups(grouped):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 1000)
    group = rng.integers(0, 300, 1000)
    table = draw_holdout(table_of(labels, group if grouped else None), seed=3)
    share = np.bincount(labels[table.valid]) / np.bincount(labels)
    assert (np.abs(share - 0.2) < 0.03).all()
    if grouped:
        assert not set(group[table.valid]) & set(group[~table.valid])
    again = draw_holdout(table_of(labels, group if grouped else None), seed=3)
    assert (again.valid == table.valid).all()


@pytest.mark.parametrize("prefix", ["", "photos/train/"])
def test_the_holdout_is_of_the_same_keys_in_whatever_order_they_are_listed(prefix):
    rng = np.random.default_rng(0)
    table = table_of(rng.integers(0, 3, 300), rng.integers(0, 90, 300))
    held = draw_holdout(table)
    order = rng.permutation(300)
    keys = np.array([prefix + key for key in table.item[order]], dtype=object)
    other = draw_holdout(replace(table.take(order), item=keys))
    assert (other.valid == held.valid[order]).all()


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: plan_folds(table_of([0, 1] * 9), 1), "cross-fitting needs at least 2"),
        (lambda: plan_folds(table_of([0, 1] * 9), repeats=0), "at least 1 is needed"),
        (lambda: plan_folds(table_of([0] * 9 + [1] * 3), 4), "the first is '1' with 3"),
        (
            lambda: plan_folds(table_of([0] * 9 + [1] * 3, group=[*range(9), 9, 9, 9]), 3),
            "all items of class '1' fall into fold",
        ),
        (
            lambda: plan_folds(table_of([0, 1] * 9, group=np.arange(18) // 6), 4),
            "3 groups are too few for 4 folds",
        ),
        (lambda: draw_holdout(table_of([0] * 9 + [1])), "too few to draw a hold-out from"),
        (lambda: draw_holdout(table_of([0, 1] * 9), 1.5), "want a fraction between 0 and 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(call, line):
    with pytest.raises(InputError) as error:
        call()
    assert line in str(error.value) and "\n" not in str(error.value)
