"""What all tests share."""

from collections.abc import Iterator

import pytest
from commands import Commands

from softfold.machine.runtime import before_torch

before_torch()


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """What starts `softfold` in a process of its own."""
    started = Commands()
    yield started
    started.close()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SOFTFOLD_CACHE_GB", raising=False)
