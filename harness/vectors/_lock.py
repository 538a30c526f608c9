"""A lock that many readers share and one writer has alone, fair to both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class ReadWriteLock:
    """Readers wait for a waiting writer; a writer lets in the readers that waited before the next.

    Not reentrant: a thread that reads must not ask again, for a writer may be in between.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0
        self._readers_waiting = 0
        self._admitted = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Share the lock with other readers."""
        with self._changed:
            self._readers_waiting += 1
            try:
                while self._writing or (self._writers_waiting and not self._admitted):
                    self._changed.wait()
                self._readers += 1
            finally:  # also if the wait was interrupted, so that nobody waits for this one
                self._readers_waiting -= 1
                self._admitted = min(max(0, self._admitted - 1), self._readers_waiting)
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if not self._readers:
                    self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Have the lock alone."""
        with self._changed:
            self._writers_waiting += 1
            try:
                while self._writing or self._readers or self._admitted:
                    self._changed.wait()
                self._writing = True
            finally:
                self._writers_waiting -= 1
                if not self._writing:
                    self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._admitted = self._readers_waiting
                self._changed.notify_all()
