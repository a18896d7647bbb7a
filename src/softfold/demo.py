"""The demo: the whole job on scikit-learn's digits, with labels wrong as people's are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from softfold.job.running import run_settings
from softfold.runs.folder import Run
from softfold.runs.settings import Settings

NOISE = "pair-40"
"""40% of each class labelled as the next one: noise with structure, as people's has."""

SETTINGS = Settings(
    labels="digits",
    noise=NOISE,
    trainer="finetune",
    oof_trainer="finetune",
    arch="small_cnn",
    size=16,
    epochs=6,
    folds=3,
    seeds=3,
)


def run_demo(out: str | Path, *, noise: str = NOISE, quiet: bool = False) -> Run:
    """Run it into the folder `out`; a demo that is there already goes on from what it finished.

    Nothing there is ever removed.

    Args:
        out: the run folder.
        noise: which wrong labels, as `load_dataset("digits")` takes it: "30" is 30% to any class.
        quiet: print no progress.

    Raises:
        InputError: the folder holds another run, or something that is no run; no such noise.
    """
    resume = Run(out).has("config.json")
    return run_settings(replace(SETTINGS, noise=noise), out, resume=resume, quiet=quiet)


def found_line(run: Run) -> str | None:
    """How many of the wrong labels the top of the list holds; None where nothing is wrong."""
    wrong = run.codes("truth") != run.codes("given")
    n = int(wrong.sum())
    if not n:
        return None
    found = int(np.count_nonzero(wrong[run.ranking[:n]]))
    return f"{n:,} labels are wrong: {found:,} of them are among the {n:,} most suspicious"
