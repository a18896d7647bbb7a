"""What a review asks: which of a few labels is right, of an item or of an item and a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softfold.align import find
from softfold.decisions.questions import NO_YES, question_keys
from softfold.runs.folder import Run
from softfold.runs.several import SeveralRun

MOST_ASKED = 500_000
"""Only so many of the most suspicious labels of items with several are asked about."""


@dataclass(frozen=True)
class Questions:
    """N questions, a row each.

    Attributes:
        key: (N,) objects, what the log of decisions calls them.
        item: (N,) rows of the run's training items.
        given, suggested: (N,) int, positions in `vocab`; -1 where nothing is suggested.
        suspicion: (N,) float64, 0 to 1.
        order: (N,) rows, most suspicious first.
        vocab: the K labels to choose from.
        titles: what people read for them.
        classes: what people read for the classes that are asked about; none where items have
            one label.
        of_class: (N,) int, the class that is asked about, 0 where there is none.
        probabilities: (N, K) float32 of each label, by models that never saw the item; or None.
    """

    key: np.ndarray
    item: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    suspicion: np.ndarray
    order: np.ndarray
    vocab: tuple[str, ...]
    titles: tuple[str, ...]
    classes: tuple[str, ...]
    of_class: np.ndarray
    probabilities: np.ndarray | None


def questions_of(run: Run) -> Questions:
    """Which label an item has; where it may have several, whether it has each class."""
    return _of_each_class(run) if isinstance(run, SeveralRun) else _of_items(run)


def _of_items(run: Run) -> Questions:
    rows = np.arange(len(run.train))
    return Questions(
        key=run.train["item"].to_numpy(dtype=object),
        item=rows,
        given=run.codes("given"),
        suggested=run.codes("suggested"),
        suspicion=np.nan_to_num(run.suspicion).astype(np.float64),
        order=run.ranking,
        vocab=run.vocab,
        titles=run.titles,
        classes=(),
        of_class=np.zeros(len(rows), dtype=np.int64),
        probabilities=run.get("probabilities"),
    )


def _of_each_class(run: SeveralRun) -> Questions:
    issues = run.issues.head(MOST_ASKED)
    item = find(run.train["item"].to_numpy(dtype=object), issues["item"])
    of_class = find(run.vocab, issues["class"])
    has = run.probabilities[item, of_class]
    return Questions(
        key=question_keys(issues["item"], issues["class"]),
        item=item,
        given=issues["given"].to_numpy(np.int64),
        suggested=issues["suggested"].to_numpy(np.int64),
        suspicion=np.nan_to_num(issues["suspicion"].to_numpy(np.float64)),
        order=np.arange(len(issues)),
        vocab=NO_YES,
        titles=NO_YES,
        classes=run.titles,
        of_class=of_class,
        probabilities=np.stack([1 - has, has], axis=1),
    )
