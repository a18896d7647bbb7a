"""The reviewers' desk: the items of a run, what was decided about each, what is left to do.

Everything here is in the rows of the training items and codes of the vocabulary; the log of
decisions is the only thing that is kept.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.decisions.applying import decided_before
from softfold.decisions.audit import AuditState, audit_state, draw, summary
from softfold.decisions.log import ACTIONS, LOG, Decision, DecisionLog
from softfold.decisions.opinions import Opinions, agreement, standing
from softfold.errors import InputError
from softfold.noise.audit import FEWEST
from softfold.review.questions import questions_of
from softfold.review.similar import groups_of
from softfold.runs.folder import Run
from softfold.runs.looks import Looks

STATES = ("open", "confirmed", "none_of_these", "excluded", "unsure", "conflict")
SETTLED = tuple(STATES.index(state) for state in ("confirmed", "none_of_these", "excluded"))
MOST_LISTED = 50_000
MOST_IN_A_STROKE = 500
TOP_CLASSES = 5
PRIOR_LOOKS = 10.0
"""Items' worth of trust in the suspicions before decisions correct the expected number."""


@dataclass(frozen=True)
class Filter:
    """Which items to list. Codes are positions in the vocabulary; None asks nothing."""

    state: str = "any"
    given: int | None = None
    suggested: int | None = None
    of_class: int | None = None
    least: float = 0.0
    most: float = 1.0
    reviewer: str | None = None
    similar: bool = False


class Desk:
    """One run under review. All methods may be called from several threads.

    images: the folder in which image files are now, where it was moved.
    """

    def __init__(self, run_dir: str | Path, images: str | Path | None = None) -> None:
        self.run = Run.open(run_dir, images, several=True)
        if not len(self.run.ranking):
            raise InputError(
                f"{run_dir}: its items have no suspicion yet (softfold crossfit first)"
            )
        self.asked = questions_of(self.run)
        self.looks = Looks.of(self.run)
        self.item = self.asked.key
        self.given, self.suggested = self.asked.given, self.asked.suggested
        self.suspicion = self.asked.suspicion
        self.rows = pd.Index(self.item)
        self.state = np.zeros(len(self.item), dtype=np.int8)
        self.label = np.full(len(self.item), -1)
        self.opinions: dict[int, Opinions] = {}
        self.reviewers: dict[str, int] = {}
        self._codes = {name: code for code, name in enumerate(self.asked.vocab)}
        at_random, self.decided = decided_before(self.run.path)
        self.drawn = [row for row in map(self._row, at_random) if row is not None]
        self._asked_of: tuple[np.ndarray, np.ndarray] | None = None
        self._last = self._drawn = 0
        self._groups: np.ndarray | None = None
        self._lock = threading.RLock()
        self.log = DecisionLog(self.run.path / LOG)
        self.refresh()

    def refresh(self) -> list[int]:
        """Take in what the log holds beyond what is known; returns the rows it touched."""
        with self._lock:
            touched: list[int] = []
            for decision in self.log.since(self._last):
                self._last = decision.id
                row = self._row(decision.item)
                if row is not None:
                    self._take_in(row, decision)
                    touched.append(row)
            for row in set(touched):
                state, label = self.opinions[row].outcome()
                self.state[row] = STATES.index(state)
                self.label[row] = -1 if label is None else self._codes.get(label, -1)
            new = self.log.drawn(after=self._drawn)
            self._drawn += len(new)
            rows = [row for row in map(self._row, new) if row is not None]
            self.drawn = list(dict.fromkeys([*self.drawn, *rows]))
            return touched

    @property
    def last(self) -> int:
        """The number of the last row of the log taken in."""
        return self._last

    def _row(self, item: str) -> int | None:
        try:
            found = self.rows.get_loc(item)
        except KeyError:
            return None
        return found if isinstance(found, int) else None

    def _take_in(self, row: int, decision: Decision) -> None:
        self.opinions.setdefault(row, Opinions()).add(decision)
        self.reviewers.setdefault(decision.reviewer, 0)
        self.reviewers[decision.reviewer] += -1 if decision.action == "undo" else 1

    def changes(self, last: int) -> list[int]:
        """Rows that log entries after number `last` are about."""
        self.refresh()
        rows = (self._row(decision.item) for decision in self.log.since(last))
        return sorted({row for row in rows if row is not None})

    def strike(self, reviewer: str, strokes: list[dict[str, Any]]) -> list[int]:
        """Write down strokes of one reviewer, in order; returns the rows they are about.

        A stroke has an id of its own and an action; all but undo have rows, and `class` a label
        code. Everything is on disk when this returns. A stroke known already changes nothing.

        Raises:
            InputError: a stroke that means nothing; nothing of this call is written then.
        """
        checked = [self._check(stroke) for stroke in strokes]
        with self._lock:
            touched: list[int] = []
            waiting: list[dict[str, Any]] = []
            for stroke, rows in checked:
                if stroke["action"] == "undo":
                    self.log.append(waiting)
                    waiting = []
                    blind = stroke.get("audit") is True
                    undone = self.log.undo(reviewer, stroke["stroke"], audit=blind)
                    touched += [r for r in map(self._row, undone) if r is not None]
                    continue
                touched += rows
                waiting += [self._entry(reviewer, stroke, row) for row in rows]
            if waiting:
                self.log.append(waiting)
            self.refresh()
            return sorted(set(touched))

    def _check(self, stroke: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        name, action, rows = stroke.get("stroke"), stroke.get("action"), stroke.get("rows", [])
        if not isinstance(name, str) or not 8 <= len(name) <= 64:
            raise InputError("a stroke needs an id of 8 to 64 characters")
        if action == "undo":
            return stroke, []
        if action not in ACTIONS:
            raise InputError(f"unknown action {str(action)[:40]!r}")
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_IN_A_STROKE:
            raise InputError(f"a stroke is about 1 to {MOST_IN_A_STROKE} items")
        if any(type(row) is not int or not 0 <= row < len(self.item) for row in rows):
            raise InputError("a stroke names an item that is not in the run")
        label = stroke.get("label")
        if action == "class" and (type(label) is not int or not 0 <= label < len(self.asked.vocab)):
            raise InputError("a stroke names a class that is not in the run")
        if action in ("none", "exclude") and self.asked.classes:
            raise InputError("whether an item has a class is answered by yes, no or unsure")
        if action == "accept" and (self.suggested[rows] < 0).any():
            raise InputError("there is no suggestion to accept for an item of the stroke")
        if stroke.get("audit") is True:
            if action == "accept":
                raise InputError("the audit shows no suggestion to accept")
            if not set(rows) <= set(self.drawn):
                raise InputError("a stroke of the audit names an item that was not drawn")
        return stroke, rows

    def _entry(self, reviewer: str, stroke: dict[str, Any], row: int) -> dict[str, Any]:
        codes = {
            "accept": self.suggested[row],
            "keep": self.given[row],
            "class": stroke.get("label"),
        }
        code = codes.get(stroke["action"])
        return {
            "reviewer": reviewer,
            "stroke": stroke["stroke"],
            "item": self.item[row],
            "action": stroke["action"],
            "label": None if code is None else self.asked.vocab[code],
            "given": self.asked.vocab[self.given[row]],
            "suspicion": float(self.suspicion[row]),
            "audit": stroke.get("audit") is True,
        }

    def listing(self, wanted: Filter, me: str) -> tuple[list[int], int]:
        """Rows that pass the filter, most suspicious first, and how many there are in all.

        With `similar`, groups of similar items stay together, in the order of their first item.
        """
        order = self.asked.order
        keep = (self.suspicion[order] >= wanted.least) & (self.suspicion[order] <= wanted.most)
        if wanted.given is not None:
            keep &= self.given[order] == wanted.given
        if wanted.suggested is not None:
            keep &= self.suggested[order] == wanted.suggested
        if wanted.of_class is not None:
            keep &= self.asked.of_class[order] == wanted.of_class
        if wanted.state in STATES:
            keep &= self.state[order] == STATES.index(wanted.state)
        if wanted.state == "mine" or wanted.reviewer is not None:
            reviewer = me if wanted.state == "mine" else wanted.reviewer
            with self._lock:
                seen = [r for r, held in self.opinions.items() if reviewer in held.by_reviewer]
            by = np.isin(order, np.array(seen, dtype=int))
            keep &= ~by if wanted.state == "mine" else by
        rows = order[keep]
        if wanted.similar:
            groups = self.groups[rows]
            _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
            rows = rows[np.argsort(first[inverse], kind="stable")]
        return rows[:MOST_LISTED].tolist(), len(rows)

    @property
    def groups(self) -> np.ndarray:
        """(N,) number of the group of similar items that each row belongs to."""
        with self._lock:
            if self._groups is None:
                self._groups = groups_of(self.run, self.looks, self.asked)
            return self._groups

    def group(self, row: int, size: int = 60) -> list[int]:
        """The rows of an item's group, the item first, at most `size`."""
        rows = np.flatnonzero(self.groups == self.groups[row])
        rows = rows[np.argsort(-self.suspicion[rows], kind="stable")]
        return [row, *(int(r) for r in rows if r != row)][:size]

    def opinion(self, row: int, me: str) -> dict[str, Any]:
        """What reviewer `me` may know about the decisions on an item.

        Others' decisions stay hidden until one's own is made, so that agreement means something;
        a conflict shows all sides.
        """
        with self._lock:
            held = self.opinions.get(row)
            current = {} if held is None else held.current()
            state = STATES[self.state[row]]
        mine = current.get(me)
        told = state == "conflict" or mine is not None
        return {
            "state": state if told or state == "open" else "seen",
            "mine": None if mine is None else self._vote(mine),
            "others": sum(reviewer != me for reviewer in current),
            "sides": [[r, *self._vote(d)] for r, d in sorted(current.items())] if told else [],
        }

    def _vote(self, decision: Decision) -> list[Any]:
        return [decision.action, self._codes.get(decision.label or "", -1)]

    def progress(self, me: str) -> dict[str, Any]:
        """Counts, the measured precision and how many labels are expected to be wrong still.

        `precision` is of the items decided outside the audit, since those of the audit are drawn
        at random. With enough of these, `still` and its interval are what the audit says.
        """
        state, label = self.state, self.label
        nowhere = state == STATES.index("none_of_these")
        decided = nowhere | (state == STATES.index("confirmed"))
        found = decided & (label != self.given)
        wrong, right = int(found.sum()), int((decided & ~found).sum())
        apart = decided.copy()
        apart[[row for row in self.drawn if self._audited(row)] or slice(0)] = False
        promised = float(self.suspicion[decided].sum())
        left = ~np.isin(state, SETTLED)
        # The suspicions' total, corrected by how far they held for what was looked at.
        held = (wrong + PRIOR_LOOKS) / (promised + PRIOR_LOOKS)
        total = float(self.suspicion.sum())
        still = min(float(left.sum()), float(self.suspicion[left].sum()) * held)
        between, audit = None, self.audit_state()
        shares = [s for s in (audit.rate, audit.low, audit.high) if s is not None]
        if audit.checked >= FEWEST and len(shares) == 3:
            still, *between = (
                min(float(left.sum()), max(0.0, share * len(self.item) - wrong)) for share in shares
            )
        return {
            "items": len(self.item),
            "expected": total,
            "reviewed": int((state > 0).sum()),
            "mine": self.reviewers.get(me, 0),
            "wrong": wrong,
            "right": right,
            "precision": float(found[apart].mean()) if apart.any() else None,
            "none_of_these": int(nowhere.sum()),
            "excluded": int((state == STATES.index("excluded")).sum()),
            "unsure": int((state == STATES.index("unsure")).sum()),
            "conflict": int((state == STATES.index("conflict")).sum()),
            "still": still,
            "still_between": between,
            "last": self._last,
        }

    def draw(self, n: int) -> None:
        """Draw items for the audit until there are `n`; see `softfold.decisions.audit.draw`.

        Raises:
            InputError: items have several labels.
        """
        if self.asked.classes:
            raise InputError(
                f"{self.run.path}: its items have several labels, and an audit is of one label an "
                "item (docs/multilabel.md)"
            )
        with self._lock:
            draw(self.run.path, self.item, n)
            self.refresh()

    def audit_state(self) -> AuditState:
        """How far the audit has come and what it says."""
        with self._lock:
            if self.decided:
                about = (self.item, self.asked.vocab, self.given, self.suspicion)
                return audit_state(self.run.path, *about, suspicion_of=self._suspicion_of)
            states = self._in_audit()
            rows = np.array([r for r, s in zip(self.drawn, states) if s == "checked"], dtype=int)
            return summary(self.suspicion, self.given, rows, self.label[rows], states)

    def _suspicion_of(self, given: np.ndarray) -> np.ndarray:
        """`Run.suspicion_of`, remembered: labels as first given are the same at every stroke."""
        if self._asked_of is None or not np.array_equal(self._asked_of[0], given):
            self._asked_of = given, self.run.suspicion_of(given)
        return self._asked_of[1]

    def audit(self) -> list[list[Any]]:
        """[row, how it stands] of the items drawn, in the random order."""
        with self._lock:
            return [[row, state] for row, state in zip(self.drawn, self._in_audit())]

    def _in_audit(self) -> list[str]:
        keys = [self.item[row] for row in self.drawn]
        held = {self.item[row]: each for row, each in self.opinions.items()}
        return standing(keys, held, self.decided)

    def _audited(self, row: int) -> bool:
        return row in self.opinions and self.opinions[row].audited

    def agreement(self) -> tuple[int, float, float] | None:
        """See `softfold.decisions.opinions.agreement`."""
        with self._lock:
            return agreement([held for held in self.opinions.values() if len(held.by_reviewer) > 1])

    def describe_blind(self, row: int, me: str) -> dict[str, Any]:
        """What an item of the audit is.

        What the models say and what was decided elsewhere comes with it only once reviewer `me`
        has decided it in the audit.
        """
        with self._lock:
            held = self.opinions[row].by_reviewer.get(me, []) if row in self.opinions else []
            told = any(decision.audit for decision in held)
        if told:
            return {**self.describe(row), "opinion": self.opinion(row, me)}
        nothing: dict[str, Any] = {"state": "open", "mine": None, "others": 0, "sides": []}
        return {**self._shown(row), "opinion": nothing}

    def _shown(self, row: int) -> dict[str, Any]:
        """What an item is, without a word of the models."""
        item = int(self.asked.item[row])
        where = int(self.run.train_rows[item])
        return {
            "row": row,
            "item": str(self.run.train["item"].iloc[item]),
            "class": self.asked.classes[self.asked.of_class[row]] if self.asked.classes else None,
            "given": int(self.given[row]),
            "text": self.looks.text(where),
            "columns": self.looks.columns(where),
        }

    def picture(self, row: int, size: int) -> bytes | None:
        """See `softfold.runs.looks.Looks.picture`."""
        return self.looks.picture(int(self.run.train_rows[self.asked.item[row]]), size)

    def describe(self, row: int) -> dict[str, Any]:
        """What an item is and what the models say about it."""
        p = self.asked.probabilities
        top: list[list[float]] = []
        p_given = p_suggested = None
        if p is not None:
            here = np.asarray(p[row], dtype=np.float64)
            best = np.argsort(-here, kind="stable")[:TOP_CLASSES]
            top = [[int(k), round(float(here[k]), 4)] for k in best]
            p_given = round(float(here[self.given[row]]), 4)
            if self.suggested[row] >= 0:
                p_suggested = round(float(here[self.suggested[row]]), 4)
        return {
            **self._shown(row),
            "suggested": int(self.suggested[row]),
            "suspicion": round(float(self.suspicion[row]), 4),
            "p_given": p_given,
            "p_suggested": p_suggested,
            "top": top,
        }
