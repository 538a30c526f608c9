"""What calls of one run have in common: where they are kept, their budgets, and being stopped.

The session is a context variable, so a scorer within a scorer within a run finds it, and a scorer
that stands alone needs none.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from harness.calls.journal import Journal
from harness.calls.loop import event_loop
from harness.calls.values import Stopped

if TYPE_CHECKING:
    from harness.store import Store

Kept = WeakKeyDictionary[object, object]
Tasks = set[asyncio.Task[object]]

GRACE_S = 1.5
"""Seconds that calls under way have to end when a run is interrupted."""

STOPPED = "interrupted; what was paid for is recorded, and the same run goes on from there"

T = TypeVar("T")


class Session:
    """A run's calls. With a store every reply is journalled, and none is paid for twice.

    `salt` keeps a run that asks for everything again from finding what others recorded.
    """

    def __init__(
        self, store: Store | None = None, salt: str = "", kept: Kept | None = None
    ) -> None:
        self.journal = Journal(store) if store is not None else None
        self.salt = salt
        self.stopped = False
        self._of: Kept = WeakKeyDictionary() if kept is None else kept
        self._waiting: Tasks = set()
        self._sending: Tasks = set()

    def of(self, owner: object, make: Callable[[], T]) -> T:
        """What an owner keeps for this run, made when it is first asked for."""
        if owner not in self._of:
            self._of[owner] = make()
        return self._of[owner]  # type: ignore[return-value]

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Start no call any more; those under way have `grace_s` to end. From any thread."""
        self.stopped = True
        event_loop().call_soon_threadsafe(self._stop, grace_s)

    def waiting(self) -> Stoppable:
        """While the current task waits for its turn: it is cancelled at once by a stop."""
        return Stoppable(self, self._waiting)

    def sending(self) -> Stoppable:
        """While the current task's call is under way: it has some time to end."""
        return Stoppable(self, self._sending)

    def _stop(self, grace_s: float) -> None:
        for task in list(self._waiting):
            task.cancel()
        event_loop().call_later(grace_s, self._cancel)

    def _cancel(self) -> None:
        for task in list(self._sending):
            task.cancel()


class Stoppable:
    """Within it a stop of the session ends the current task's wait as Stopped.

    A class and no generator: every call goes through several.
    """

    __slots__ = ("_session", "_task", "_tasks")

    def __init__(self, session: Session, tasks: Tasks) -> None:
        self._session, self._tasks = session, tasks

    def __enter__(self) -> None:
        if self._session.stopped:
            raise Stopped(STOPPED)
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._tasks.add(task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tasks.discard(self._task)
        ours = isinstance(error, asyncio.CancelledError) and self._task.cancelling()
        if ours and self._session.stopped:
            self._task.uncancel()
            raise Stopped(STOPPED) from None


_CURRENT: contextvars.ContextVar[Session | None] = contextvars.ContextVar("session", default=None)
_OUTSIDE: Kept = WeakKeyDictionary()  # budgets of what is called outside of every run


def current() -> Session:
    """The session of the running code; outside of every run, one that journals nothing."""
    return _CURRENT.get() or Session(kept=_OUTSIDE)


@contextlib.contextmanager
def outside_of_runs() -> Iterator[Session]:
    """The session of the running code, or for a call outside of every run one of its own."""
    found = _CURRENT.get()
    if found is not None:
        yield found
        return
    token = _CURRENT.set(found := Session(kept=_OUTSIDE))
    try:
        yield found
    finally:
        _CURRENT.reset(token)


@contextlib.contextmanager
def session(store: Store | None = None, salt: str = "") -> Iterator[Session]:
    """Everything called within belongs to one run, whose replies are kept in `store`.

    Calls are known by context: hand it on to threads (`contextvars.copy_context().run`).
    """
    made = Session(store, salt)
    token = _CURRENT.set(made)
    try:
        yield made
    finally:
        _CURRENT.reset(token)
        if made.journal is not None and made.journal.used:
            asyncio.run_coroutine_threadsafe(made.journal.flush(), event_loop()).result()
