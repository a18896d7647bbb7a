"""The audit: items drawn at random, checked without hints, and what they say about all labels.

Only decisions made blind, on items drawn at random, count for the rate of wrong labels. What people
decide about the most suspicious items says how good the suspicion is there, never the rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from softfold.align import find
from softfold.decisions.applying import decided_before, has_decisions, read_decisions
from softfold.decisions.log import LOG, DecisionLog
from softfold.decisions.opinions import replay, standing
from softfold.errors import InputError, count_of
from softfold.noise.audit import audited_rate, wanted_checks

Decisions: TypeAlias = str | Path | pd.DataFrame

DRAWN = 100
"""Items that an audit draws unless asked otherwise."""

WIDTH = 0.04
"""Width of the interval to aim at unless asked otherwise: plus or minus 2 points."""

# Keeps the order apart from every other draw of the same seed, such as noise made to order.
_STREAM = int.from_bytes(b"audit", "big")


@dataclass(frozen=True)
class AuditState:
    """How far an audit has come and what it says.

    drawn, items:       items drawn, and training items in all
    checked:            items whose truth is known by now: those that count
    wrong:              how many of them have a wrong label, those of no class included
    none_of_these:      how many of them belong to no class
    unsure, conflict, excluded:  drawn items that count neither way
    rate, low, high:    share of wrong labels among all items with its 95% interval (fractions of
                        1), None before two items are checked
    guessed:            mean suspicion of all items: what was thought before
    width, more:        how many more items to check for an interval of this width (high - low)
    before:             how many were checked before the run was made, which has their labels
                        corrected: wrong counts these as first given, the rate does not
    left:               drawn items that nobody has looked at in the audit
    later:              drawn items decided before the run was made, of which nobody is asked and
                        which count once those drawn before them were looked at
    """

    drawn: int
    items: int
    checked: int
    wrong: int
    none_of_these: int
    unsure: int
    conflict: int
    excluded: int
    guessed: float
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    width: float = WIDTH
    more: int | None = None
    before: int = 0
    left: int = 0
    later: int = 0

    def text(self) -> str:
        """What the audit says, in a sentence or two; empty before two items are checked."""
        if self.rate is None or self.low is None or self.high is None:
            return ""
        parts = [f"{self.wrong:,} wrong"]
        if self.none_of_these:
            parts[0] += f" ({self.none_of_these:,} of no class)"
        if self.before:
            parts[0] += (
                f" as first given ({self.before:,} checked before this run, corrected in it)"
            )
        for number, word in ((self.unsure, "unsure"), (self.conflict, "in conflict")):
            if number:
                parts.append(f"{number:,} {word}, not counted")
        if self.excluded:
            parts.append(f"{self.excluded:,} excluded, not counted")
        return (
            f"{100 * self.rate:.1f}% of the labels are wrong (95% interval {100 * self.low:.1f}% "
            f"to {100 * self.high:.1f}%), by {count_of(self.checked, 'item')} drawn at random and "
            f"checked: {'; '.join(parts)}."
        ) + ("" if self.before else f" The guess before was {100 * self.guessed:.1f}%.")


def draw(
    run: str | Path, items: Sequence[str] | np.ndarray, n: int, seed: int | None = None
) -> list[str]:
    """Draw items for the audit at random and keep them in the run.

    Nothing but chance decides: neither suspicion nor label nor place. A second call with a larger
    n goes on in the same random order, so that all items drawn are one random sample; with a
    smaller n nothing changes. In a run made with decisions those checked at random before are the
    first of the sample, and nobody is asked again about an item that was decided.

    Args:
        run: the run folder; the items are kept in its log of decisions.
        items: the keys of all training items, in the order of the run.
        n: how many are to be drawn in all; at most all of them.
        seed: which random order; by default that of the first call, and 0 there.

    Returns:
        The keys drawn, in the random order.

    Raises:
        InputError: n is not positive; the audit was begun with another seed or of other items.
    """
    if n < 1:
        raise InputError(f"-n {n}: an audit draws at least 1 item")
    keys = np.asarray(items, dtype=object)
    log = DecisionLog(Path(run) / LOG)
    try:
        before, first_seed = log.drawn(), log.drawn_with()
        known = dict.fromkeys([*decided_before(run)[0], *before])
        if None not in (seed, first_seed) and first_seed != seed:
            raise InputError(
                f"--seed {seed}: the audit of {run} was drawn with seed {first_seed} and keeps to "
                f"one random order; leave --seed out"
            )
        here = set(keys)
        elsewhere = [item for item in before if item not in here]
        if elsewhere:
            raise InputError(
                f"{run}: {count_of(len(elsewhere), 'item')} of its audit not in its training part "
                f"now; the first is {elsewhere[0]!r}: make a new run folder for other labels"
            )
        seed = (first_seed or 0) if seed is None else seed
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
        rest = [item for item in keys[rng.permutation(len(keys))] if item not in known]
        log.draw(rest[: max(0, n - len(known))], seed)
        return list(dict.fromkeys([*known, *log.drawn()]))
    finally:
        log.close()


def drawn(run: str | Path) -> list[str]:
    """The keys of the items that the run's audit drew, in the random order; empty without one.

    Those that were checked at random before the run was made come first.
    """
    before, _ = decided_before(run)
    if not (Path(run) / LOG).is_file():
        return before
    log = DecisionLog(Path(run) / LOG, create=False)
    try:
        return list(dict.fromkeys([*before, *log.drawn()]))
    finally:
        log.close()


def checked(
    decisions: Decisions, items: Sequence[str] | np.ndarray, vocab: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The items that were drawn at random and checked without hints, with their truth.

    Decisions on other items, however many, do not appear: people look at the most suspicious
    first, so these say nothing about the rate. Unsure, excluded and conflicting items do not count.

    Args:
        decisions: see `softfold.decisions.applying.read_decisions`.
        items: the keys of the training items before decisions were applied (those of no class are
            left out then); others are passed over.
        vocab: the class names.

    Returns:
        rows int64 (m,), positions in `items`; truth int64 (m,), -1 for none of these. As
        `softfold.estimate_noise(..., checked=)` takes them.
    """
    frame = read_decisions(decisions)
    frame = frame[frame["audited"] & frame["state"].isin(["confirmed", "none_of_these"])]
    rows = pd.Index(np.asarray(items, dtype=object)).get_indexer(pd.Index(frame["item"]))
    nowhere = frame["none_of_these"].to_numpy()
    names = frame["label"].astype(object).where(~nowhere, None)
    truth = pd.Index(list(vocab)).get_indexer(pd.Index(names))
    use = (rows >= 0) & (nowhere | (truth >= 0))
    order = np.argsort(rows[use], kind="stable")
    return rows[use][order].astype(np.int64), truth[use][order].astype(np.int64)


@dataclass(frozen=True)
class FirstGiven:
    """What was checked at random, against the labels as first given, which it was drawn from.

    suspicion:    of all items as first given, float64 (N,), those taken out since at the end
    rows, wrong:  the items checked, as `softfold.noise.audit.audited_rate` takes them
    nowhere:      how many of these are of no class
    mended:       how many labels were wrong as first given and are not now
    now:          how many items there are now
    """

    suspicion: np.ndarray
    rows: np.ndarray
    wrong: np.ndarray
    nowhere: int
    mended: int
    now: int

    def rate(self) -> tuple[float, float, float]:
        """Share of the labels that are wrong as they stand now, with its 95% interval."""
        bounds = audited_rate(self.suspicion, self.rows, self.wrong)
        still = [(len(self.suspicion) * b - self.mended) / self.now for b in bounds]
        rate, low, high = (float(np.clip(share, 0.0, 1.0)) for share in still)
        return rate, low, high


def as_first_given(
    decisions: Decisions,
    items: np.ndarray,
    vocab: Sequence[str],
    given: np.ndarray,
    suspicion_of: Callable[[np.ndarray], np.ndarray],
) -> FirstGiven:
    """What was checked at random, where labels have been corrected since the first was drawn.

    What was corrected is no random sample of the labels as they stand; as first given it is.

    Args:
        decisions: see `softfold.decisions.applying.read_decisions`.
        items, vocab, given: of the training items as they stand now.
        suspicion_of: the suspicions (N,) of given labels (N,) of all items.
    """
    frame = read_decisions(decisions)
    nowhere = frame["none_of_these"].to_numpy(dtype=bool)
    rows, truth = find(items, frame["item"]), find(vocab, frame["label"].where(~nowhere, None))
    first = find(vocab, frame["given"]) if "given" in frame else np.full(len(frame), -1)
    known = (frame["state"] == "confirmed").to_numpy() & (rows >= 0) & (truth >= 0) & (first >= 0)
    before = given.copy()
    before[rows[known]] = first[known]
    suspicion = suspicion_of(before)
    gone = nowhere & (rows < 0)
    mended = (first != truth)[known].sum() - (given[rows] != truth)[known].sum() + gone.sum()
    # items of no class are in the table no more: they were suspected as the others were
    rows[gone] = len(items) + np.arange(gone.sum())
    suspicion = np.append(suspicion, np.full(int(gone.sum()), suspicion.mean()))
    counts = frame["audited"].to_numpy(dtype=bool) & (known | nowhere)
    wrong = nowhere | (truth != first)
    return FirstGiven(
        suspicion, rows[counts], wrong[counts], int(nowhere[counts].sum()), int(mended), len(items)
    )


def audit_state(
    run: str | Path,
    items: np.ndarray,
    vocab: Sequence[str],
    given: np.ndarray,
    suspicion: np.ndarray,
    width: float = WIDTH,
    suspicion_of: Callable[[np.ndarray], np.ndarray] | None = None,
) -> AuditState:
    """How far the run's audit has come.

    Args:
        run: the run folder.
        items: keys of the training items (N,).
        vocab: the class names.
        given: int (N,), their given labels as positions in vocab.
        suspicion: float (N,).
        width: the width of the interval to aim at, a fraction of 1: 0.04 is plus or minus 2 points.
        suspicion_of: see `as_first_given`, for a run that was made with decisions; without it
            suspicion is not heard there.

    Raises:
        InputError: a width outside 0..1.
    """
    if not 0 < width < 1:
        raise InputError(
            f"--width {width}: an interval is between 0 and 1 wide: 0.04 is plus or minus 2"
        )
    if not has_decisions(run):
        none = np.zeros(0, np.int64)
        return summary(suspicion, given, none, none, [], width=width)
    opinions = {}
    if (Path(run) / LOG).is_file():
        log = DecisionLog(Path(run) / LOG, create=False)
        try:
            opinions = replay(log.since())
        finally:
            log.close()
    at_random, decided = decided_before(run)
    states = standing(drawn(run), opinions, decided)
    rows, truth = checked(run, items, vocab)
    state = summary(suspicion, given, rows, truth, states, width=width)
    if not decided:
        return state
    unheard = np.full(len(suspicion), suspicion.mean())
    found = as_first_given(run, items, vocab, given, suspicion_of or (lambda _: unheard))
    wanted = wanted_checks(found.suspicion, found.rows, found.wrong, width / 2)
    rate, low, high = found.rate() if len(found.rows) > 1 else (None, None, None)
    return replace(
        state,
        checked=len(found.rows),
        wrong=int(found.wrong.sum()),
        none_of_these=found.nowhere,
        rate=rate,
        low=low,
        high=high,
        more=None if rate is None else wanted,
        before=len(at_random),
    )


def summary(
    suspicion: np.ndarray,
    given: np.ndarray,
    rows: np.ndarray,
    truth: np.ndarray,
    states: Sequence[str],
    *,
    width: float = WIDTH,
) -> AuditState:
    """The state of an audit out of what is checked.

    Args:
        suspicion, given: of all training items, as in `audit_state`.
        rows, truth: as `checked` gives them.
        states: how each item drawn stands (`softfold.decisions.opinions.Opinions.in_audit`).
        width: as in `audit_state`.
    """
    count = Counter(states)
    wrong = truth != given[rows]
    rate = low = high = more = None
    if len(rows) >= 2:
        rate, low, high = audited_rate(suspicion, rows, wrong)
        more = wanted_checks(suspicion, rows, wrong, width / 2)
    return AuditState(
        drawn=len(states),
        items=len(suspicion),
        checked=len(rows),
        wrong=int(wrong.sum()),
        none_of_these=int((truth < 0).sum()),
        unsure=count["unsure"],
        conflict=count["conflict"],
        excluded=count["excluded"],
        guessed=float(np.mean(suspicion)) if len(suspicion) else 0.0,
        rate=rate,
        low=low,
        high=high,
        width=width,
        more=more,
        left=count["open"],
        later=count["later"],
    )
