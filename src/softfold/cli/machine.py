"""The command about the machine."""

from __future__ import annotations

from typing import Annotated

from typer import Option


def doctor(
    device: Annotated[str | None, Option("--device", help="cpu, cuda, cuda:1 or mps")] = None,
    cache: Annotated[bool, Option("--cache", help="show what the cache holds")] = False,
    clear: Annotated[bool, Option("--clear-cache", help="empty the cache")] = False,
    seconds: Annotated[float, Option("--seconds", help="after which no more is measured")] = 15.0,
) -> None:
    """Explain and measure what this machine is set up to do."""
    from softfold.cache import folder

    if clear:
        freed = folder.clear_cache()
        print(f"freed {freed / 1e6:,.0f} MB in {folder.cache_dir()}")
        return
    if cache:
        info = folder.cache_info()
        for entry in info["entries"]:
            about = ", ".join(f"{k} {v}" for k, v in entry["settings"].items() if k != "version")
            size = entry["bytes"] / 1e6
            print(f"{entry['kind']}: {entry['rows']:,} rows, {size:,.1f} MB ({about})")
        used, limit = info["bytes"] / 1e9, info["limit"] / 1e9
        print(f"{used:.2f} of {limit:.0f} GB in {info['dir']} (SOFTFOLD_CACHE, SOFTFOLD_CACHE_GB)")
        return
    from softfold.doctor import diagnose
    from softfold.errors import InputError

    if not seconds >= 0:
        raise InputError(f"--seconds {seconds:g}: it is 0 or more")
    for line in diagnose(device, seconds=seconds):
        print(line, flush=True)
