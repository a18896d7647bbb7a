"""A real browser for tests: where it is, and waiting for what a page says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path(os.environ.get("SOFTFOLD_CHROMIUM", "/usr/bin/chromium"))
needs_browser = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM} (apt-get install chromium)"
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def has_text(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    """Wait until the element says this."""
    from playwright.sync_api import expect

    found = expect(page.locator(selector))
    if isinstance(text, str):
        found.to_contain_text(text, timeout=30_000)
    else:
        found.to_have_text(text, timeout=30_000)


def saved(page: Any) -> None:
    """Wait until every decision is acknowledged."""
    has_text(page, "#saved", re.compile("^saved$"))


def forget_the_server_was_away(errors: list[str]) -> None:
    """Leave out of a page's errors those of requests that found no server or lost it midway.

    The browser begins them all with net::ERR_; which one it is depends on the moment of the loss.
    What a server answered (a status) and errors of the page's own code stay.
    """
    away = [e for e in errors if "net::ERR_" in e]
    for error in away:
        errors.remove(error)
