"""config.json: what ran, and all that is needed to run it again."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softfold.job.job import Job


def config_of(job: Job) -> dict[str, Any]:
    """The fields of config.json, as JSON holds them."""
    return {
        "settings": job.settings.to_json(),
        "recipe": job.settings.recipe,
        "name": job.table.name,
        "kind": job.table.kind,
        "has_holdout": bool(job.table.valid.any()),
        "labels_an_item": "several" if job.table.multi_label else "one",
        "trainer": job.trainer.name,
        "trainer_settings": job.trainer.describe(),
        "oof_trainer": job.oof_trainer.name,
        "oof_trainer_settings": job.oof_trainer.describe(),
        "seeds": [job.seed(s) for s in range(job.settings.seeds)],
        "notes": [*job.notes, *job.found],
        "versions": versions(),
        "machine": machine(),
    }


def machine() -> str:
    """The system, the processor's kind and the version of Python."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def versions() -> dict[str, str]:
    """Versions of softfold and of what the figures depend on."""
    from softfold import __version__

    found = {"softfold": __version__}
    for package in ("numpy", "pandas", "torch", "fastai", "timm", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
