"""The ranked list of suspicious labels: for the terminal, as CSV or as Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import align_predictions
from softfold.data.delimited import csv_text, read_delimited
from softfold.data.numbers import read_numbers
from softfold.data.table import LabelTable
from softfold.decisions.applying import settled
from softfold.errors import InputError, count_of
from softfold.files import write_parquet, write_text
from softfold.issues import rank_issues
from softfold.markup import almost, printable
from softfold.noise.estimation import estimate_checked
from softfold.noise.model import NoiseModel
from softfold.report.measures import expected_wrong, percent
from softfold.runs.folder import Run

COLUMNS = ["item", "given", "suggested", "suspicion", "p_given", "p_suggested", "evidence"]


@dataclass(frozen=True)
class Listing:
    """Suspicious items, most suspicious first, and how many labels are expected to be wrong.

    frame:    columns item, given, suggested (class names), suspicion (0..1), p_given,
              p_suggested (out-of-fold probabilities of both), evidence (in words)
    items:    how many items were looked at
    expected: how many of their labels are expected to be wrong, by the noise model
    interval: its 95% interval, None where it is not known
    names:    names of classes for people, by class
    decided:  how many items are not listed since people decided on them
    """

    frame: pd.DataFrame
    items: int
    expected: float
    interval: tuple[float, float] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    decided: int = 0

    def select(
        self,
        *,
        given: str | None = None,
        suggested: str | None = None,
        threshold: float = 0.0,
        top: int | None = None,
    ) -> Listing:
        """Only the items of a class pair, of at least this suspicion, the first `top` of them.

        Raises:
            InputError: a class that no item is given as or suggested to be.
        """
        keep = self.frame["suspicion"] >= threshold
        written = {title: label for label, title in self.names.items()}
        for column, name in (("given", given), ("suggested", suggested)):
            if name is None:
                continue
            name = written.get(name, name)
            if name not in set(self.frame[column]):
                known = sorted(set(self.frame[column].dropna()))
                raise InputError(
                    f"--{column} {name!r}: no item has it; there are {', '.join(known[:12])}"
                )
            keep &= self.frame[column] == name
        frame = self.frame[keep]
        frame = (frame if top is None else frame.head(top)).reset_index(drop=True)
        return replace(self, frame=frame)

    def write(self, out: str | Path) -> Path:
        """Write the list as CSV or Parquet, by the ending of `out`; names beside the classes."""
        out = Path(out)
        if out.suffix.lower() == ".parquet":
            write_parquet(out, self.named)
        elif out.suffix.lower() == ".csv":
            write_text(out, csv_text(self.named))
        else:
            raise InputError(f"--out {out}: the name must end in .csv or .parquet")
        return out

    @property
    def named(self) -> pd.DataFrame:
        """The frame; where classes have names, with the columns given_name and suggested_name."""
        if not self.names:
            return self.frame
        more = {f"{c}_name": self.frame[c].map(self._title) for c in ("given", "suggested")}
        return self.frame.assign(**more)

    def _title(self, label: str) -> str:
        return self.names.get(label, label)

    def to_json(self, top: int = 20) -> dict[str, Any]:
        """The list as JSON holds it: what is expected in all, and the first `top` items.

        `expected_wrong` is a number of labels, `expected_wrong_interval` its 95% interval, and
        `expected_wrong_listed` how many of those that are listed, by their suspicions. What is not
        known is null.
        """
        first = self.named.head(top).astype(object)
        return {
            "items": self.items,
            "expected_wrong": None if np.isnan(self.expected) else float(self.expected),
            "expected_wrong_interval": self.interval and [float(end) for end in self.interval],
            "listed": len(self.frame),
            "expected_wrong_listed": float(self.frame["suspicion"].sum()),
            "decided": self.decided,
            "issues": first.where(first.notna(), None).to_dict("records"),
        }

    def text(self, top: int = 20, width: int | None = 100) -> str:
        """The list as lines of text for a terminal of that width; None cuts nothing."""
        head = ("item", "given", "suggested", "suspicion", "p(given)", "p(suggested)")
        rows = [
            (
                str(r.item),
                self._title(str(r.given)),
                self._title(str(r.suggested)),
                *("" if np.isnan(p) else almost(p) for p in (r.suspicion, r.p_given)),
                "" if np.isnan(r.p_suggested) else almost(r.p_suggested),
            )
            for r in self.frame.head(top).itertuples()
        ]
        limits = [max([len(h), *(len(row[i]) for row in rows)]) for i, h in enumerate(head)]
        if width is not None:
            limits[1:3] = [min(limit, 20) for limit in limits[1:3]]
            limits[0] = min(limits[0], max(12, width - sum(limits[1:]) - 2 * (len(head) - 1)))
        lines = [
            "  ".join(_fit(value, limit) for value, limit in zip(row, limits)).rstrip()
            for row in (head, *rows)
        ]
        lines += ["", self.summary()]
        return "\n".join(map(printable, lines))

    def summary(self) -> str:
        """How many labels are expected to be wrong, so that one knows where to stop."""
        if np.isnan(self.expected):
            return (
                "predictions say no more about the labels than class frequencies do: no number of "
                f"wrong ones can be given; this list has {count_of(len(self.frame), 'item')}"
            )
        share = percent(self.expected / max(1, self.items))
        line = f"about {self.expected:,.0f} of {count_of(self.items, 'label')} ({share})"
        if self.interval is not None:
            low, high = self.interval
            line += f", 95% interval {low:,.0f} to {high:,.0f} labels,"
        line += " are expected to be wrong"
        line += f"; this list has {count_of(len(self.frame), 'item')}"
        if len(self.frame) < self.items:
            line += f", of which about {self.frame['suspicion'].sum():,.0f} are"
        if self.decided:
            line += f"; {count_of(self.decided, 'item')} that people decided on not listed"
        return line


def run_issues(run_dir: str | Path) -> Listing:
    """The suspicious items of a run, without those that people decided on.

    Raises:
        InputError: no run folder, or its cross-fit has not been made.
    """
    run = Run.open(run_dir)
    wrong = expected_wrong(run)
    if not len(run.ranking):
        raise InputError(f"{run_dir}: its items have no suspicion yet (softfold crossfit first)")
    if wrong is None:
        raise InputError(
            f"{run_dir}: its predictions say no more about the labels than class frequencies do, "
            "so no label can be suspected; make others (--arch, --size, --trainer, more features)"
        )
    order = run.ranking
    frame = run.train.iloc[order][["item", "given", "suggested", "suspicion"]]
    frame = frame.reset_index(drop=True)
    noise = run.get("noise")
    transition = None if noise is None else noise.transition
    given, suggested = run.codes("given")[order], run.codes("suggested")[order]
    p = run.get("probabilities")
    _add_evidence(frame, p, order, given, suggested, transition, run.names)
    interval = None if wrong.low is None or wrong.high is None else (wrong.low, wrong.high)
    done = frame["item"].isin(settled(run.path)["item"])
    frame = frame.loc[~done, COLUMNS].reset_index(drop=True)
    return Listing(frame, len(run.train), wrong.count, interval, run.names, int(done.sum()))


def predicted_issues(table: LabelTable, predictions: str | Path | np.ndarray) -> Listing:
    """The suspicious items of a label table by someone's out-of-fold predictions.

    Args:
        table: the label table; all its items are looked at.
        predictions: probabilities (N, K), an array or a file. An array or a NumPy file (.npy)
            has the rows in the order of the table and the columns in that of its class names. In
            a Parquet or CSV file the columns are found by class name where any has one, and
            the rows by key where there is a column `item` or `path`.

    Raises:
        InputError: rows or columns that do not fit the table.
    """
    if isinstance(predictions, str | Path):
        predictions = _read_predictions(Path(predictions), table)
    # All its items, and none for training: nothing is made here that a hold-out would measure.
    whole = replace(table, valid=np.zeros(len(table), dtype=bool))
    both = align_predictions(whole, predictions)
    p = both.probabilities
    noise: NoiseModel = estimate_checked(both.labels, p)
    ranked = rank_issues(both.labels, p, noise=noise)
    order = ranked["index"].to_numpy()
    names = np.asarray(table.vocab, dtype=object)
    given, suggested = ranked["given"].to_numpy(), ranked["suggested"].to_numpy()
    frame = pd.DataFrame(
        {
            "item": table.item[order],
            "given": names[given],
            "suggested": names[suggested],
            "suspicion": ranked["suspicion"].to_numpy(),
        }
    )
    _add_evidence(frame, p, order, given, suggested, noise.transition, table.names)
    n, (low, high) = len(table), noise.rate_interval
    return Listing(frame[COLUMNS], n, n * noise.rate, (n * low, n * high), table.names)


def _add_evidence(
    frame: pd.DataFrame,
    p: np.ndarray | None,
    order: np.ndarray,
    given: np.ndarray,
    suggested: np.ndarray,
    transition: np.ndarray | None,
    names: Mapping[str, str],
) -> None:
    """What speaks for the suspicion: the predictions, and how common the mistake is."""
    n = len(frame)
    own = other = np.full(n, np.nan)
    if p is not None:
        own = np.asarray(p[order, given], dtype=np.float64)
        other = np.asarray(p[order, suggested], dtype=np.float64)
    share = np.full(n, np.nan)
    if transition is not None:
        share = transition[suggested, given]
    frame["p_given"], frame["p_suggested"] = own, other
    words = []
    for a, b, t, name, label in zip(own, other, share, frame["suggested"], frame["given"]):
        name, label = names.get(name, name), names.get(label, label)
        parts = []
        if not np.isnan(b):
            parts.append(f"predicted {name} {almost(b)}, {label} {almost(a)}")
        if not np.isnan(t):
            parts.append(f"{percent(t)} of {name} given so")
        words.append("; ".join(parts))
    frame["evidence"] = words


def _read_predictions(path: Path, table: LabelTable) -> np.ndarray | pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False, mmap_mode="r")
        except ValueError as error:
            raise InputError(f"{path}: not a NumPy array of numbers ({error})") from None
    if suffix not in (".csv", ".parquet"):
        raise InputError(f"{path}: predictions are read from .npy, .parquet and .csv files")
    cells = read_delimited(path) if suffix == ".csv" else pd.read_parquet(path)
    frame = read_numbers(cells)
    key = next((c for c in ("item", "path") if c in frame.columns), None)
    if key is not None:
        frame = frame.set_index(cells[key].astype(str)).drop(columns=key)
    named = frame.rename(columns=str)
    classes = set(table.vocab) & set(named.columns)
    if len(classes) == table.n_classes:
        more = [c for c in named.columns if c not in classes]
        if key is None and more:
            raise InputError(
                f"{path}: column {more[0]!r} is no class; rows are found by a column `item`: call "
                "it so in both files, or take it away to go by position"
            )
        return named[list(table.vocab)]
    numbers = frame.select_dtypes("number")
    if classes:  # some, not all: the refusal names what does not match
        return named[[c for c in named if c in classes or c in numbers.columns.map(str)]]
    if numbers.shape[1] != table.n_classes:
        raise InputError(
            f"{path}: it has {numbers.shape[1]:,} columns of numbers, {table.name} has "
            f"{table.n_classes:,} classes; name the columns by class"
        )
    return numbers.set_axis(list(table.vocab), axis=1)


def _fit(text: str, width: int) -> str:
    """Text cut or filled to a width; of long keys the end is kept, which tells them apart."""
    if len(text) > width:
        text = "…" + text[-(width - 1) :]
    return text.ljust(width)
