"""The shape of the package: rooms, arrows between them, cycles, longest modules and functions.

    python benchmarks/house.py [SRC]

SRC is the folder that holds `softfold`; give that of another commit to compare. A room is a folder
of the package, or a module that lies in the package itself. An arrow: one room imports another.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

HERE = Path(__file__).parent


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def cycles(arrows: set[tuple[str, str]]) -> list[str]:
    """Rooms from which a way leads back to them."""
    after: dict[str, set[str]] = {}
    for a, b in arrows:
        after.setdefault(a, set()).add(b)

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(after.get(start, ()))
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += after.get(one, ())
        return seen

    return sorted(each for each in after if each in reached(each))


def functions(file: Path) -> list[tuple[int, str]]:
    """Lines and name of each function of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [((node.end_lineno or node.lineno) - node.lineno + 1, node.name) for node in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("src", nargs="?", type=Path, default=HERE.parent / "src")
    parser.add_argument("--top", type=int, default=5)
    args = parser.parse_args()
    sys.path.insert(0, str(args.src))
    import grimp

    graph = grimp.build_graph("softfold", cache_dir=None)
    of_room: set[tuple[str, str]] = set()
    for module in graph.modules:
        of_room |= {
            (room(module), room(other)) for other in graph.find_modules_directly_imported_by(module)
        }
    of_room = {(a, b) for a, b in of_room if a != b and "softfold" not in (a, b)}
    files = sorted((args.src / "softfold").rglob("*.py"))
    rooms = {room(module) for module in graph.modules} - {"softfold"}
    lengths = sorted(
        ((len(f.read_text(encoding="utf-8").splitlines()), f) for f in files), reverse=True
    )
    longest = sorted(((n, name, f) for f in files for n, name in functions(f)), reverse=True)
    print(f"{len(files)} modules in {len(rooms)} rooms, {len(of_room)} arrows between rooms")
    print(f"rooms in a cycle: {', '.join(cycles(of_room)) or 'none'}")
    root = args.src / "softfold"
    print(
        "longest modules: "
        + ", ".join(f"{f.relative_to(root)} {n}" for n, f in lengths[: args.top])
    )
    print(
        "longest functions: "
        + ", ".join(f"{f.relative_to(root)} {name} {n}" for n, name, f in longest[: args.top])
    )


if __name__ == "__main__":
    main()
