"""The list of suspicious labels where items have several."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from softfold import markup
from softfold.crossfit.noise_aware import noise_aware_cross_fit
from softfold.data.delimited import csv_text
from softfold.decisions.applying import settled
from softfold.errors import InputError
from softfold.files import write_parquet, write_text
from softfold.multilabel.noise import MultiLabelNoise
from softfold.multilabel.ranking import rank_issues
from softfold.progress import Progress
from softfold.runs.folder import Run
from softfold.runs.settings import Settings
from softfold.runs.several import SeveralRun
from softfold.trainers import create_trainer, default_trainers


@dataclass(frozen=True)
class SeveralListing:
    """Items and classes whose label is suspicious.

    Attributes:
        frame: item, class, given (1: the item was given the class), suggested, suspicion; the most
            suspicious first.
        noise: the noise model of each class.
        n_items: how many items were looked at.
    """

    frame: pd.DataFrame
    noise: MultiLabelNoise
    n_items: int

    def above(self, threshold: float) -> SeveralListing:
        """Those of at least this suspicion."""
        return replace(self, frame=self.frame[self.frame["suspicion"] >= threshold])

    def write(self, path: str | Path) -> None:
        """Write the whole list to a .csv or .parquet file."""
        if Path(path).suffix.lower() == ".parquet":
            write_parquet(path, self.frame.reset_index(drop=True))
        else:
            write_text(path, csv_text(self.frame))

    def text(self, top: int) -> str:
        """The first ones as lines for a terminal."""
        lines = [f"{self.n_items:,} items: {self.noise!r}"]
        for each in self.frame.head(top).to_dict("records"):
            what = "given, and perhaps not there" if each["given"] else "perhaps missing"
            share = markup.almost(each["suspicion"])
            lines.append(f"{each['item']}: {each['class']} {what} ({share})")
        return "\n".join(map(markup.printable, lines))

    def to_json(self, top: int) -> dict[str, Any]:
        """What is known of classes, and the first ones, as JSON holds them."""
        return {
            "items": self.n_items,
            "classes": json.loads(self.noise.frame().to_json(orient="records")),
            "issues": json.loads(self.frame.head(top).to_json(orient="records")),
        }


def several_issues(settings: Settings, *, quiet: bool = False) -> SeveralListing:
    """Read a table of items with several labels, cross-fit it class by class, and rank its labels.

    Raises:
        InputError: no such table, or settings that do not go with it.
    """
    for name in ("features", "noise", "data"):
        if getattr(settings, name) is not None:
            raise InputError(f"--label-delim does not go with --{name}")
    progress = Progress(quiet=quiet)
    with progress.step("load", "reading the labels"):
        table = settings.read_labels(settings.on_error)  # type: ignore[arg-type]
    name = settings.oof_trainer or default_trainers(table, device=settings.device)[1]
    how = {k: getattr(settings, k) for k in ("arch", "weights", "size", "device")}
    trainer = create_trainer(name, **how)
    with progress.step("crossfit", "out-of-fold predictions") as advance:
        made = noise_aware_cross_fit(
            table, trainer, n_folds=settings.folds, seed=settings.seed, progress=advance
        )
    noise: Any = made.noise  # a MultiLabelNoise, of such a table
    ranked = rank_issues(table, made.oof, noise=noise)
    return SeveralListing(ranked.drop(columns="index"), noise, len(table.train))


def several_of_run(path: str | Path) -> SeveralListing | None:
    """The list of a run whose items have several labels; None where they have one.

    Items and classes that people decided on are not in it.
    """
    run = Run.open(path, several=True)
    if not isinstance(run, SeveralRun):
        return None
    issues, done = run.issues, settled(run.path)
    if "class" in done:
        pairs = [pd.MultiIndex.from_frame(each[["item", "class"]]) for each in (issues, done)]
        issues = issues[~pairs[0].isin(pairs[1])]
    return SeveralListing(issues, run.noise, len(run.train))
