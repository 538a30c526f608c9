"""What the emulator keeps beside vectors: messages under names, in one SQLite file or in memory.

A change that returned is there after the process was killed. Reading never touches the file: a
search asks for its endpoint here.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from pathlib import Path

from harness.errors import HarnessError

_TABLES = """
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, kind TEXT, name TEXT, data BLOB, UNIQUE (kind, name)
);
CREATE TABLE IF NOT EXISTS writes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, due REAL, method TEXT, request BLOB
);
"""
_PUT = """
INSERT INTO items (kind, name, data) VALUES (?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET data = excluded.data
"""


class Store:
    """Messages by kind and name, in the order in which they came, and a queue of late writes.

    `lock` makes a reading and the change that follows from it one step.

    Raises:
        HarnessError: if another emulator uses the file.
    """

    def __init__(self, path: Path | None) -> None:
        self.lock = threading.RLock()
        self._db = sqlite3.connect(
            path or ":memory:", timeout=0, check_same_thread=False, isolation_level=None
        )
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_TABLES)
            rows = self._db.execute("SELECT kind, name, data FROM items ORDER BY number")
            self._items: dict[str, dict[str, bytes]] = defaultdict(dict)
            for kind, name, data in rows:
                self._items[kind][name] = data
        except sqlite3.DatabaseError as error:
            self._db.close()
            locked = "locked" in str(error)
            why = "another emulator uses it; stop that one first" if locked else str(error)
            raise HarnessError(f"{path} cannot be opened: {why}") from error

    def put(self, kind: str, name: str, data: bytes) -> None:
        """Insert, or replace what has this name; it keeps its place in the order."""
        with self.lock:
            self._db.execute(_PUT, (kind, name, data))
            self._items[kind][name] = data

    def get(self, kind: str, name: str) -> bytes | None:
        """What has a name, or None."""
        return self._items[kind].get(name)

    def delete(self, kind: str, name: str) -> None:
        """Take out what has a name, if there is any."""
        with self.lock:
            self._db.execute("DELETE FROM items WHERE kind = ? AND name = ?", (kind, name))
            self._items[kind].pop(name, None)

    def all(self, kind: str) -> list[tuple[str, bytes]]:
        """Names and data of a kind, in the order in which they came."""
        with self.lock:
            return list(self._items[kind].items())

    def queue(self, due: float, method: str, request: bytes) -> int:
        """Put a write at the end of the queue, and give its number."""
        with self.lock:
            added = self._db.execute(
                "INSERT INTO writes (due, method, request) VALUES (?, ?, ?)", (due, method, request)
            )
            return int(added.lastrowid or 0)

    def queued(self) -> list[tuple[int, float, str, bytes]]:
        """Number, due time (seconds of the epoch), method and request of each queued write."""
        query = "SELECT number, due, method, request FROM writes ORDER BY number"
        with self.lock:
            return self._db.execute(query).fetchall()

    def unqueue(self, number: int) -> None:
        """Take a write out of the queue."""
        with self.lock:
            self._db.execute("DELETE FROM writes WHERE number = ?", (number,))

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._db.close()
