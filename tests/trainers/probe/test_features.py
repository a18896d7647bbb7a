"""What the probe looks at: numbers, and inner folds that choose a strength."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from softfold.arrays import one_hot
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images
from softfold.trainers.probe import Probe
from softfold.trainers.probe.features import inner_folds, numbers, stages_help


def table_of(data, n=60, k=3, **more):
    item = np.array([f"i{i}" for i in range(n)], dtype=object)
    names = tuple("abcdef"[:k])
    return LabelTable(
        item, np.arange(n) % k, names, np.zeros(n, bool), data=data, name="toy", **more
    )


FRAME = pd.DataFrame(
    {"x": np.arange(60), "y": np.linspace(0, 1, 60), "flag": np.arange(60) % 2 == 0}
)


def test_a_matrix_is_taken_as_it_is_and_a_frame_by_the_columns_that_were_trained_on():
    features = np.eye(60)
    assert numbers(table_of(features)) is features
    found = numbers(table_of(FRAME), ["y", "x"])
    np.testing.assert_allclose(found, FRAME[["y", "x"]].astype(np.float32))
    assert numbers(table_of(FRAME)).shape == (60, 3)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            FRAME.assign(name="a"),
            r"1 column of 4 holds none; the first is 'name': use --trainer est",
        ),
        (FRAME.assign(name="a", more="b"), "2 columns of 5 hold none; the first is 'name'"),
        (FRAME.assign(x=[*range(59), None]), "missing or infinite; the first such item is 'i59'"),
        (np.where(np.arange(60)[:, None] == 7, np.inf, 1.0), "the first such item is 'i7'"),
        (np.zeros((60, 2, 2)), "takes images, a feature matrix or numbers"),
        (None, "takes images, a feature matrix or numbers"),
    ],
)
def test_what_are_no_numbers_is_refused(data, line):
    with pytest.raises(InputError, match=f"^toy: .*{line}"):
        numbers(table_of(data))


def test_a_probe_refuses_them_too():
    table = table_of(FRAME.assign(name="a"))
    with pytest.raises(InputError, match="1 column of 4 holds none; the first is 'name'"):
        Probe().fit(table, one_hot(table.given, 3), seed=0)
    with pytest.raises(InputError, match="the probe takes"):
        numbers(table_of(Images(encoded=[b""] * 60)))


def test_inner_folds_share_out_every_class_alike():
    labels = np.repeat([0, 1, 2], [50, 30, 5])
    part = inner_folds(labels, None, seed=0)
    for k in range(3):
        counts = np.bincount(part[labels == k], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert (part != inner_folds(labels, None, seed=1)).any()
    np.testing.assert_array_equal(part, inner_folds(labels, None, seed=0))


def test_rows_of_a_group_are_in_one_inner_fold():
    group = np.array([f"g{i // 4}" for i in range(60)], dtype=object)
    part = inner_folds(np.arange(60) % 3, group, seed=0)
    assert all(len(set(part[group == name])) == 1 for name in set(group))
    assert set(part) == set(range(5))


def test_many_rows_have_fewer_inner_folds():
    assert set(inner_folds(np.zeros(5000, int), None, seed=0)) == {0, 1, 2}
    assert set(inner_folds(np.zeros(5000, int), None, seed=0, n_folds=2)) == {0, 1}


def test_stages_are_worth_it_where_they_say_what_the_rest_does_not():
    rng = np.random.default_rng(0)
    n = 300
    table = table_of(np.zeros((n, 1)), n)
    signal = (np.eye(3)[table.given] + rng.normal(0, 0.4, (n, 3))).astype(np.float32)
    noise = rng.normal(size=(n, 20)).astype(np.float32)
    assert stages_help(noise, signal, table)
    assert not stages_help(signal, noise, table)
    assert not stages_help(signal, signal[:, :0], table)


@pytest.mark.parametrize("helps", [True, False])
def test_few_axes_decide_about_stages_as_all_do(helps, monkeypatch):
    from softfold.trainers.probe import features

    rng, n, k = np.random.default_rng(0), 300, 3
    table = table_of(None, n=n, k=k)
    signal = 2.0 * np.eye(k)[table.given]
    pooled = rng.normal(size=(n, 20)).astype(np.float32)
    stages = rng.normal(size=(n, 12)).astype(np.float32)
    (stages if helps else pooled)[:, :k] += signal
    asked = []
    design = features.Design.of
    monkeypatch.setattr(
        features.Design, "of", lambda *p, axes=None: (asked.append(axes), design(*p, axes=axes))[1]
    )
    monkeypatch.setattr(features, "_STAGE_AXES", 16)
    assert stages_help(pooled, stages, table) is helps
    assert asked == [16, 16]  # far apart: few axes were enough
    monkeypatch.setattr(features, "_STAGE_MARGIN", np.inf)
    assert stages_help(pooled, stages, table) is helps
    assert asked[-2:] == [None, None]
