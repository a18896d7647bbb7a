"""`with_soft_targets`: whatever reads the dataset, an item comes with its own soft target."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images
from softfold.soft_labels import SoftLabels
from softfold.softening import soften
from softfold.torch import with_soft_targets

N = 40


@pytest.fixture
def dataset():
    """Item i is the number i; its label is 0."""
    return TensorDataset(torch.arange(N).float()[:, None], torch.zeros(N, dtype=torch.long))


def targets(n=N):
    """Row i has i / 100 of the first of two classes, so that a target tells its item."""
    first = np.arange(n, dtype=np.float32) / 100
    return np.stack([first, 1 - first], axis=1)


def soft_labels(keys, vocab=("a", "b")):
    return SoftLabels(np.array(keys, dtype=object), targets(len(keys)), vocab, "blend")


def check(batches, n=None):
    x, t = (torch.cat(part) for part in zip(*batches))
    assert t.dtype == torch.float32
    assert torch.allclose(x[:, 0] / 100, t[:, 0]), "a target beside another item"
    if n is not None:
        assert len(x) == n


def test_samplers_workers_subsets_and_splits_keep_items_and_targets_together(dataset):
    soft = with_soft_targets(dataset, targets())
    check(DataLoader(soft, 7, shuffle=True, drop_last=True), 35)
    check(DataLoader(soft, 7, shuffle=True, num_workers=2), N)
    check(DataLoader(soft, 7, sampler=WeightedRandomSampler(torch.rand(N), 100)), 100)
    check(DataLoader(Subset(soft, [9, 3, 3, 7]), 2), 4)
    check(DataLoader(random_split(soft, [30, 10])[1], 4), 10)
    x, t = soft[-1]
    assert x == N - 1 and t[0] == pytest.approx((N - 1) / 100)


def test_a_dataset_that_makes_batches_by_itself_gives_soft_targets(dataset):
    class Batches(TensorDataset):
        def __getitems__(self, rows):
            return [self[i] for i in rows]

    check(DataLoader(with_soft_targets(Batches(*dataset.tensors), targets()), 8), N)


def test_rows_are_found_by_key_and_columns_by_name(dataset):
    keys = [f"k{i}" for i in range(N)]
    order = np.random.default_rng(0).permutation(N)
    soft = soft_labels([*(keys[i] for i in order), "another"])
    soft = SoftLabels(soft.item, targets(N)[[*order, 0]], ("a", "b"), "blend")
    check(DataLoader(with_soft_targets(dataset, soft, keys, vocab=["a", "b"]), 8))
    first = with_soft_targets(dataset, soft, keys, vocab=["b", "a"])[5][1]
    assert first.numpy() == pytest.approx([0.95, 0.05])
    part = Subset(dataset, [4, 2])
    check(DataLoader(with_soft_targets(part, soft, ["k4", "k2"], vocab=["a", "b"]), 8), 2)
    dataset.classes = ["b", "a"]  # as torchvision names them
    assert with_soft_targets(part, soft, ["k4", "k2"])[0][1].numpy() == pytest.approx([0.96, 0.04])


def test_a_part_that_was_split_before_takes_its_rows_of_the_whole(dataset):
    """So that the other part, which is validated on, keeps its class indices."""
    part, other = random_split(dataset, [30, 10])
    numbered = soft_labels([str(i) for i in range(N)], ("0", "1"))
    keyed = soft_labels([f"k{i}" for i in range(N)])
    check(DataLoader(with_soft_targets(part, targets()), 8), 30)
    check(DataLoader(with_soft_targets(part, numbered), 8), 30)
    check(DataLoader(with_soft_targets(Subset(part, [5, 2, 9]), numbered), 8), 3)
    check(DataLoader(with_soft_targets(part, keyed, keyed.item, vocab=["a", "b"]), 8), 30)
    assert other[0][1] == 0


def test_all_items_in_another_order_have_no_position_that_is_sure(dataset):
    order = np.random.default_rng(0).permutation(N).tolist()
    shuffled, numbered = Subset(dataset, order), soft_labels([str(i) for i in range(N)], ("0", "1"))
    for soft in (targets(), numbered):
        with pytest.raises(InputError, match="all 40 items in another order"):
            with_soft_targets(shuffled, soft)
    check(DataLoader(with_soft_targets(shuffled, numbered, order), 8), N)
    check(DataLoader(Subset(with_soft_targets(dataset, targets()), order), 8), N)
    check(DataLoader(with_soft_targets(Subset(dataset, range(N)), targets()), 8), N)


def test_items_of_the_hold_out_keep_their_label(dataset):
    keys = [f"k{i}" for i in range(N)]
    table = LabelTable(
        np.array(keys, dtype=object), np.arange(N) % 2, ("a", "b"), np.arange(N) >= 30
    )
    soft = soften(table, targets(), "blend", given_weight=0)
    made = with_soft_targets(dataset, soft, keys, vocab=["a", "b"])
    check(DataLoader(Subset(made, range(30)), 8), 30)
    assert made[35][1].dtype == torch.long and made[35][1] == 0


def test_paths_below_the_folder_of_the_table_are_its_keys(dataset, tmp_path, monkeypatch):
    keys = np.array([f"cat/{i}.png" for i in range(N)], dtype=object)
    folder = tmp_path / "photos"
    files = Images([folder / key for key in keys])
    table = LabelTable(keys, np.arange(N) % 2, ("a", "b"), np.zeros(N, bool), data=files)
    soft = soften(table, targets(), "blend", given_weight=0)
    monkeypatch.chdir(tmp_path)
    for paths in ([folder / key for key in keys], [f"photos/{key}" for key in keys]):
        check(DataLoader(with_soft_targets(dataset, soft, paths, vocab=["a", "b"]), 8), N)
    with pytest.raises(InputError, match="40 items of 40 of the dataset without a soft label"):
        with_soft_targets(dataset, soft, [f"/another/{key}" for key in keys], vocab=["a", "b"])


@pytest.mark.parametrize(
    "item",
    [
        {"input_ids": [1], "labels": 0},
        {"text": "a", "label": 0},
        (1, 2, 0),
        [1, 0],
        namedtuple("Pair", ["image", "label"])(1, 0),
    ],
)
def test_items_keep_their_form(item):
    made = with_soft_targets([item], np.array([[0.25, 0.75]]))[0]
    wanted = torch.tensor([0.25, 0.75])
    if isinstance(item, dict):
        assert list(made) == list(item)
        assert torch.equal(list(made.values())[-1], wanted)
    else:
        assert made[:-1] == tuple(item[:-1]) and torch.equal(made[-1], wanted)
        assert not hasattr(item, "_fields") or type(made) is type(item)


def test_an_item_without_a_label_gets_a_target():
    x, t = with_soft_targets(torch.eye(2), np.array([[0.25, 0.75]] * 2))[1]
    assert x.tolist() == [0, 1] and t.tolist() == [0.25, 0.75]
    x, t = with_soft_targets(TensorDataset(torch.eye(2)), np.array([[0.25, 0.75]] * 2))[1]
    assert x.tolist() == [0, 1] and t.tolist() == [0.25, 0.75]


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


def test_what_does_not_match_is_one_line(dataset):
    keyed = soft_labels([f"k{i}" for i in range(N)])
    keys = [f"k{i}" for i in range(N)]
    with pytest.raises(InputError, match="40 items and there are 39 soft labels: give one"):
        with_soft_targets(dataset, targets(39))
    with pytest.raises(InputError, match=r"10 items and there are 30 soft labels"):
        with_soft_targets(Subset(dataset, range(10)), targets(30))
    with pytest.raises(InputError, match="keys such as 'k0': say with items="):
        with_soft_targets(dataset, keyed, vocab=["a", "b"])
    with pytest.raises(InputError, match=r"class names \(a, b\) and the dataset has none"):
        with_soft_targets(dataset, keyed, keys)
    with pytest.raises(InputError, match="lack 'c'"):
        with_soft_targets(dataset, keyed, keys, vocab=["a", "c"])
    with pytest.raises(
        InputError, match=r"1 item of 40 of the dataset without a soft label.*'new'"
    ):
        with_soft_targets(dataset, keyed, [*keys[:-1], "new"], vocab=["a", "b"])
    with pytest.raises(InputError, match="40 items and there are 1 key: give one"):
        with_soft_targets(dataset, keyed, ["k0"])
    with pytest.raises(InputError, match="Stream has no length"):
        with_soft_targets(Stream(), targets())
    with pytest.raises(InputError, match="without item keys"):
        with_soft_targets(dataset, targets(), keys)


def test_the_dataset_is_asked_for_everything_else(dataset):
    dataset.transform = "some transform"
    soft = with_soft_targets(dataset, targets())
    assert soft.transform == "some transform" and len(soft) == N and isinstance(soft, Dataset)
    assert not hasattr(soft, "nothing")
