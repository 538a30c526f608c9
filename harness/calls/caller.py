"""The caller: makes one provider's calls, and does what is right when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from harness.calls.budget import Budget, priced
from harness.calls.loop import event_loop, hop
from harness.calls.session import Session, current
from harness.calls.settings import CallSettings
from harness.calls.slots import Slots
from harness.calls.values import (
    CallError,
    Failure,
    NotAnswered,
    Provider,
    Reply,
    Request,
    Stopped,
)
from harness.components import Call, Unscored, Usage
from harness.errors import HarnessError
from harness.fingerprint import digest

_CAUSES: Mapping[Failure, Unscored] = {
    Failure.RATE_LIMIT: Unscored.RATE_LIMIT,
    Failure.SERVER_ERROR: Unscored.SERVER_ERROR,
    Failure.CONNECTION: Unscored.CONNECTION,
    Failure.TIMEOUT: Unscored.TIMEOUT,
    Failure.REQUEST: Unscored.SCORER_ERROR,
}
_BACKOFF_S, _LONGEST_S = 0.25, 8.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, priced, and the call that brought it."""

    reply: Reply
    call: Call


class Deadline:
    """Seconds for one sample; they run from its first call on, not while it waits in line."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._ends = seconds, float("inf")

    def start(self) -> None:
        """Let it run, unless it does."""
        self._ends = min(self._ends, time.monotonic() + self._seconds)

    def left(self) -> float:
        """Seconds that are left; all of them before it starts."""
        return min(self._seconds, self._ends - time.monotonic())


@dataclass(slots=True)
class _Spending:
    """What one caller keeps for one run: its budget, and why no call can succeed any more."""

    budget: Budget
    ended: str = ""


class Caller:
    """Makes calls of one provider: bounded, retried, within a budget, journalled.

    What a failure leads to:

    | failure | what is done | `Unscored` in the end |
    |---|---|---|
    | rate limit | waits as told; no try is used up; the deadline ends it | rate_limit |
    | server error, connection, timeout | again after 0.25, 0.5 … 8 s, `tries` times | the same |
    | request | nothing | scorer_error |
    | account | every later call fails at once, and the run ends | - |

    Safe to use from any event loop and thread: the calls run on one loop in the background.
    """

    def __init__(self, provider: Provider, settings: CallSettings | None = None) -> None:
        self.provider, self.settings = provider, settings or CallSettings()
        self.slots = Slots(self.settings.concurrency)
        self._jitter = random.Random(0)
        weakref.finalize(self, _close, provider)

    def key(self, request: Request, salt: str = "") -> str:
        """What a reply is recorded under: all that decides it."""
        asked = {"of": dict(self.provider.identity()), "asked": request.canonical()}
        return digest({**asked, "salt": salt} if salt else asked)

    async def call(self, request: Request, deadline: Deadline | None = None) -> Answer:
        """The reply to a request, recorded or new.

        Raises:
            NotAnswered: when it cannot be had, with the cause.
            HarnessError: when no call can succeed, or the run was stopped.
        """
        return await hop(self._call(request, deadline or Deadline(self.settings.deadline_s)))

    async def _call(self, request: Request, deadline: Deadline) -> Answer:
        session = current()
        key = self.key(request, session.salt)
        if session.journal is not None:
            found = await session.journal.reply(key)
            if found is not None:
                return self._answer(found, 0.0, cached=True)
        spending = self._spending(session)
        failures = urgency = 0
        while True:
            try:
                return await self._try(request, key, session, spending, deadline, urgency)
            except CallError as error:
                failures += error.failure is not Failure.RATE_LIMIT
                self._give_up(error, failures, spending)
                await self._wait(error, failures + urgency, session, deadline)
                urgency += 1

    def spent(self, session: Session) -> Usage:
        """What this caller's calls of a run used so far, the worst case where nobody told."""
        return self._spending(session).budget.spent

    def _spending(self, session: Session) -> _Spending:
        return session.of(self, lambda: _Spending(Budget(self.settings)))

    async def _try(
        self,
        request: Request,
        key: str,
        session: Session,
        spending: _Spending,
        deadline: Deadline,
        urgency: int,
    ) -> Answer:
        """One call, with a slot and a reservation of the budget."""
        with _stoppable(session, session.waiting()):
            await self.slots.take(urgency)
        try:
            self._check(session, spending)
            deadline.start()
            most = request.most_tokens
            with _stoppable(session, session.waiting()):
                if not await spending.budget.reserve(most):
                    raise NotAnswered(Unscored.BUDGET, spending.budget.said())
            return await self._paid(request, key, session, spending.budget, deadline)
        finally:
            self.slots.give_back()

    async def _paid(
        self, request: Request, key: str, session: Session, budget: Budget, deadline: Deadline
    ) -> Answer:
        """Send, settle and record; whatever happens, the reservation is given back."""
        most, began = request.most_tokens, time.monotonic()
        used: Usage | None = most  # unless the call says otherwise
        try:
            with _stoppable(session, session.sending()):
                reply = await self._send(request, deadline)
            used = reply.usage or most
            answer = self._answer(reply, time.monotonic() - began)
            await self._record(session, key, answer, None)
            return answer
        except CallError as error:
            if error.may_be_billed:
                empty = Answer(Reply(""), Call(latency_s=time.monotonic() - began))
                await self._record(session, key, empty, error)
            else:
                used = None
            raise
        finally:
            await asyncio.shield(budget.settle(most, used))

    async def _send(self, request: Request, deadline: Deadline) -> Reply:
        seconds = min(self.settings.timeout_s, max(deadline.left(), 0.001))
        try:
            async with asyncio.timeout(seconds):
                reply = await self.provider.send(request)
        except TimeoutError:
            said = f"no reply within {seconds:.3g} s"
            raise CallError(Failure.TIMEOUT, said, may_be_billed=True) from None
        except CallError as error:
            if error.failure is Failure.RATE_LIMIT:
                wait = error.retry_after_s or 0.0
                self.slots.tell(True, wait if wait <= deadline.left() else 0.0)
            raise
        self.slots.tell(False)
        if reply.pause_s > 0:
            self.slots.pause(min(reply.pause_s, self.settings.deadline_s))
        return reply

    def _answer(self, reply: Reply, seconds: float, *, cached: bool = False) -> Answer:
        usage = None if reply.usage is None else priced(reply.usage, self.settings)
        call = Call(reply.model, reply.request_id, seconds, cached)
        return Answer(replace(reply, usage=usage), call)

    async def _record(
        self, session: Session, key: str, answer: Answer, error: CallError | None
    ) -> None:
        if session.journal is not None:
            from harness.store.calls import CallRecord

            outcome = str(error.failure) if error else answer.reply.finish
            record = CallRecord(key, self.provider.name, outcome, answer.reply, answer.call)
            await session.journal.add(record)

    def _check(self, session: Session, spending: _Spending) -> None:
        if session.stopped:
            raise Stopped(_STOPPED)
        if spending.ended:
            raise HarnessError(spending.ended)

    def _give_up(self, error: CallError, failures: int, spending: _Spending) -> None:
        if error.failure is Failure.ACCOUNT:
            spending.ended = f"{self.provider.name}: {error}"
            raise HarnessError(spending.ended) from error
        if error.failure is Failure.REQUEST or failures >= self.settings.tries:
            tried = f" ({failures} tries)" if failures > 1 else ""
            raise NotAnswered(_CAUSES[error.failure], f"{error}{tried}") from error

    async def _wait(
        self, error: CallError, times: int, session: Session, deadline: Deadline
    ) -> None:
        backoff = min(_BACKOFF_S * 2 ** max(times - 1, 0), _LONGEST_S)
        told = error.retry_after_s
        seconds = backoff * self._jitter.uniform(0.5, 1.0)
        if told is not None and told > 0:
            seconds = told * self._jitter.uniform(1.0, 1.1)
        if seconds >= deadline.left():
            why = f"{error}; the next try would be in {seconds:.3g} s, after deadline_s"
            raise NotAnswered(_CAUSES[error.failure], why) from error
        with _stoppable(session, session.waiting()):
            await asyncio.sleep(seconds)


_STOPPED = "interrupted; what was paid for is recorded, and the same run goes on from there"


@contextlib.contextmanager
def _stoppable(session: Session, member: contextlib.AbstractContextManager[None]) -> Iterator[None]:
    """Within it a stop of the session ends the task's wait as Stopped."""
    if session.stopped:
        raise Stopped(_STOPPED)
    try:
        with member:
            yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if session.stopped and task is not None and task.cancelling():
            task.uncancel()
            raise Stopped(_STOPPED) from None
        raise


def _close(provider: Provider) -> None:
    """Close a provider's client on the loop that it lives on."""
    asyncio.run_coroutine_threadsafe(provider.close(), event_loop())
