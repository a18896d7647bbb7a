"""The site's pages have their place. What is broken inside a page, `make docs` says."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *(DOCS / "tutorials").glob("*.md")])
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.DOTALL | re.MULTILINE)


def entries(page: Path) -> list[str]:
    """What the page's toctrees name, as paths from the root, without `.md`; globs as they are."""
    found = []
    for block in TOCTREE.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line and not line.startswith(":"):
                name = re.sub(r".*<(.*)>", r"\1", line)
                found.append(str((page.parent / name).resolve().relative_to(ROOT)))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_page_has_its_place_in_the_site():
    named = [name for page in PAGES for name in entries(page)]
    paths = [str(page.relative_to(ROOT).with_suffix("")) for page in PAGES]
    lost = [p for p in paths if p != "docs/index" and not any(fnmatch(p, n) for n in named)]
    assert lost == [], "name them in a toctree of docs/index.md"
    plain = [name for name in named if "*" not in name]
    assert [name for name in plain if not (ROOT / f"{name}.md").is_file()] == []
    assert len(set(plain)) == len(plain), "a page stands in two places"


def test_every_public_name_has_a_page_in_the_reference():
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    parts = re.split(r"^\.\. currentmodule:: (\S+)$", text, flags=re.MULTILINE)[1:]
    shown = {
        f"{module}.{name}"
        for module, part in zip(parts[::2], parts[1::2])
        for name in re.findall(r"^   (\w+)$", part, re.MULTILINE)
    }
    wanted = set()
    rooms = ("multilabel", "review", *frameworks())
    for module in ("softfold", *(f"softfold.{each}" for each in rooms)):
        wanted |= {f"{module}.{n}" for n in import_module(module).__all__ if n != "__version__"}
    assert wanted - shown == set()


def frameworks() -> list[str]:
    for module in ("fastai", "sklearn", "torch", "lightning", "transformers"):
        pytest.importorskip(module)
    return ["fastai", "sklearn", "torch", "lightning", "transformers"]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda p: p.name)
def test_links_and_their_anchors_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_notebooks_are_kept_as_text():
    found = [*DOCS.rglob("*.ipynb"), *(ROOT / "benchmarks").rglob("*.ipynb")]
    assert [path for path in found if "_build" not in path.parts] == []
    for page in (DOCS / "tutorials").glob("*.md"):
        head = page.read_text(encoding="utf-8").partition("\n---\n")[0]
        assert "jupytext" in head and "kernelspec" in head, page.name
