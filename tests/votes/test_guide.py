"""The guide's code runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "annotators.md"


def test_the_code_of_the_guide_runs():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    assert names["combined"].labels.tolist() == [0, 1, 0, 1]
    assert names["frame"]["label"].tolist() == ["cat", "dog", "cat", "dog"]
