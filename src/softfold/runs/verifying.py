"""Whether everything in a run folder fits together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from softfold.decisions.log import LOG, check_log
from softfold.errors import InputError
from softfold.files import read_parquet
from softfold.runs import manifest
from softfold.runs.folder import FILES, Run
from softfold.tensors import check_tensors


def verify(path: str | Path) -> list[str]:
    """What does not fit in a run folder, one line each; nothing where all is well.

    Every file that softfold wrote is compared with the manifest, tensor files and decisions
    with their own checksums, and the parts of the run with one another: items, classes, folds,
    shapes.

    Raises:
        InputError: there is no run.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"{path}: no such run folder")
    if not (root / "config.json").is_file() and not (root / manifest.MANIFEST).is_file():
        raise InputError(f"{path}: not a run folder (it has no config.json)")
    found = [*_files(root)]
    if found:
        return found  # what does not read cannot be compared
    found = [*_parts(Run.at(root))]
    if not (root / manifest.MANIFEST).is_file():
        found.append(
            f"{root}: it has no {manifest.MANIFEST}: nothing tells whether files are as written"
        )
    return found


def _files(root: Path) -> Iterator[str]:
    """Files that are missing or are not what was written."""
    try:
        listed = manifest.entries(root)
    except InputError as error:
        yield str(error)
        listed = {}
    for name in listed:
        if not (root / name).is_file():
            yield f"{root / name}: missing"
        else:
            yield from _said(partial(manifest.check, root, name))
    for file in sorted(root.rglob("*.safetensors")):
        yield from _said(partial(check_tensors, file))
    for file in sorted(root.rglob("*.parquet")):
        yield from _said(partial(read_parquet, file))
    if (root / LOG).is_file():
        yield from _said(lambda: check_log(root / LOG))


def _parts(run: Run) -> Iterator[str]:
    """Parts of a run that are not of one another."""
    for part in ("settings", "items", "vocab", "names", "noise", "metrics", "history", "decisions"):
        if part in ("settings", "names") or run.has(FILES[part]):
            yield from _said(partial(getattr, run, part))
    if run.has("items.parquet") and run.has("vocab.json"):
        for part in ("probabilities", "targets"):
            yield from _said(partial(run.get, part))
        for part in ("oof", "soft_labels"):
            kept = run.get(part)
            if kept is None:
                continue
            if not np.array_equal(kept.item, run.train["item"].to_numpy(dtype=object)):
                yield f"{run.path}: {part} is not of the items of items.parquet"
            if tuple(kept.vocab) != run.vocab:
                yield f"{run.path}: {part} has other classes than vocab.json"


def _said(look: Callable[[], object]) -> list[str]:
    try:
        look()
    except InputError as error:
        return [str(error)]
    except OSError as error:
        return [f"{error.filename}: {error.strerror}"]
    return []
