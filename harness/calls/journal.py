"""The journal of calls: every reply is in the store before anybody sees it.

Reads and writes go in groups to one thread, so that a call costs a share of a transaction, and the
event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from harness.calls.values import Reply

if TYPE_CHECKING:
    from harness.store import Store
    from harness.store.calls import CallRecord

T = TypeVar("T")
R = TypeVar("R")


class Grouped(Generic[T, R]):
    """Hands items to `work` in groups, in a thread, one group at a time."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._busy: asyncio.Task[None] | None = None

    async def do(self, item: T) -> R:
        """What `work` gives for an item."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._busy is None:
            self._busy = asyncio.create_task(self._go_on())
        return await done

    async def empty(self) -> None:
        """Wait until nothing is left to do."""
        while self._busy is not None:
            await asyncio.wait([self._busy])

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._one(group)
        finally:
            self._busy = None

    async def _one(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            found = await asyncio.to_thread(self._work, [item for item, _ in group])
        except Exception as error:
            for _, done in group:
                if not done.done():
                    done.set_exception(error)
            return
        for (_, done), result in zip(group, found, strict=True):
            if not done.done():
                done.set_result(result)


class Journal:
    """The calls of a store, read and written from the event loop."""

    def __init__(self, store: Store) -> None:
        self._calls = store.calls
        self._reads: Grouped[str, Reply | None] = Grouped(self._replies)
        self._writes: Grouped[CallRecord, None] = Grouped(self._add)
        self.used = False

    async def reply(self, key: str) -> Reply | None:
        """The recorded reply to a request, if there is one."""
        self.used = True
        return await self._reads.do(key)

    async def flush(self) -> None:
        """Return when all that was to be recorded is."""
        await self._writes.empty()

    async def add(self, record: CallRecord) -> None:
        """Record a call, with or without a reply; returns when it is in the store.

        It is written even if who waits for it is cancelled: it stands in line by then.
        """
        await self._writes.do(record)

    def _replies(self, keys: Sequence[str]) -> Sequence[Reply | None]:
        found: Mapping[str, Reply] = self._calls.replies(keys)
        return [found.get(key) for key in keys]

    def _add(self, records: Sequence[CallRecord]) -> Sequence[None]:
        self._calls.add(records)
        return [None] * len(records)
