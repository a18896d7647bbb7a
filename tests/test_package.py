"""The wheel: it builds, says that it has types, and its core needs NumPy and pandas only."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built offline by the backend that pyproject.toml names."""
    pytest.importorskip("hatchling", reason="the wheel is built by hatchling")
    folder = tmp_path_factory.mktemp("dist")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    call = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / done.stdout.split()[-1]


def test_the_wheel_has_the_package_its_types_and_pages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "softfold/py.typed" in names and "softfold/review/static/app.js" in names
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"softfold"}
    assert wheel.stat().st_size < 2 << 20


def test_the_core_of_the_wheel_works_where_nothing_else_is_installed(wheel, tmp_path):
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'fastai', 'sklearn', 'pyarrow', 'scipy'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"sys.path.insert(0, {str(wheel)!r})\n"
        "import numpy as np, softfold\n"
        f"assert softfold.__file__.startswith({str(wheel)!r})\n"
        "labels = np.arange(60) % 3\n"
        "p = np.full((60, 3), 0.1); p[np.arange(60), labels] = 0.8\n"
        "given = softfold.corrupt(labels, 0.1, seed=0)\n"
        "softfold.estimate_noise(given, p); softfold.soften(given, p)\n"
        "softfold.rank_issues(given, p, top=3); softfold.label_quality(given, p)\n"
        "try:\n"
        "    import softfold.torch\n"
        "except softfold.InputError as error:\n"
        "    print(error)\n"
    )
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "torch is not installed: pip install 'softfold[torch]'"
