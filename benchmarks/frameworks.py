"""Every framework on the same wrong labels: accuracy with given and with soft labels, and lines.

    python benchmarks/frameworks.py             # those of 3 seeds that are not kept yet
    python benchmarks/frameworks.py --seed 2    # one, anew; the table is made of all that are kept

The code is that of docs/frameworks.md, run as it stands there but for its seed: digits, 40% of each
class labelled as the next one, 1,200 training items, measured on 597 with right labels. Lines of
code are those of softfold on that page: without imports, and without the user's own data, model
and loop. Every (framework, seed) is measured once on given labels by the page's own functions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from scipy import stats

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "frameworks.md"
RESULTS = HERE / "results" / "frameworks.md"
KEPT = RESULTS.with_suffix(".json")
SEEDS = 3

Names = dict[str, Any]


def sklearn(page: Names) -> tuple[float, float]:
    test = page["x_test"], page["y_test"]
    return page["plain"].score(*test), page["soft"].score(*test)


def fastai(page: Names) -> tuple[float, float]:
    plain = page["make_learner"]()
    with plain.no_bar(), plain.no_logging():
        plain.fit_one_cycle(10, 0.01)
    return float(plain.validate()[1]), float(page["learn"].validate()[1])


def pytorch(page: Names) -> tuple[float, float]:
    plain = page["train"](page["train_set"])
    return page["accuracy"](plain), page["accuracy"](page["net"])


def lightning(page: Names) -> tuple[float, float]:
    plain = page["Digits"]()
    trainer = page["lightning"].Trainer(max_epochs=10, **page["quiet"])
    trainer.fit(plain, page["DigitsData"](page["train_set"]))
    return page["accuracy"](plain), page["accuracy"](page["module"])


def transformers(page: Names) -> tuple[float, float]:
    test = page["Images"](page["x_test"], page["y_test"])
    plain = page["finetune"](page["images"]).predict(test).predictions.argmax(1)
    return (plain == page["y_test"]).mean(), (page["guesses"] == page["y_test"]).mean()


FRAMEWORKS: dict[str, tuple[str, str, Callable[[Names], tuple[float, float]]]] = {
    "scikit-learn": ("scikit-learn", "SoftLabelClassifier(", sklearn),
    "fastai": ("fastai", "SoftLabelCallback(", fastai),
    "PyTorch": ("torch", "net = train(with_soft_targets(", pytorch),
    "Lightning": ("lightning", "DigitsData(with_soft_targets(", lightning),
    "transformers": ("transformers", "finetune(with_soft_targets(", transformers),
}
"""By name: the package, what its block of softfold's lines has in it, and how it is measured."""


def blocks() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_page(seed: int) -> Names:
    """The names that the page's blocks leave behind, with another seed."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    names: Names = {"__name__": "page"}
    for block in blocks():
        block = re.sub(r"\b(seed|random_state)=0\b", rf"\g<1>={seed}", block)
        exec(compile(block, PAGE.name, "exec"), names)
    return names


def lines_of(mark: str) -> int:
    """Lines of softfold in the page's block with that mark."""
    block = next(block for block in blocks() if mark in block)
    lines = [
        line for line in block.splitlines() if line and not line.startswith(("from", "import"))
    ]
    if mark == "SoftLabelClassifier(":  # beside it the plain classifier and the comparison
        return sum(mark in line for line in lines)
    return len(lines)


def measured(seed: int) -> dict[str, tuple[float, float]]:
    """Accuracy with given and with soft labels, by framework."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            page = run_page(seed)
            found = {name: measure(page) for name, (_, _, measure) in FRAMEWORKS.items()}
        finally:
            os.chdir(before)
    return {name: (float(given), float(soft)) for name, (given, soft) in found.items()}


def lacking(kept: dict[str, Any]) -> list[int]:
    """The seeds that were not measured yet."""
    return [seed for seed in range(SEEDS) if str(seed) not in kept]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, action="append", help="which seeds (0, 1, 2)")
    warnings.simplefilter("ignore")
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    for seed in parser.parse_args().seed or lacking(kept):
        made = measured(seed)
        print(seed, made, flush=True)
        kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
        KEPT.write_text(json.dumps(kept | {str(seed): made}, indent=1, sort_keys=True) + "\n")
    kept = json.loads(KEPT.read_text())
    n_seeds = len(kept)
    if n_seeds < 2:
        return  # one seed has no interval
    found = {name: [kept[seed][name] for seed in sorted(kept)] for name in FRAMEWORKS}
    versions = ", ".join(f"{name} {version(name)}" for name, _, _ in FRAMEWORKS.values())
    rows = []
    for name, (_, mark, _) in FRAMEWORKS.items():
        given, soft = 100 * np.array(found[name], float).T
        gain = soft - given
        half = stats.t.ppf(0.975, n_seeds - 1) * gain.std(ddof=1) / n_seeds**0.5
        rows.append(
            f"| {name} | {given.mean():.2f} | {soft.mean():.2f} | {gain.mean():+.2f} "
            f"({gain.mean() - half:+.2f} to {gain.mean() + half:+.2f}) | {lines_of(mark)} |"
        )
    text = (
        "# Every framework on the same wrong labels\n\n"
        f"Made by `python benchmarks/frameworks.py`: {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}. The code of docs/frameworks.md: digits, "
        "40% of each class labelled as the next one. Percent right of 597 items with right labels; "
        f"{n_seeds} seeds, which draw noise, folds and weights; 95% interval over seeds.\n\n"
        "| framework | given labels | soft labels | gain, points | lines of softfold |\n"
        "| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
