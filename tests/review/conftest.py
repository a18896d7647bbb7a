"""Pages in a real browser."""

import pytest
from browsing import ARGUMENTS, CHROMIUM


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens pages in browsers of their own; in the end none may have had an error."""
    contexts, errors = [], []

    def go(url, ready="body[data-ready]", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.goto(url)
        page.wait_for_selector(ready)
        return page

    go.errors = errors
    yield go
    for context in contexts:
        context.close()
    assert errors == []
