"""A cache folder of a test's own."""

import pytest


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SOFTFOLD_CACHE_GB", raising=False)
