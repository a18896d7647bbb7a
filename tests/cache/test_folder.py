"""Where the cache is, what it says that it holds, and that it stays below its limit."""

import os

import numpy as np
import pytest

from softfold.cache import folder
from softfold.cache.rows import KEY, RowStore, content_key


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))


def put(size, n=10):
    """n rows of a thousand bytes, in a store of their own."""
    keys = np.array([content_key(bytes([size, i])) for i in range(n)], KEY)
    with RowStore("features", {"size": size}).writer(n, (1000,), np.uint8) as writer:
        writer.write(keys, np.zeros((n, 1000), np.uint8))


def test_what_is_there_is_told_and_cleared():
    put(1)
    put(2, n=3)
    told = {e["settings"]["size"]: e["rows"] for e in folder.cache_info()["entries"]}
    assert told == {1: 10, 2: 3}
    assert folder.clear_cache() >= 13_000
    assert folder.cache_info()["bytes"] == 0 and not folder.cache_info()["entries"]


def test_the_least_recently_used_go_first(monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE_GB", str(25_000 / 1e9))
    for size in (1, 2):
        put(size)
        for file in folder.cache_dir().rglob("*.npy"):
            if file.stat().st_mtime > 1e9:
                os.utime(file, (size, size))
    put(3)
    held = {e["settings"]["size"] for e in folder.cache_info()["entries"] if e["rows"]}
    assert held == {2, 3}


def test_a_limit_that_is_no_number_is_the_usual_one(monkeypatch):
    usual = folder.cache_limit()
    monkeypatch.setenv("SOFTFOLD_CACHE_GB", "plenty")
    assert folder.cache_limit() == usual
