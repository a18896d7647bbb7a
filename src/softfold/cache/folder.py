"""The cache's folder: where it is, what it holds, and how it stays below its limit.

What is in it is written and read by `softfold.cache.rows`: pairs of `ID.rows.npy` and
`ID.keys` below KIND/SETTINGS. The least recently used pairs go when the cache is full. The folder
is `SOFTFOLD_CACHE`, else the user's cache folder; `SOFTFOLD_CACHE_GB` bounds it (20).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from softfold.errors import require

RECORD = 20
"""Bytes of `ID.keys` a row."""

_DEFAULT_LIMIT_GB = 20.0
_STALE_SECONDS = 24 * 3600


def cache_dir() -> Path:
    """The cache's folder (it need not exist yet)."""
    if os.environ.get("SOFTFOLD_CACHE"):
        return Path(os.environ["SOFTFOLD_CACHE"]).expanduser()
    platformdirs = require("platformdirs", extra="cli")
    return platformdirs.user_cache_path("softfold", appauthor=False)


def cache_limit() -> int:
    """How many bytes the cache may hold."""
    try:
        return int(float(os.environ.get("SOFTFOLD_CACHE_GB", _DEFAULT_LIMIT_GB)) * 1e9)
    except ValueError:
        return int(_DEFAULT_LIMIT_GB * 1e9)


def cache_info() -> dict[str, Any]:
    """What the cache holds: folder, bytes, limit, and one entry a kind and settings."""
    entries = []
    for folder in _folders():
        files = [*folder.glob("*.npy")]
        described = folder / "settings.json"
        entries.append(
            {
                "kind": folder.parent.name,
                "settings": json.loads(described.read_text()) if described.is_file() else {},
                "rows": sum(_n_rows(file) for file in folder.glob("*.keys")),
                "bytes": sum(size_of(file) for file in files),
                "last_used": max((_used(file) for file in files), default=0.0),
            }
        )
    total = sum(entry["bytes"] for entry in entries)
    return {"dir": str(cache_dir()), "bytes": total, "limit": cache_limit(), "entries": entries}


def clear_cache() -> int:
    """Delete everything in the cache; gives the bytes freed."""
    freed = 0
    for folder in _folders():
        for file in folder.iterdir():
            freed += size_of(file)
            file.unlink(missing_ok=True)
        for empty in (folder, folder.parent):
            try:
                empty.rmdir()
            except OSError:
                break
    return freed


def _folders() -> list[Path]:
    root = cache_dir()
    return [f for f in sorted(root.glob("*/*")) if f.is_dir()] if root.is_dir() else []


def _n_rows(key_file: Path) -> int:
    return size_of(key_file) // RECORD


def size_of(file: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def touch(file: Path) -> None:
    """Mark a file as used now."""
    try:
        os.utime(file)
    except OSError:
        pass


def _keys_of(rows_file: Path) -> Path:
    return rows_file.with_name(rows_file.name.replace(".rows.npy", ".keys"))


def make_room(wanted: int) -> None:
    """Delete what crashes left behind, then the least recently used pairs, to fit the limit."""
    now = time.time()
    pairs: list[tuple[float, int, Path]] = []
    for folder in _folders():
        for file in folder.iterdir():
            if file.name.endswith(".tmp"):
                if now - _used(file) > _STALE_SECONDS:
                    file.unlink(missing_ok=True)
            elif file.name.endswith(".rows.npy"):
                keys = _keys_of(file)
                if not keys.is_file() and now - _used(file) > _STALE_SECONDS:
                    file.unlink(missing_ok=True)
                else:
                    pairs.append((_used(file), size_of(file), file))
    room = cache_limit() - wanted - sum(size for _, size, _ in pairs)
    for _, size, file in sorted(pairs):
        if room >= 0:
            break
        _keys_of(file).unlink(missing_ok=True)
        try:
            file.unlink(missing_ok=True)
            room += size
        except OSError:  # a file that is mapped cannot be deleted on Windows
            pass
