"""Features by several workers are those by one, and are computed once."""

# ruff: noqa: E402

import pickle
from dataclasses import replace

import numpy as np
import pytest

for module in ("torch", "timm", "PIL"):
    pytest.importorskip(module)
from pictures import encode, photo

from softfold.data.table import LabelTable
from softfold.job import sharding
from softfold.pixels.images import Images
from softfold.trainers.probe import Probe
from softfold.vision import features


def copied(value):
    return pickle.loads(pickle.dumps(value))


class Elsewhere:
    """An engine of two workers that gives and takes copies, as those in other processes do.

    That such processes work is shown by the engines' own tests.
    """

    name, workers = "elsewhere", 2

    def run(self, tasks, shared, done, needs):
        for task in tasks:
            there = copied(task)
            done(task, copied(there.work(copied(shared), **there.own)))


def test_shards_of_two_workers_are_what_one_would_compute(tmp_path, monkeypatch):
    images = Images(encoded=[encode(photo()) for _ in range(6)])
    keys = np.array([str(i) for i in range(6)], object)
    table = LabelTable(keys, np.arange(6) % 2, ("a", "b"), np.zeros(6, bool), data=images)
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "one"))
    alone = Probe(size=32)
    alone.prepare(table)
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr(sharding, "SHARD", 3)
    told = []
    sharding.shard_features(Probe(size=32), table, Elsewhere(), lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]
    monkeypatch.setattr(features, "forward_batches", None)  # nothing is left to compute
    sharded = Probe(size=32)
    sharded.prepare(table)
    assert sharded.features(table).tobytes() == alone.features(table).tobytes()
    assert sharded._stages.tobytes() == alone._stages.tobytes()


class Refuses:
    """An engine that must not be asked."""

    def __init__(self, workers):
        self.workers = workers

    def run(self, *asked):
        raise AssertionError("nothing was to be done")


def test_what_changed_while_its_features_were_made_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.png").write_bytes(encode(photo()))
    shards = features.Shards(Images([tmp_path / "a.png"]), size=32)
    (part,) = shards.parts(1)
    made = shards.compute(part)
    (tmp_path / "a.png").write_bytes(encode(photo(41)))
    shards.keep(part, made)
    assert len(shards.parts(1)) == 1


def test_a_process_makes_its_network_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    made, create = [], features.create_backbone
    monkeypatch.setattr(features, "create_backbone", lambda **how: made.append(1) or create(**how))
    features._kept_ready.cache_clear()
    shards = features.Shards(Images(encoded=[encode(photo()) for _ in range(3)]), size=32)
    first, second = (shards.compute(part)[1] for part in shards.parts(2))
    assert (len(first), len(second), len(made)) == (2, 1, 1)


def test_one_process_and_trainers_without_images_have_no_shards():
    images = Images(encoded=[encode(photo())])
    pictured = LabelTable(np.array(["a"], object), np.zeros(1, int), ("a", "b"), np.zeros(1, bool))
    sharding.shard_features(Probe(size=32), replace(pictured, data=images), Refuses(workers=1))
    data = np.eye(4, dtype=np.float32)
    table = LabelTable(
        np.array(list("abcd"), object),
        np.arange(4) % 2,
        ("a", "b"),
        data=data,
        valid=np.zeros(4, bool),
    )
    assert Probe().shards(table) is None
    sharding.shard_features(Probe(), table, Refuses(workers=2))
