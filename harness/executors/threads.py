"""Threads that a program need not wait for at its end: a plugin may hang in one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """So many threads, started as they are needed. They end with the block, or are left behind.

    `concurrent.futures` has the same, but Python waits for its threads whatever they do.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._futures: set[Future[object]] = set()
        self._stopped = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in self._threads:
            self._work.put(None)
        for thread in () if self._stopped else self._threads:
            thread.join()

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a function called as soon as a thread is free."""
        future: Future[T] = Future()
        self._futures.add(future)  # type: ignore[arg-type]

        def work() -> None:
            self._futures.discard(future)
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._work.put(work)
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def stop(self) -> None:
        """Begin nothing that has not begun; nobody waits for what has."""
        self._stopped = True
        with contextlib.suppress(KeyError):
            while True:
                self._futures.pop().cancel()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
