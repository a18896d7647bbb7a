"""What people decided about labels: an append-only log in SQLite, and what follows from it.

A decision is a row; undoing it is another row; nothing is ever changed or deleted. What holds
for an item is found by reading the log from the start, so a killed server loses nothing that it
has acknowledged.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from softfold.errors import InputError, count_of
from softfold.labels import LabelTable

LOG = "decisions.sqlite"
ACTIONS = ("accept", "keep", "class", "exclude", "unsure")
"""accept the suggested label, keep the given one, another class, leave the item out, no idea."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    stroke TEXT NOT NULL,
    item TEXT NOT NULL,
    action TEXT NOT NULL
        CHECK (action IN ('accept', 'keep', 'class', 'exclude', 'unsure', 'undo')),
    label TEXT,
    given TEXT,
    suspicion REAL,
    undoes INTEGER REFERENCES decisions (id),
    UNIQUE (stroke, item),
    UNIQUE (undoes)
);
CREATE INDEX IF NOT EXISTS decisions_by_reviewer ON decisions (reviewer, id);
CREATE TRIGGER IF NOT EXISTS decisions_stay BEFORE UPDATE ON decisions
    BEGIN SELECT RAISE(ABORT, 'the log of decisions is append-only'); END;
CREATE TRIGGER IF NOT EXISTS decisions_remain BEFORE DELETE ON decisions
    BEGIN SELECT RAISE(ABORT, 'the log of decisions is append-only'); END;
"""


class Decision(NamedTuple):
    """One row of the log. `label` is the class decided on, None for exclude, unsure and undo."""

    id: int
    at: str
    reviewer: str
    stroke: str
    item: str
    action: str
    label: str | None
    given: str | None
    suspicion: float | None
    undoes: int | None


class DecisionLog:
    """The log of one run. Safe for several threads and several processes at once.

    With `create` false the file must be a log already; another database is left as it is.
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            self.path, timeout=30, check_same_thread=False, isolation_level=None
        )
        try:
            if not create and not self._db.execute("PRAGMA table_info(decisions)").fetchall():
                raise InputError(f"{path}: a database without decisions")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path}: not a log of decisions ({error})") from None

    def close(self) -> None:
        self._db.close()

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows in one transaction; when this returns they are on disk.

        A row has reviewer, stroke, item, action and, where they apply, label, given, suspicion,
        undoes. A row whose stroke already decided the item is dropped: a double click or a
        request sent again counts once.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        columns = ("reviewer", "stroke", "item", "action", "label", "given", "suspicion", "undoes")
        values = [(now, *(row.get(column) for column in columns)) for row in rows]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    f"INSERT OR IGNORE INTO decisions (at, {', '.join(columns)}) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def undo(self, reviewer: str, stroke: str) -> list[str]:
        """Undo the reviewer's last stroke that still holds; returns its items."""
        found = self._query(
            "SELECT stroke FROM decisions WHERE reviewer = ? AND action != 'undo' AND id NOT IN "
            "(SELECT undoes FROM decisions WHERE undoes IS NOT NULL) ORDER BY id DESC LIMIT 1",
            (reviewer,),
        )
        if not found or self.knows(stroke):
            return self.items_of(stroke)
        undone = self._query(
            "SELECT id, item FROM decisions WHERE stroke = ? AND action != 'undo' AND id NOT IN "
            "(SELECT undoes FROM decisions WHERE undoes IS NOT NULL)",
            (found[0][0],),
        )
        self.append(
            {"reviewer": reviewer, "stroke": stroke, "item": item, "action": "undo", "undoes": row}
            for row, item in undone
        )
        return [item for _, item in undone]

    def knows(self, stroke: str) -> bool:
        return bool(self._query("SELECT 1 FROM decisions WHERE stroke = ? LIMIT 1", (stroke,)))

    def items_of(self, stroke: str) -> list[str]:
        return [i for (i,) in self._query("SELECT item FROM decisions WHERE stroke = ?", (stroke,))]

    def since(self, last: int = 0) -> list[Decision]:
        """The rows after row `last`, in the order written."""
        rows = self._query("SELECT * FROM decisions WHERE id > ? ORDER BY id", (last,))
        return [Decision(*row) for row in rows]

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


@dataclass
class Opinions:
    """What the reviewers hold about one item: their decisions that are not undone, by reviewer."""

    by_reviewer: dict[str, list[Decision]] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        held = self.by_reviewer.setdefault(decision.reviewer, [])
        if decision.action != "undo":
            held.append(decision)
            return
        held[:] = [d for d in held if d.id != decision.undoes]
        if not held:
            del self.by_reviewer[decision.reviewer]

    def current(self) -> dict[str, Decision]:
        """Each reviewer's last word."""
        return {reviewer: held[-1] for reviewer, held in self.by_reviewer.items()}

    def outcome(self) -> tuple[str, str | None]:
        """(state, label): open, unsure, conflict, excluded, or confirmed with the label.

        More than half of those who decided (the unsure do not count) must agree; a tie is a
        conflict until somebody changes their mind or a third person decides.
        """
        votes: dict[str | None, int] = {}
        current = self.current()
        for decision in current.values():
            if decision.action != "unsure":
                vote = None if decision.action == "exclude" else decision.label
                votes[vote] = votes.get(vote, 0) + 1
        if not votes:
            return ("unsure", None) if current else ("open", None)
        label, count = max(votes.items(), key=lambda pair: pair[1])
        if 2 * count <= sum(votes.values()):
            return "conflict", None
        return ("excluded", None) if label is None else ("confirmed", label)


def replay(log: Iterable[Decision]) -> dict[str, Opinions]:
    """The opinions about every item that the log names."""
    opinions: dict[str, Opinions] = {}
    for decision in log:
        opinions.setdefault(decision.item, Opinions()).add(decision)
    return opinions


def read_decisions(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """What was decided, one row an item.

    Args:
        source: a run folder, a log (`decisions.sqlite`), a CSV or Parquet file as
            `softfold export` writes it, or a data frame with columns item, state and label.

    Returns:
        A frame with item, state (confirmed, excluded, unsure or conflict), label (the class of a
        confirmed item, else None) and, from a log, given, suspicion and reviewers.

    Raises:
        InputError: there is no such file, or it holds no decisions.
    """
    if isinstance(source, pd.DataFrame):
        return _checked(source, "decisions")
    path = Path(source)
    if path.is_dir():
        path = path / LOG
    if not path.is_file():
        raise InputError(f"{source}: no decisions there (softfold review RUN makes them)")
    if path.suffix.lower() == ".csv":
        return _checked(pd.read_csv(path, dtype=str, keep_default_na=False), str(source))
    if path.suffix.lower() == ".parquet":
        return _checked(pd.read_parquet(path), str(source))
    log = DecisionLog(path, create=False)
    try:
        opinions = replay(log.since())
    finally:
        log.close()
    rows = []
    for item, held in opinions.items():
        state, label = held.outcome()
        if state != "open":
            current = held.current()
            one = next(iter(current.values()))
            rows.append((item, state, label, one.given, one.suspicion, ", ".join(sorted(current))))
    columns = ["item", "state", "label", "given", "suspicion", "reviewers"]
    return pd.DataFrame(rows, columns=columns)


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if "item" not in frame and "path" in frame:
        frame = frame.rename(columns={"path": "item"})
    lacking = [c for c in ("item", "state", "label") if c not in frame]
    if lacking:
        have = ", ".join(map(str, frame.columns[:12]))
        raise InputError(f"{name}: no column {lacking[0]!r} of decisions; it has: {have}")
    frame = frame[frame["state"].isin(["confirmed", "excluded", "unsure", "conflict"])].copy()
    frame["item"] = frame["item"].astype(str)
    return frame.reset_index(drop=True)


def apply_decisions(table: LabelTable, decisions: str | Path | pd.DataFrame) -> LabelTable:
    """The label table with what people decided.

    A confirmed label takes the place of the given one, an excluded item is left out; items that
    are unsure or in conflict stay as they are.

    Args:
        table: the label table as given; hold-out items are left alone.
        decisions: see `read_decisions`.

    Raises:
        InputError: an item or a class that the table does not have.
    """
    frame, rows, codes = _matched(table, read_decisions(decisions))
    confirmed = (frame["state"] == "confirmed").to_numpy()
    given = table.given.copy()
    given[rows[confirmed]] = codes[confirmed]
    keep = np.ones(len(table), dtype=bool)
    keep[rows[(frame["state"] == "excluded").to_numpy()]] = False
    keep |= table.valid
    changed = replace(table, given=np.where(table.valid, table.given, given))
    return changed.take(np.flatnonzero(keep))


def _matched(table: LabelTable, frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The decisions with the table's row and the class of each; unknown ones are refused."""
    rows = pd.Index(table.item).get_indexer(pd.Index(frame["item"]))
    if (rows < 0).any():
        first = frame["item"].iloc[int(np.argmax(rows < 0))]
        raise InputError(
            f"decisions: {count_of(int((rows < 0).sum()), 'item')} of {len(rows):,} not in "
            f"{table.name}; the first is {first!r}: were they made on another label table?"
        )
    labels = frame["label"].where(frame["state"] == "confirmed", None)
    codes = pd.Index(table.vocab).get_indexer(pd.Index(labels))
    unknown = (codes < 0) & (frame["state"] == "confirmed").to_numpy()
    if unknown.any():
        first = frame["label"].iloc[int(np.argmax(unknown))]
        raise InputError(
            f"decisions: {count_of(int(unknown.sum()), 'label')} of a class that {table.name} "
            f"does not have; the first is {first!r}"
        )
    return frame, rows, codes


@dataclass(frozen=True)
class Precision:
    """How many of the labels that people looked at were wrong.

    wrong, right: items confirmed with another label, with the given one
    promised:     the sum of their suspicions: how many were expected to be wrong
    low, high:    95% interval of the share (Wilson 1927)
    """

    wrong: int
    right: int
    promised: float

    @property
    def share(self) -> float:
        return self.wrong / max(1, self.wrong + self.right)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval.

        >>> low, high = Precision(8, 2, 9.0).interval
        >>> round(low, 2), round(high, 2)
        (0.49, 0.94)
        """
        n, z = self.wrong + self.right, 1.96
        if n == 0:
            return 0.0, 1.0
        p = self.share
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - reach), min(1.0, middle + reach)


def measured_precision(decisions: str | Path | pd.DataFrame) -> Precision | None:
    """The precision of the suspicion among the items that people confirmed, None without any.

    Excluded, unsure and conflicting items count neither way.
    """
    frame = read_decisions(decisions)
    if "given" not in frame:
        return None
    frame = frame[(frame["state"] == "confirmed") & frame["given"].notna()]
    if frame.empty:
        return None
    wrong = int((frame["label"] != frame["given"]).sum())
    promised = pd.to_numeric(frame.get("suspicion", pd.Series(dtype=float))).fillna(0).sum()
    return Precision(wrong, len(frame) - wrong, float(promised))


def precision_sentence(run: str | Path) -> str | None:
    """The measured precision of a run's suspicion in words, None before anyone decided."""
    if not (Path(run) / LOG).is_file():
        return None
    found = measured_precision(run)
    if found is None:
        return None
    low, high = found.interval
    return (
        f"People have decided about {found.wrong + found.right:,} labels: {found.wrong:,} were "
        f"wrong, {100 * found.share:.1f}% (95% interval {100 * low:.1f}% to {100 * high:.1f}%); "
        f"by their suspicions {found.promised:,.0f} were expected."
    )


def agreement(opinions: Iterable[Opinions]) -> tuple[int, float, float] | None:
    """How far reviewers agree on the items that at least two of them decided.

    Returns:
        (items, share of pairs that agree, Cohen's kappa over all pairs), None without such items.
    """
    first, second = [], []
    items = 0
    for held in opinions:
        words = [_word(d) for _, d in sorted(held.current().items()) if d.action != "unsure"]
        items += len(words) > 1
        for a, b in _pairs(words):
            first.append(a)
            second.append(b)
    if not items:
        return None
    observed = float(np.mean([a == b for a, b in zip(first, second)]))
    words = {*first, *second}
    chance = sum(first.count(w) * second.count(w) for w in words) / len(first) ** 2
    kappa = 1.0 if chance >= 1 else (observed - chance) / (1 - chance)
    return items, observed, kappa


def _word(decision: Decision) -> str:
    return "exclude" if decision.action == "exclude" else f"label {decision.label}"


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    for i, a in enumerate(words):
        for b in words[i + 1 :]:
            yield a, b
