"""What people decided about labels: an append-only log in SQLite.

A decision is a row; undoing it is another row; nothing is ever changed or deleted. What holds
for an item is found by reading the log from the start, so a killed server loses nothing that it
has acknowledged.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from softfold.errors import InputError

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
