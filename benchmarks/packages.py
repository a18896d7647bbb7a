"""What each extra brings: the wheel in empty environments, and against the oldest versions allowed.

    python benchmarks/packages.py                       # every extra, then the oldest versions
    python benchmarks/packages.py --work DIR core torch # some of them; DIR keeps finished rows

Builds sdist and wheel (the wheel is built from the sdist), makes an empty environment an extra,
installs the wheel there with uv, and runs what that extra promises. Seconds are those of uv, with
packages that it has in its cache; MB are what the environment holds afterwards. `oldest` installs
the lowest versions that pyproject.toml allows (`--resolution lowest-direct`) and runs tests of the
core, of softfold.sklearn and of softfold.torch against the installed wheel.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results" / "packages.md"

CORE = """
import sys
import numpy as np, softfold
labels = np.arange(300) % 3
p = np.full((300, 3), 0.1); p[np.arange(300), labels] = 0.8
given = softfold.corrupt(labels, 0.2, seed=0)
softfold.estimate_noise(given, p)
softfold.soften(given, p)
found = softfold.rank_issues(given, p, top=60)
assert (given != labels)[found["index"]].mean() > 0.9
for name in ("torch", "sklearn", "fastai", "pyarrow"):
    assert name not in sys.modules, name
try:
    softfold.cross_fit(softfold.read_table(FRAME), "probe")
except softfold.InputError as error:
    assert "pip install" in str(error), error
else:
    raise AssertionError("the probe needs torch")
"""

FRAME = """
import pandas as pd, numpy as np
rng = np.random.default_rng(0)
truth = np.arange(300) % 3
FRAME = pd.DataFrame(rng.normal(size=(300, 4)) + 3 * np.eye(4)[truth], columns=list("abcd"))
FRAME["label"] = truth
"""

SKLEARN = """
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from softfold import corrupt
from softfold.sklearn import SoftLabelClassifier
x, y = load_digits(return_X_y=True)
x = x / 16
given = corrupt(y, 0.4, kind="pair", seed=0)
plain = LogisticRegression(C=0.1, max_iter=1000)
model = SoftLabelClassifier(plain, random_state=0).fit(x[:1200], given[:1200])
soft = model.score(x[1200:], y[1200:])
hard = plain.fit(x[:1200], given[:1200]).score(x[1200:], y[1200:])
assert soft > hard + 0.1, (soft, hard)
"""

TORCH = """
import sys, torch, softfold
from softfold.torch import ModuleTrainer, label_table, with_soft_targets
x = torch.rand(90, 2)
data = torch.utils.data.TensorDataset(x, (x[:, 0] > 0.5).long())
table = label_table(data)
trainer = ModuleTrainer(lambda: torch.nn.Linear(2, 2), epochs=5, lr=0.1)
fit = softfold.noise_aware_cross_fit(table, trainer, n_folds=3)
with_soft_targets(data, softfold.soften(table, fit.oof, noise=fit.noise))[0]
"""

PICTURES = """
import io, sys
import numpy as np, softfold
from PIL import Image
rng = np.random.default_rng(0)
def picture(colour):
    pixels = rng.integers(0, 80, (24, 24, 3)); pixels[..., colour] += 120
    out = io.BytesIO(); Image.fromarray(pixels.astype("uint8")).save(out, "PNG")
    return out.getvalue()
labels = np.arange(60) % 3
table = softfold.LabelTable(
    np.array([str(i) for i in range(60)], dtype=object), labels, ("red", "green", "blue"),
    np.zeros(60, bool), data=softfold.Images(encoded=[picture(k) for k in labels]))
fit = softfold.noise_aware_cross_fit(table, "probe", n_folds=3)
assert (fit.oof.probabilities.argmax(1) == labels).mean() > 0.9
for name in ("fastai", "sklearn"):
    assert name not in sys.modules, name
"""

RAY = """
import numpy as np, softfold
labels = np.arange(60) % 2
table = softfold.LabelTable(
    np.array([str(i) for i in range(60)], dtype=object), labels, ("a", "b"),
    np.zeros(60, bool), data=labels[:, None] + np.random.default_rng(0).normal(0, 0.1, (60, 1)))
def means(table, targets):
    centres = np.array([(targets[:, [k]] * table.data).sum() / targets[:, k].sum() for k in (0, 1)])
    def predict(table):
        odds = -20 * (table.data - centres) ** 2
        return np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    return predict
oof = softfold.cross_fit(table, means, n_folds=2, engine="ray")
assert (oof.probabilities.argmax(1) == labels).all()
"""

TEXT = """
import os
os.environ["HF_HUB_OFFLINE"] = "1"
import sentence_transformers, softfold, pandas as pd
"""

FILES = (
    FRAME
    + """
FRAME.to_csv("labels.csv", index=False)
p = np.full((300, 3), 0.1); p[np.arange(300), truth] = 0.8
np.save("predictions.npy", p)
"""
)
"""Two files for the command line: a table of numbers, and predictions of its rows."""


@dataclass(frozen=True)
class Check:
    """What must work: Python code, or a command line of softfold."""

    title: str
    code: str = ""
    command: tuple[str, ...] = ()


HELP = Check("`softfold --help`", command=("--help",))
ISSUES = Check(
    "`softfold issues labels.csv --pred-probs`",
    command=("issues", "labels.csv", "--pred-probs", "predictions.npy"),
)
PROMISES: dict[str, tuple[tuple[str, ...], list[Check]]] = {
    "core": ((), [Check("noise, soft labels, issues, without torch", FRAME + CORE)]),
    "cli": (("cli",), [HELP, ISSUES]),
    "sklearn": (("sklearn",), [Check("`SoftLabelClassifier`, a gain on digits", SKLEARN)]),
    "cli,sklearn": (
        ("cli", "sklearn"),
        [
            ISSUES,
            Check(
                "`softfold run labels.csv`, report, predict",
                command=("run", "labels.csv", "--out", "run", "--seeds", "1", "--quiet"),
            ),
        ],
    ),
    "torch": (
        ("torch",),
        [
            Check("`softfold.torch`, a net of one's own", TORCH),
            Check("the probe on pictures, without fastai", PICTURES),
        ],
    ),
    "ray": (("ray",), [Check("folds on a Ray of this machine", RAY)]),
    "text": (("text",), [Check("sentence-transformers imports", TEXT), ISSUES]),
    "fastai": (
        ("fastai",),
        [Check("`softfold demo`", command=("demo", "--quiet", "--out", "demo"))],
    ),
}

OLDEST: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "oldest": (
        ("cli", "sklearn"),
        [
            "tests/align",
            "tests/noise/test_estimation.py",
            "tests/noise/test_scoring.py",
            "tests/data/test_folds.py",
            "tests/data/test_columns.py",
            "tests/data/test_delimited.py",
            "tests/test_evaluation.py",
            "tests/test_issues.py",
            "tests/test_soft_labels.py",
            "tests/test_softening.py",
            "tests/sklearn",
            "tests/trainers/test_estimator.py",
            "tests/trainers/test_encoding.py",
        ],
    ),
    "oldest-torch": (
        ("torch",),
        ["tests/torch", "tests/trainers/probe/test_softmax_regression.py"],
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("extras", nargs="*", default=[*PROMISES, *OLDEST])
    parser.add_argument("--work", type=Path, help="folder of the environments (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        work = options.work or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        wheel, built = build(work / "dist")
        for name in options.extras:
            row = (
                measure(name, wheel, work)
                if name in PROMISES
                else against_oldest(name, wheel, work)
            )
            print(row, flush=True)
            (work / f"{name}.row").write_text(row + "\n")
        extras, oldest = ("".join(finished(work, names)) for names in (PROMISES, OLDEST))
    RESULTS.write_text(
        "# The packages\n\n"
        f"Made by `python benchmarks/packages.py`: {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores that other work shared. "
        "Seconds of installing are those of uv with packages in its cache; CUDA is what torch "
        f"brings on Linux. {built} Rows that are not here were not run.\n\n"
        "| `pip install softfold[...]` | packages | seconds | MB | of them CUDA | what works |\n"
        f"| --- | --- | --- | --- | --- | --- |\n{extras}\n"
        "The oldest versions that pyproject.toml allows, tests against the installed wheel:\n\n"
        f"| versions | tests |\n| --- | --- |\n{oldest}"
    )


def finished(work: Path, names: Iterable[str]) -> list[str]:
    """The rows that are kept, in the order of the names."""
    files = [work / f"{name}.row" for name in names]
    return [file.read_text() for file in files if file.exists()]


def build(dist: Path) -> tuple[Path, str]:
    """The wheel, built from the sdist, and a line on both."""
    shutil.rmtree(dist, ignore_errors=True)
    run([uv(), "build", "--quiet", "--out-dir", str(dist), str(ROOT)])
    wheel, sdist = next(dist.glob("*.whl")), next(dist.glob("*.tar.gz"))
    sizes = [f"{file.stat().st_size / 1e3:,.0f} kB" for file in (wheel, sdist)]
    return wheel, f"The wheel has {sizes[0]}, the sdist {sizes[1]}."


def measure(name: str, wheel: Path, work: Path) -> str:
    """A row of the table: what an extra takes and what works with it."""
    extras, checks = PROMISES[name]
    python = environment(work / name.replace(",", "-"))
    asked = f"softfold[{','.join(extras)}] @ {wheel.as_uri()}"
    started = time.perf_counter()
    run([uv(), "pip", "install", "--quiet", "--python", str(python), asked])
    seconds = time.perf_counter() - started
    run([uv(), "pip", "check", "--python", str(python)])
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    megabytes, cuda = size_of(site)
    packages = len(list(site.glob("*.dist-info")))
    found = [f"{check.title}: {works(check, python)}" for check in checks]
    said = f"`[{name}]`" if extras else "none, the core"
    row = [said, str(packages), f"{seconds:.1f}", f"{megabytes:,.0f}", f"{cuda:,.0f}"]
    line = "| " + " | ".join([*row, "; ".join(found)]) + " |"
    shutil.rmtree(python.parents[1])
    return line


def against_oldest(name: str, wheel: Path, work: Path) -> str:
    """A row: the lowest versions that are allowed, and what the tests say."""
    extras, tests = OLDEST[name]
    python = environment(work / name)
    install = [uv(), "pip", "install", "--quiet", "--python", str(python)]
    asked = [word for extra in extras for word in ("--extra", extra)]
    lowest = ["--resolution", "lowest-direct", "--requirements", str(ROOT / "pyproject.toml")]
    run([*install, *lowest, *asked])
    frozen = run([uv(), "pip", "freeze", "--python", str(python)]).splitlines()
    run([*install, "pytest>=8", "hypothesis>=6", *frozen])
    run([*install, "--no-deps", str(wheel)])
    shown = ("numpy", "pandas", "scikit-learn", "torch", "timm", "pyarrow", "typer")
    versions = [line.replace("==", " ") for line in frozen if line.split("==")[0] in shown]
    # only these tests: folders of others have the names of packages that are not installed here
    folder = work / f"{name}-tests"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for file in (ROOT / "tests").glob("*.py"):
        if not file.name.startswith("test_"):
            shutil.copy(file, folder / "tests")
    for test in tests:
        (folder / test).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / test).is_dir() else shutil.copy
        copy(ROOT / test, folder / test)
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    environ.pop("PYTHONPATH", None)
    call = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", *tests]
    call += ["--import-mode=importlib", "--tb=short"]
    done = subprocess.run(call, cwd=folder, env=environ, capture_output=True, text=True)
    (work / f"{name}.log").write_text(done.stdout + done.stderr)
    last = [line for line in done.stdout.splitlines() if line.strip()][-1]
    return f"| {', '.join(versions)} | {last.strip('= ')} |"


def environment(folder: Path) -> Path:
    """The Python of a new, empty environment."""
    shutil.rmtree(folder, ignore_errors=True)
    run([uv(), "venv", "--quiet", "--python", sys.executable, str(folder)])
    return folder / "bin" / "python"


def works(check: Check, python: Path) -> str:
    """Whether it does what it should, in a folder of its own, and in how many seconds."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        environ["SOFTFOLD_CACHE"] = folder + "/cache"
        how = {"cwd": folder, "env": environ, "capture_output": True, "text": True}
        if check.command:
            subprocess.run([str(python), "-c", FILES], **how, check=True)
            call = [str(python.with_name("softfold")), *check.command]
        else:
            call = [str(python), "-W", "ignore", "-c", check.code]
        started = time.perf_counter()
        done = subprocess.run(call, **how)
        seconds = time.perf_counter() - started
    if done.returncode:
        print(f"{check.title}: {done.stdout}\n{done.stderr}", file=sys.stderr)
        last = (done.stderr.strip().splitlines() or ["no words"])[-1]
        return f"FAILS ({last[:200]})"
    return f"yes, {seconds:.1f} s"


def size_of(site: Path) -> tuple[float, float]:
    """MB of installed packages, and of them those of CUDA."""
    every = cuda = 0
    for file in site.rglob("*"):
        if file.is_file() and not file.is_symlink():
            size = file.stat().st_size
            every += size
            first = file.relative_to(site).parts[0].lower()
            cuda += size if first.startswith(("nvidia", "triton", "cuda")) else 0
    return every / 1e6, cuda / 1e6


def uv() -> str:
    """uv, beside this Python or on the path."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        sys.exit("uv is needed: pip install uv")
    return found


def run(call: list[str]) -> str:
    """The output of a command; what it says is shown where it fails."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(call, capture_output=True, text=True, env=environ)
    if done.returncode:
        sys.exit(f"{' '.join(call)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
