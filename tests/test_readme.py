"""What the README and the docs say can be typed: commands, options and names exist."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import softfold

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def command_lines() -> list[str]:
    lines = []
    for page in PAGES:
        for block in blocks(page, "") + blocks(page, "sh"):
            for line in block.splitlines():
                line = line.removeprefix("$ ").split("#")[0].strip()
                if line.startswith("softfold "):
                    lines.append(line)
    return sorted(set(lines))


@cache
def help_of(command: str) -> str:
    call = [sys.executable, "-m", "softfold", command, "--help"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, f"no command {command!r}"
    return done.stdout


@pytest.mark.parametrize("line", command_lines())
def test_commands_have_the_options_that_the_pages_use(line):
    words = shlex.split(line)
    text = help_of(words[1])
    for word in words[2:]:
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word.split('=')[0])}\b", text), f"{word} in {line!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_on_the_pages_uses_names_that_exist(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "softfold":
                assert hasattr(softfold, node.attr), f"softfold.{node.attr}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("softfold"):
                module = __import__(node.module, fromlist=["_"])
                for name in node.names:
                    assert hasattr(module, name.name), f"{node.module}.{name.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files_that_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_that_the_pages_name_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"`?make ([a-z]+)`?", page.read_text(encoding="utf-8")):
            if target in {"demo", "docs", "test", "lint", "install", "bench", "clean"}:
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
