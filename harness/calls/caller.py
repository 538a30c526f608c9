"""The caller: makes one provider's calls, and does what is right when they fail."""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.calls.budget import Budget, priced
from harness.calls.loop import event_loop, hop
from harness.calls.sessions import STOPPED, Session, current
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
from harness.data.plain import storable
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
    """What one caller keeps for one run: budget, calls under way, and why none can succeed."""

    budget: Budget
    under_way: dict[str, asyncio.Future[Answer]] = field(default_factory=dict)
    ended: str = ""


@dataclass(frozen=True, slots=True)
class _Work:
    """A reply that is wanted, and for which run."""

    request: Request
    key: str
    session: Session
    spending: _Spending
    deadline: Deadline


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
        # Replies that are being recorded hold no slot, but there may only be so many: a process
        # that dies loses them.
        self._window = Slots(2 * self.settings.concurrency)
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

    def spent(self, session: Session) -> Usage:
        """What this caller's calls of a run used so far, the worst case where nobody told."""
        return self._spending(session).budget.spent

    def _spending(self, session: Session) -> _Spending:
        return session.of(self, lambda: _Spending(Budget(self.settings)))

    async def _call(self, request: Request, deadline: Deadline) -> Answer:
        session = current()
        key, spending = self.key(request, session.salt), self._spending(session)
        work = _Work(request, key, session, spending, deadline)
        if session.journal is None:
            return await self._persist(work)
        asked = spending.under_way.get(key)
        if asked is not None:  # the same at the same time: it is paid for once
            answer = await asyncio.shield(asked)
            return replace(answer, call=replace(answer.call, cached=True))
        spending.under_way[key] = coming = asyncio.get_running_loop().create_future()
        try:
            found = await session.journal.reply(key)
            if found is None:
                answer = await self._persist(work)
            else:
                answer = self._answer(found, 0.0, cached=True)
            coming.set_result(answer)
            return answer
        except BaseException as error:
            failed = isinstance(error, asyncio.CancelledError)
            coming.set_exception(Stopped(STOPPED) if failed else error)
            coming.exception()  # told to whoever waits; nobody else has to hear of it
            raise
        finally:
            del spending.under_way[key]

    async def _persist(self, work: _Work) -> Answer:
        """Try until there is a reply, or none can be had."""
        failures = limits = 0
        while True:
            try:
                return await self._try(work, failures + limits)
            except CallError as error:
                limited = error.failure is Failure.RATE_LIMIT
                limits, failures = limits + limited, failures + (not limited)
                self._give_up(error, failures, work.spending)
                await self._wait(error, limits if limited else failures, work)

    async def _try(self, work: _Work, urgency: int) -> Answer:
        """One call, which has a place in the window until it is recorded."""
        await self._take(self._window, work, urgency)
        try:
            return await self._paid(work, urgency)
        finally:
            self._window.give_back()

    async def _paid(self, work: _Work, urgency: int) -> Answer:
        """One call, with a reservation of the budget that is settled whatever happens."""
        most, began = work.request.most_tokens, time.monotonic()
        used: Usage | None = None
        reserved = False
        try:
            await self._take(self.slots, work, urgency)
            try:
                reserved = await self._reserve(work, most)
                work.deadline.start()
                began, used = time.monotonic(), most  # unless the call says otherwise
                with work.session.sending():
                    reply = await self._send(work)
            finally:
                self.slots.give_back()
            used = reply.usage or most
            answer = self._answer(reply, time.monotonic() - began)
            await self._record(work, answer, None)
            return answer
        except CallError as error:
            used = error.usage or (most if error.may_be_billed else None)
            if used is not None:
                seconds = time.monotonic() - began
                await self._record(work, self._answer(Reply("", usage=error.usage), seconds), error)
            raise
        finally:
            if reserved:
                work.spending.budget.settle(most, used)

    async def _take(self, slots: Slots, work: _Work, urgency: int) -> None:
        """Wait for a slot, which is to be given back; whatever ended the run ends this."""
        with work.session.waiting():
            await slots.take(urgency)
        if work.spending.ended:
            slots.give_back()
            raise HarnessError(work.spending.ended)

    async def _reserve(self, work: _Work, most: Usage) -> bool:
        with work.session.waiting():
            if not await work.spending.budget.reserve(most):
                raise NotAnswered(Unscored.BUDGET, work.spending.budget.said())
        return True

    async def _send(self, work: _Work) -> Reply:
        seconds = min(self.settings.timeout_s, max(work.deadline.left(), 0.001))
        try:
            async with asyncio.timeout(seconds):
                reply = await self.provider.send(work.request)
        except TimeoutError:
            said = f"no reply within {seconds:.3g} s"
            raise CallError(Failure.TIMEOUT, said, may_be_billed=True) from None
        except CallError as error:
            if error.failure is Failure.ACCOUNT:  # before a slot is free for the next one
                work.spending.ended = f"{self.provider.name}: {error}"
            if error.failure is Failure.RATE_LIMIT:
                wait = error.retry_after_s or 0.0
                self.slots.tell(True, wait if wait <= work.deadline.left() else 0.0)
            raise
        self.slots.tell(False)
        if reply.pause_s > 0:
            self.slots.pause(min(reply.pause_s, self.settings.deadline_s))
        return reply

    def _answer(self, reply: Reply, seconds: float, *, cached: bool = False) -> Answer:
        """The reply priced, in text that can be stored and sent back."""
        usage = None if reply.usage is None else priced(reply.usage, self.settings)
        call = Call(reply.model, reply.request_id, seconds, cached)
        return Answer(replace(reply, text=storable(reply.text), usage=usage), call)

    async def _record(self, work: _Work, answer: Answer, error: CallError | None) -> None:
        if work.session.journal is not None:
            from harness.store.calls import CallRecord

            outcome = str(error.failure) if error else answer.reply.finish
            record = CallRecord(work.key, self.provider.name, outcome, answer.reply, answer.call)
            try:
                await work.session.journal.add(record)
            except HarnessError as failed:  # what cannot be kept is not to be paid for
                work.spending.ended = work.spending.ended or str(failed)
                raise

    def _give_up(self, error: CallError, failures: int, spending: _Spending) -> None:
        if error.failure is Failure.ACCOUNT:
            raise HarnessError(spending.ended) from error
        if error.failure is Failure.REQUEST or failures >= self.settings.tries:
            tried = f" ({failures} tries)" if failures > 1 else ""
            raise NotAnswered(_CAUSES[error.failure], f"{error}{tried}") from error

    async def _wait(self, error: CallError, times: int, work: _Work) -> None:
        """Wait before the next try, after `times` failures of this kind."""
        backoff = min(_BACKOFF_S * 2 ** (times - 1), _LONGEST_S)
        seconds = backoff * self._jitter.uniform(0.5, 1.0)
        if error.retry_after_s:
            seconds = error.retry_after_s * self._jitter.uniform(1.0, 1.1)
        if seconds >= work.deadline.left():
            why = f"{error}; the next try would be in {seconds:.3g} s, after deadline_s"
            raise NotAnswered(_CAUSES[error.failure], why) from error
        with work.session.waiting():
            await asyncio.sleep(seconds)


def _close(provider: Provider) -> None:
    """Close a provider's client on the loop that it lives on."""
    asyncio.run_coroutine_threadsafe(provider.close(), event_loop())
