"""The demo: the whole job on scikit-learn's digits, a third of them with wrong labels."""

from __future__ import annotations

from pathlib import Path

from softfold.job.running import run_settings
from softfold.runs.folder import Run
from softfold.runs.settings import Settings

SETTINGS = Settings(
    labels="digits",
    noise="30",
    trainer="finetune",
    oof_trainer="finetune",
    arch="small_cnn",
    size=16,
    epochs=6,
    folds=4,
    seeds=3,
)


def run_demo(out: str | Path, *, quiet: bool = False) -> Run:
    """Run it into the folder `out`; a demo that is there already goes on from what it finished.

    Nothing there is ever removed.

    Raises:
        InputError: the folder holds another run, or something that is no run.
    """
    resume = Run(out).has("config.json")
    return run_settings(SETTINGS, out, resume=resume, quiet=quiet)
