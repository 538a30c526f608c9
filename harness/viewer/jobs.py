"""Work that takes longer than a page may: done once, behind it, and remembered."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_REST = 5  # times as long as reading took, until what changed is read again


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What is known: the value, or an older or partial one; `pending` while a newer one is made."""

    value: T | None
    pending: bool


@dataclass(slots=True)
class _Entry:
    version: Hashable
    future: Future[object]
    fallback: object
    began: float
    took: float = 0.0


class Jobs:
    """A few threads, and the last results by key.

    A request waits `patience` seconds at most for each result. What is asked for with another
    version is made anew, but not all the time: a run under way changes faster than it is read.
    """

    def __init__(self, *, patience: float = 0.1, workers: int = 2, kept: int = 256) -> None:
        self.patience = patience
        self.stopping = threading.Event()
        self.done = 0
        self._kept = kept
        self._pool = ThreadPoolExecutor(workers, "viewer")
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def answer(
        self,
        key: Hashable,
        version: Hashable,
        work: Callable[[], T],
        *,
        partial: T | None = None,
        patience: float | None = None,
    ) -> Answer[T]:
        """The result of `work`, as far as there is one by now; raises what it raised.

        `partial` stands for it until it is there.
        """
        entry = self._entry(key, version, work, partial)
        try:
            value = entry.future.result(self.patience if patience is None else patience)
        except NotYetError:
            return Answer(cast("T | None", entry.fallback), pending=True)
        return Answer(cast(T, value), pending=entry.version != version)

    def close(self) -> None:
        """Start nothing more, and tell what runs that it may stop."""
        self.stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _entry(
        self, key: Hashable, version: Hashable, work: Callable[[], T], partial: T | None
    ) -> _Entry:
        with self._lock:
            known = self._entries.get(key)
            if known is None or (known.version != version and self._may_renew(known)):
                fallback = partial if known is None else _value_of(known)
                known = _Entry(version, Future(), fallback, time.monotonic())
                known.future = self._pool.submit(self._run, known, work)
                self._entries[key] = known
            self._entries.move_to_end(key)
            while len(self._entries) > self._kept:
                self._entries.popitem(last=False)
            return known

    def _may_renew(self, entry: _Entry) -> bool:
        ended = entry.began + entry.took
        return entry.future.done() and time.monotonic() - ended >= _REST * entry.took

    def _run(self, entry: _Entry, work: Callable[[], T]) -> T:
        entry.began = time.monotonic()
        try:
            return work()
        finally:
            entry.took = time.monotonic() - entry.began
            self.done += 1


def _value_of(entry: _Entry) -> object:
    return None if entry.future.exception() else entry.future.result()


class Memory(Generic[T]):
    """The last few values by key; a value is made once, however many ask for it."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._found: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def peek(self, key: Hashable) -> T | None:
        """The value, if it is there."""
        with self._lock:
            return self._found.get(key)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value, made if it is not there."""
        with self._lock:
            own = self._making.setdefault(key, threading.Lock())
        with own:
            found = self.peek(key)
            value = make() if found is None else found
        with self._lock:
            self._making.pop(key, None)
            self._found[key] = value
            self._found.move_to_end(key)
            while len(self._found) > self._kept:
                self._found.popitem(last=False)
        return value
