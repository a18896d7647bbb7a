"""Mutated tables, images, runs, requests and predictions: what goes wrong, counted.

python benchmarks/fuzz.py [N [NAME ...]]   # N tables (10,000), of other kinds in proportion

Each file of tests/fuzz runs in a process of its own, so that memory is its own too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
FILES = ("tables", "images", "runs", "requests", "probabilities")
COLUMNS = ("kind", "cases", "answered", "refused", "tracebacks", "shifts", "hangs")

ABOUT = """\
A case is answered, and the answer is checked, or it is refused with one line. Shifts are labels
beside other items, rewritten labels, and answers that are none. Memory is what the process of a
file of tests grew by. A case of runs is a run with one or two damaged files, on which every command
is tried. What is done to each kind is in `tests/fuzz`.
"""


def tally(name: str, n: int) -> dict:
    """What became of the cases of one file of tests."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tally.json"
        asked = {"SOFTFOLD_FUZZ": str(n), "SOFTFOLD_FUZZ_TALLY": str(file)}
        command = [sys.executable, "-m", "pytest", "-q", f"tests/fuzz/test_{name}.py"]
        done = subprocess.run(command, cwd=HERE.parent, env={**os.environ, **asked})
        if done.returncode or not file.exists():
            sys.exit(f"the tests of {name} did not end well")
        return json.loads(file.read_text())


def row(kind: str, found: dict, memory: int) -> str:
    cells = [kind, *(f"{found[column]:,}" for column in COLUMNS[1:]), f"{memory:,}"]
    return f"| {' | '.join([*cells, format(found['seconds'], '.0f')])} |"


def page(kept: dict) -> str:
    """The table of what was tried so far."""
    head = [*COLUMNS, "memory, MiB", "seconds"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for name in FILES:
        told = dict(kept.get(name, {}))
        memory = told.pop("memory", {"peak": 0, "before": 0})
        grown = (memory["peak"] - memory["before"]) >> 20
        lines += [row(kind, found, grown) for kind, found in told.items()]
    versions = ", ".join(f"{p} {version(p)}" for p in ("softfold", "numpy", "pandas", "Pillow"))
    return (
        f"# Fuzzing\n\nMade by `python benchmarks/fuzz.py`: {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}.\n\n" + "\n".join(lines) + f"\n\n{ABOUT}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("n", type=int, nargs="?", default=10_000)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FILES)}; all by default")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    file = args.out / "fuzz.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    wrong = 0
    for name in args.names or FILES:
        told = kept[name] = tally(name, args.n)
        for found in told.values():
            for problem in found.pop("problems", []):
                print(problem, file=sys.stderr)
            wrong += sum(found.get(what, 0) for what in ("tracebacks", "shifts", "hangs"))
        file.write_text(json.dumps(kept, indent=1) + "\n")
    text = page(kept)
    print(text)
    (args.out / "fuzz.md").write_text(text, encoding="utf-8")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
