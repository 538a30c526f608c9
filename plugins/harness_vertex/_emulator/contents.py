"""The vectors of every index: opened when they are first used, and swapped whole."""

from __future__ import annotations

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.vectors import Problem, VectorError, VectorIndex, VectorSettings
from harness_vertex._emulator.errors import missing
from harness_vertex._emulator.store import Store

T = TypeVar("T")


class Library:
    """The vector indexes by resource name, each in a folder of its own (or in memory).

    An index has one folder after the other: a complete overwrite fills a new one, which takes
    the place of the old one in one step.
    """

    def __init__(self, store: Store, root: Path | None) -> None:
        self._store, self._root = store, root
        self._lock = threading.Lock()
        self._open: dict[str, VectorIndex] = {}
        self._writing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        if root is not None:
            root.mkdir(parents=True, exist_ok=True)
            self._sweep(root)

    def new(self, settings: VectorSettings) -> tuple[str, VectorIndex]:
        """An empty index that nobody sees yet, and its folder's name."""
        key = f"{time.time_ns():x}"
        return key, VectorIndex(settings, folder=self._folder(key))

    def publish(self, name: str, key: str, index: VectorIndex) -> None:
        """Put an index under a resource name; what was there before is deleted."""
        with self._lock:
            old, old_key = self._open.get(name), self._store.get("contents", name)
            self._store.put("contents", name, key.encode())
            self._open[name] = index
        self._discard(old, old_key)

    def discard(self, key: str, index: VectorIndex) -> None:
        """Delete an index that was not published."""
        self._discard(index, key.encode())

    def drop(self, name: str) -> None:
        """Delete the index under a resource name, if there is one."""
        with self._lock:
            old, old_key = self._open.pop(name, None), self._store.get("contents", name)
            self._store.delete("contents", name)
        self._discard(old, old_key)

    def writing(self, name: str) -> threading.Lock:
        """What a write holds, so that none goes into contents that are about to be replaced."""
        return self._writing[name]

    def use(self, name: str, work: Callable[[VectorIndex], T]) -> T:
        """What `work` gives for the index of a name, also while that one is replaced."""
        try:
            return work(self.index(name))
        except VectorError as error:
            if error.problem is not Problem.CLOSED:
                raise
            return work(self.index(name))

    def index(self, name: str) -> VectorIndex:
        """The index under a resource name; NOT_FOUND if there is none."""
        index = self._open.get(name)
        return self._opened(name) if index is None else index

    def close(self) -> None:
        """Close every index."""
        with self._lock:
            for index in self._open.values():
                index.close()
            self._open.clear()

    def _opened(self, name: str) -> VectorIndex:
        with self._lock:
            if name not in self._open:
                key = self._store.get("contents", name)
                if key is None:
                    raise missing("Index", name)
                self._open[name] = VectorIndex(folder=self._folder(key.decode()))
            return self._open[name]

    def _folder(self, key: str) -> Path | None:
        return None if self._root is None else self._root / key

    def _discard(self, index: VectorIndex | None, key: bytes | None) -> None:
        if index is not None:
            index.close()
        if key is not None and self._root is not None:
            shutil.rmtree(self._root / key.decode(), ignore_errors=True)

    def _sweep(self, root: Path) -> None:
        """Delete folders that an emulator that was killed had not published, or not deleted."""
        kept = {key.decode() for _, key in self._store.all("contents")}
        for folder in root.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
