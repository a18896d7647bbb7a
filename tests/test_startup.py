"""Starting up is quick because nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

HEAVY = ("torch", "fastai", "sklearn", "matplotlib", "pyarrow", "scipy")


@cache
def imported_by(code: str) -> frozenset[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return frozenset(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", [*HEAVY, "pandas", "numpy"])
def test_importing_softfold_imports_nothing_heavy(module):
    assert module not in imported_by("import softfold")


def test_help_imports_nothing_heavy():
    code = "from softfold.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert not imported_by(code) & {*HEAVY, "pandas", "numpy", "rich", "tomllib"}


def test_the_estimator_needs_nothing_of_vision():
    pytest.importorskip("sklearn")
    found = imported_by("import softfold.trainers.estimator")
    assert not {name for name in found if name.startswith(("softfold.vision", "torch"))}


def test_the_core_needs_numpy_and_pandas_only():
    code = (
        "import numpy as np, softfold\n"
        "labels = np.arange(60) % 3\n"
        "p = np.full((60, 3), 0.1); p[np.arange(60), labels] = 0.8\n"
        "softfold.estimate_noise(softfold.corrupt(labels, 0.1), p)\n"
        "softfold.soften(labels, p); softfold.rank_issues(labels, p, top=3)"
    )
    assert not imported_by(code) & {"torch", "fastai", "sklearn", "matplotlib", "scipy"}


def test_softfold_torch_needs_torch_alone():
    pytest.importorskip("torch")
    code = (
        "import softfold, torch\n"
        "from softfold.torch import ModuleTrainer, label_table, with_soft_targets\n"
        "x = torch.rand(60, 2)\n"
        "data = torch.utils.data.TensorDataset(x, (x[:, 0] > 0.5).long())\n"
        "table = label_table(data)\n"
        "trainer = ModuleTrainer(lambda: torch.nn.Linear(2, 2), epochs=5, lr=0.1)\n"
        "fit = softfold.noise_aware_cross_fit(table, trainer, n_folds=2)\n"
        "with_soft_targets(data, softfold.soften(table, fit.oof, noise=fit.noise))[0]"
    )
    assert not imported_by(code) & {"torchvision", "fastai", "sklearn", "matplotlib", "scipy"}


def test_every_public_name_loads():
    code = "import softfold\nfor name in softfold.__all__: getattr(softfold, name)"
    assert "softfold.job.running" in imported_by(code)
