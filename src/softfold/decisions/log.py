"""What people decided about labels, and which items an audit drew: an append-only log in SQLite.

A decision is a row; undoing it is another row; nothing is ever changed or deleted. What holds
for an item is found by reading the log from the start, so a killed server loses nothing that it
has acknowledged. Each decision has a checksum, so that none is read that was not written. The items
of the audit are rows too, in the order in which they were drawn.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from softfold.errors import InputError

LOG = "decisions.sqlite"

_PATIENCE = 5.0
"""Seconds to wait for another process that writes the log."""


ACTIONS = ("accept", "keep", "class", "none", "exclude", "unsure")
"""accept the suggested label, keep the given one, another class, none of these classes, leave the
item out for another reason, no idea."""

_TABLE = """
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    stroke TEXT NOT NULL,
    item TEXT NOT NULL,
    action TEXT NOT NULL
        CHECK (action IN ('accept', 'keep', 'class', 'none', 'exclude', 'unsure', 'undo')),
    label TEXT,
    given TEXT,
    suspicion REAL,
    undoes INTEGER REFERENCES decisions (id),
    audit INTEGER NOT NULL DEFAULT 0,
    checksum TEXT,
    UNIQUE (stroke, item),
    UNIQUE (undoes)
);
"""
_GUARDED = """
CREATE TABLE IF NOT EXISTS audit (
    place INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    item TEXT NOT NULL UNIQUE,
    seed INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_by_reviewer ON decisions (reviewer, id);
CREATE TRIGGER IF NOT EXISTS decisions_stay BEFORE UPDATE ON decisions
    BEGIN SELECT RAISE(ABORT, 'the log of decisions is append-only'); END;
CREATE TRIGGER IF NOT EXISTS decisions_remain BEFORE DELETE ON decisions
    BEGIN SELECT RAISE(ABORT, 'the log of decisions is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_remains BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
"""
_FIRST_COLUMNS = "id, at, reviewer, stroke, item, action, label, given, suspicion, undoes"
# SQLite cannot widen a CHECK, so the rows of a log made before audits are copied, all or none.
_RENEWAL = (
    "DROP TRIGGER IF EXISTS decisions_stay",
    "DROP TRIGGER IF EXISTS decisions_remain",
    "DROP INDEX IF EXISTS decisions_by_reviewer",
    "ALTER TABLE decisions RENAME TO decisions_before",
    _TABLE,
    f"INSERT INTO decisions ({_FIRST_COLUMNS}) "
    f"SELECT {_FIRST_COLUMNS} FROM decisions_before ORDER BY id",
    "DROP TABLE decisions_before",
)


class Decision(NamedTuple):
    """One row of the log.

    label: the class decided on, None for none, exclude, unsure and undo.
    audit: 1 where the reviewer saw neither suggestion nor suspicion, since the item was drawn for
        the audit; else 0.
    """

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
    audit: int = 0


class LogUnavailable(InputError):
    """The log is there and cannot be used now: locked, on a read-only or a full disk."""


class DecisionLog:
    """The log of one run. Safe for several threads and several processes at once.

    With `create` false the file must be a log already; another database is left as it is.
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        with self._told():
            self._db = sqlite3.connect(
                self.path, timeout=_PATIENCE, check_same_thread=False, isolation_level=None
            )
            self._open(create)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the system or another process refuses is said in one line, and so is damage."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.OperationalError as error:
            raise LogUnavailable(
                f"{self.path}: decisions cannot be written or read now ({error}); nothing is lost: "
                "free the file or make it writable, and try again"
            ) from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(f"it is not a log of decisions ({error})") from None

    def _damaged(self, what: str) -> InputError:
        return InputError(
            f"{self.path}: damaged: {what}: bring a copy of it back, or move it away to decide anew"
        )

    def _open(self, create: bool) -> None:
        columns = self._columns()
        if not create and not columns:
            raise InputError(f"{self.path}: a database without decisions")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if columns and not {"audit", "checksum"} <= set(columns):
            self._renew()
        self._db.executescript(_TABLE + _GUARDED)
        self._into_one_file()

    def _columns(self) -> list[str]:
        return [row[1] for row in self._db.execute("PRAGMA table_info(decisions)")]

    def _renew(self) -> None:
        """Give a log of an earlier version today's columns; another process may be first."""
        with self._transaction():
            if "audit" not in self._columns():
                for statement in _RENEWAL:
                    self._db.execute(statement)
            if "checksum" not in self._columns():
                self._db.execute("ALTER TABLE decisions ADD COLUMN checksum TEXT")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and on disk when left, in the one file that people copy."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._into_one_file()

    def _into_one_file(self) -> None:
        """Bring what is in the write-ahead log into the file itself, unless somebody reads it."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        self._db.close()

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows in one transaction; when this returns they are on disk.

        A row has reviewer, stroke, item, action and, where they apply, label, given, suspicion,
        undoes, audit. A row whose stroke already decided the item is dropped: a double click or a
        request sent again counts once.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        columns = ("reviewer", "stroke", "item", "action", "label", "given", "suspicion", "undoes")
        values = []
        for row in rows:
            made = (now, *map(row.get, columns), int(bool(row.get("audit"))))
            values.append((*made, _checksum(made)))
        with self._told(), self._lock, self._transaction():
            self._db.executemany(
                f"INSERT OR IGNORE INTO decisions (at, {', '.join(columns)}, audit, checksum) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )

    def undo(self, reviewer: str, stroke: str, *, audit: bool = False) -> list[str]:
        """Undo the reviewer's last stroke that still holds, with `audit` the last one of the audit.

        Returns its items.
        """
        found = self._query(
            "SELECT stroke FROM decisions WHERE reviewer = ? AND action != 'undo' AND audit >= ? "
            "AND id NOT IN (SELECT undoes FROM decisions WHERE undoes IS NOT NULL) "
            "ORDER BY id DESC LIMIT 1",
            (reviewer, int(audit)),
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

    def draw(self, items: Iterable[str], seed: int) -> None:
        """Write down further items of the audit, in their order; those in it already stay."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._told(), self._lock, self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO audit (at, item, seed) VALUES (?, ?, ?)",
                [(now, item, seed) for item in items],
            )

    def drawn(self, after: int = 0) -> list[str]:
        """The items of the audit in the order drawn, but the first `after` ones."""
        rows = self._query("SELECT item FROM audit ORDER BY place LIMIT -1 OFFSET ?", (after,))
        return [item for (item,) in rows]

    def drawn_with(self) -> int | None:
        """The seed that the audit was drawn with, None before there is one."""
        found = self._query("SELECT seed FROM audit ORDER BY place LIMIT 1", ())
        return found[0][0] if found else None

    def since(self, last: int = 0) -> list[Decision]:
        """The rows after row `last`, in the order written.

        Raises:
            InputError: a row is not what was written.
        """
        rows = self._query(
            f"SELECT {_FIRST_COLUMNS}, audit, checksum FROM decisions WHERE id > ? ORDER BY id",
            (last,),
        )
        for *row, checksum in rows:
            # rows of logs that were made before checksums have none
            if checksum is not None and checksum != _checksum(row[1:]):
                raise self._damaged(f"decision {row[0]}, about {row[4]!r}, is not what was written")
        return [Decision(*row[:-1]) for row in rows]

    def check(self) -> None:
        """Compare the whole log with its checksums.

        Raises:
            InputError: something in it is not what was written.
        """
        found = self._query("PRAGMA integrity_check", ())[0][0]
        if found != "ok":
            raise self._damaged(str(found).splitlines()[-1])
        self.since()
        self.drawn()

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._told(), self._lock:
            return self._db.execute(sql, values).fetchall()


def check_log(path: str | Path) -> None:
    """Compare a log with its checksums; see `DecisionLog.check`."""
    log = DecisionLog(path, create=False)
    try:
        log.check()
    finally:
        log.close()


def _checksum(row: Sequence[Any]) -> str:
    """Of all that a row says but its number."""
    said = json.dumps(list(row), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(said).hexdigest()[:16]
