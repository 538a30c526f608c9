"""One event loop in the background, for every call: it works from plain code and from Jupyter."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")

_STARTING = threading.Lock()


def run(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine on the background loop, and wait for what it gives.

    Interrupted, it lets calls that are under way end for a moment, then cancels the rest.
    """
    from harness.calls.sessions import GRACE_S, outside_of_runs

    with outside_of_runs() as session:
        future = asyncio.run_coroutine_threadsafe(work, event_loop())
        try:
            return future.result()
        except KeyboardInterrupt:
            session.stop()
            with contextlib.suppress(Exception):
                future.exception(GRACE_S + 0.25)
            future.cancel()
            raise


async def hop(work: Coroutine[object, object, T]) -> T:
    """Await a coroutine on the background loop, from whichever loop one is on."""
    if asyncio.get_running_loop() is event_loop():
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, event_loop()))


async def drained(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """What coroutines give, run at the same time; if one fails, what is under way ends first.

    Raises:
        Exception: what the first of them raised that failed, once all have ended.
    """
    works = list(work)
    if len(works) == 1:  # costs no task
        return [await works[0]]
    tasks = [asyncio.ensure_future(one) for one in works]
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


def event_loop() -> asyncio.AbstractEventLoop:
    """The background loop, started when it is first needed."""
    with _STARTING:  # two threads that come first at once would start a loop each
        return _started_loop()


@functools.cache
def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="harness-calls", daemon=True).start()
    return loop
