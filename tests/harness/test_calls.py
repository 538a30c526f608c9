from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness import HarnessError, Unscored, Usage
from harness.calls import (
    Caller,
    CallError,
    CallSettings,
    Capabilities,
    Failure,
    Message,
    NotAnswered,
    Reply,
    Request,
    Session,
    Stopped,
    Unreadable,
    ask,
    run,
    session,
)
from harness.calls.caller import Answer
from harness.calls.loop import drained
from harness.calls.slots import Slots
from harness.store import Store

Answering = Callable[[Request, int], Reply | CallError]


class Scripted:
    """A provider that answers by a function of the request and how often it was asked."""

    name = "scripted"
    capabilities = Capabilities()

    def __init__(self, answer: Answering, latency_s: float = 0.0) -> None:
        self._answer, self._latency_s = answer, latency_s
        self.asked: Counter[str] = Counter()
        self.order: list[str] = []
        self.under_way = self.most_under_way = 0
        self.closed = threading.Event()

    def identity(self) -> Mapping[str, str]:
        return {"name": self.name}

    async def send(self, request: Request) -> Reply:
        said = request.messages[-1].content
        self.asked[said] += 1
        self.order.append(said)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self._latency_s)
        finally:
            self.under_way -= 1
        found = self._answer(request, self.asked[said])
        if isinstance(found, CallError):
            raise found
        return found

    async def close(self) -> None:
        self.closed.set()


def asking(text: str, **options: object) -> Request:
    return Request((Message("user", text),), 10, **options)  # type: ignore[arg-type]


def good(request: Request, times: int) -> Reply:
    return Reply(f"reply to {request.messages[-1].content}", usage=Usage(10, 5))


def failing(failure: Failure, until: int, **options: object) -> Answering:
    def answer(request: Request, times: int) -> Reply | CallError:
        if times < until:
            return CallError(failure, f"{failure} it was", **options)  # type: ignore[arg-type]
        return good(request, times)

    return answer


def call_all(caller: Caller, *texts: str) -> list[Answer | BaseException]:
    async def one(text: str) -> Answer | BaseException:
        try:
            return await caller.call(asking(text))
        except (NotAnswered, HarnessError) as error:
            return error

    async def everything() -> list[Answer | BaseException]:
        return await asyncio.gather(*(one(text) for text in texts))

    return run(everything())


@pytest.mark.parametrize(
    "failure", [Failure.SERVER_ERROR, Failure.CONNECTION, Failure.TIMEOUT, Failure.RATE_LIMIT]
)
def test_what_may_pass_is_asked_again(failure: Failure) -> None:
    provider = Scripted(failing(failure, until=3))
    (answer,) = call_all(Caller(provider), "a")
    assert isinstance(answer, Answer)
    assert answer.reply.text == "reply to a"
    assert provider.asked["a"] == 3


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (Failure.SERVER_ERROR, Unscored.SERVER_ERROR),
        (Failure.CONNECTION, Unscored.CONNECTION),
        (Failure.TIMEOUT, Unscored.TIMEOUT),
    ],
)
def test_tries_are_bounded_and_the_cause_is_told(failure: Failure, cause: Unscored) -> None:
    provider = Scripted(failing(failure, until=99))
    (error,) = call_all(Caller(provider, CallSettings(tries=2)), "a")
    assert isinstance(error, NotAnswered)
    assert error.cause == cause
    assert "2 tries" in error.reason
    assert provider.asked["a"] == 2


def test_a_refused_request_is_not_repeated_and_others_go_on() -> None:
    def answer(request: Request, times: int) -> Reply | CallError:
        if request.messages[-1].content == "bad":
            return CallError(Failure.REQUEST, "too long")
        return good(request, times)

    provider = Scripted(answer)
    bad, fine = call_all(Caller(provider), "bad", "fine")
    assert isinstance(bad, NotAnswered)
    assert bad.cause == Unscored.SCORER_ERROR
    assert isinstance(fine, Answer)
    assert provider.asked["bad"] == 1


def test_waiting_for_a_rate_limit_uses_up_no_tries() -> None:
    provider = Scripted(failing(Failure.RATE_LIMIT, until=9, retry_after_s=0.001))
    (answer,) = call_all(Caller(provider, CallSettings(tries=1)), "a")
    assert isinstance(answer, Answer)


@pytest.mark.parametrize("told", [300.0, 1e9])
def test_the_deadline_wins_over_what_the_service_asks_for(told: float) -> None:
    provider = Scripted(failing(Failure.RATE_LIMIT, until=99, retry_after_s=told))
    (error,) = call_all(Caller(provider, CallSettings(deadline_s=5)), "a")
    assert isinstance(error, NotAnswered)
    assert error.cause == Unscored.RATE_LIMIT
    assert provider.asked["a"] == 1


def test_a_call_that_hangs_is_given_up() -> None:
    provider = Scripted(good, latency_s=60)
    (error,) = call_all(Caller(provider, CallSettings(timeout_s=0.02, tries=1)), "a")
    assert isinstance(error, NotAnswered)
    assert error.cause == Unscored.TIMEOUT


def test_waiting_in_line_is_not_held_against_a_sample() -> None:
    provider = Scripted(good, latency_s=0.05)
    settings = CallSettings(concurrency=1, deadline_s=0.12, timeout_s=0.12)
    answers = call_all(Caller(provider, settings), *"abcdef")
    assert all(isinstance(answer, Answer) for answer in answers)
    assert provider.most_under_way == 1


def test_a_wrong_key_ends_everything_after_one_call() -> None:
    provider = Scripted(failing(Failure.ACCOUNT, until=99))
    caller = Caller(provider, CallSettings(concurrency=1))
    with session():
        errors = call_all(caller, *"abcdef")
    assert all(isinstance(e, HarnessError) and "account it was" in str(e) for e in errors)
    assert provider.asked.total() == 1


def test_who_was_told_to_try_again_goes_first() -> None:
    provider = Scripted(
        lambda r, times: (
            CallError(Failure.RATE_LIMIT, "wait", retry_after_s=0.001)
            if r.messages[-1].content == "a" and times == 1
            else good(r, times)
        ),
        latency_s=0.02,
    )
    call_all(Caller(provider, CallSettings(concurrency=1)), *"abcdefgh")
    assert provider.order.index("a", 1) <= 3


def test_a_random_rate_limit_leaves_the_limit_alone() -> None:
    slots = Slots(64)
    for number in range(200):
        slots.tell(number % 20 == 0)
    assert slots.limit == 64


def test_many_rate_limits_lower_the_limit_once_in_a_while_and_it_recovers() -> None:
    async def story() -> None:
        now = [100.0]
        slots = Slots(64, clock=lambda: now[0])
        for _ in range(50):
            slots.tell(True, 0.5)
        assert slots.limit == pytest.approx(64 * 0.8)
        for _ in range(20):
            now[0] += 15
            slots.tell(True)
        assert slots.limit == 10
        now[0] += 60
        for _ in range(10):
            await slots.take()
        for _ in range(11):
            slots.tell(False)
        assert slots.limit == 11

    asyncio.run(story())


def test_an_idle_limit_does_not_grow() -> None:
    slots = Slots(64)
    slots.limit = 20
    for _ in range(500):
        slots.tell(False)
    assert slots.limit == 20


def test_a_budget_is_kept_and_what_it_refuses_is_counted() -> None:
    provider = Scripted(good, latency_s=0.005)
    most = asking("a").most_tokens
    room = 10 * 15 + most.input_tokens + most.output_tokens
    with session():
        answers = call_all(
            Caller(provider, CallSettings(budget_tokens=room, concurrency=8)),
            *(f"{n:03}" for n in range(40)),
        )
    paid = [a for a in answers if isinstance(a, Answer)]
    refused = [a for a in answers if isinstance(a, NotAnswered)]
    assert 10 <= len(paid) <= 12
    assert len(paid) == provider.asked.total()
    assert sum(15 for _ in paid) <= room
    assert {e.cause for e in refused} == {Unscored.BUDGET}
    assert f"budget of {room} tokens" in refused[0].reason


def test_money_needs_prices() -> None:
    with pytest.raises(ValueError, match="needs input_price and output_price"):
        CallSettings(budget_usd=1)


def test_money_is_counted_with_cached_input_at_its_price() -> None:
    provider = Scripted(lambda r, n: Reply("x", usage=Usage(1000, 200, cached_tokens=600)))
    prices = CallSettings(input_price=10, output_price=50, cached_price=1, budget_usd=1)
    (answer,) = call_all(Caller(provider, prices), "a")
    assert isinstance(answer, Answer)
    assert answer.reply.usage is not None
    assert answer.reply.usage.cost_usd == pytest.approx((400 * 10 + 600 * 1 + 200 * 50) / 1e6)


def test_what_may_have_been_billed_counts_against_the_budget() -> None:
    async def story(billed: bool) -> Usage:
        provider = Scripted(failing(Failure.SERVER_ERROR, until=99, may_be_billed=billed))
        caller = Caller(provider, CallSettings(tries=1, budget_tokens=10_000))
        with session() as calls:
            with pytest.raises(NotAnswered):
                await caller.call(asking("a"))
            return caller.spent(calls)

    assert run(story(True)).input_tokens == asking("a").most_tokens.input_tokens
    assert run(story(False)).input_tokens == 0


def test_a_recorded_reply_is_not_paid_for_again(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        first = Scripted(good)
        with session(store):
            call_all(Caller(first), *"abc")
        again = Scripted(good)
        with session(store):
            answers = call_all(Caller(again, CallSettings(concurrency=2)), *"abcd")
        assert again.asked == {"d": 1}
        texts = [a.reply.text for a in answers if isinstance(a, Answer)]
        assert texts == [f"reply to {c}" for c in "abcd"]
        assert [a.call.cached for a in answers if isinstance(a, Answer)] == [True] * 3 + [False]
        assert store.calls.spent() == {"scripted": (4, Usage(40, 20, None))}
        anew = Scripted(good)
        with session(store, "salt"):
            call_all(Caller(anew), "a")
        assert anew.asked == {"a": 1}


def test_a_failure_that_may_be_billed_is_recorded_and_asked_again(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store, session(store):
        provider = Scripted(failing(Failure.SERVER_ERROR, until=2, may_be_billed=True))
        call_all(Caller(provider), "a")
        with store._database.reading() as connection:
            query = sa.text("SELECT outcome FROM calls ORDER BY id")
            assert list(connection.execute(query).scalars()) == ["server_error", "stop"]


def test_a_stop_ends_who_waits_and_keeps_what_is_under_way(tmp_path: Path) -> None:
    started = threading.Event()

    def stop_when_started(calls: Session) -> None:
        started.wait()
        calls.stop()

    class Slow(Scripted):
        async def send(self, request: Request) -> Reply:
            if self.under_way == 3:
                started.set()
            return await super().send(request)

    provider = Slow(good, latency_s=0.3)
    caller = Caller(provider, CallSettings(concurrency=4))
    with Store(tmp_path / "s.db") as store:
        with session(store) as calls:
            threading.Thread(target=stop_when_started, args=[calls]).start()
            began = time.monotonic()
            ended = call_all(caller, *"abcdefghij")
            assert time.monotonic() - began < 2
        stopped = [e for e in ended if isinstance(e, Stopped)]
        assert len(stopped) == 6
        assert provider.asked.total() == 4
        assert store.calls.spent()["scripted"][0] == 4


def test_a_stop_does_not_wait_for_a_call_that_hangs(tmp_path: Path) -> None:
    provider = Scripted(good, latency_s=60)
    with session() as calls:
        threading.Timer(0.05, lambda: calls.stop(grace_s=0.1)).start()
        began = time.monotonic()
        (ended,) = call_all(Caller(provider), "a")
    assert isinstance(ended, Stopped)
    assert time.monotonic() - began < 2


def test_calls_work_from_within_a_running_loop() -> None:
    async def cell() -> str:
        return (await Caller(Scripted(good)).call(asking("a"))).reply.text

    assert asyncio.run(cell()) == "reply to a"


def test_a_caller_that_is_gone_closes_its_client() -> None:
    provider = Scripted(good)
    call_all(Caller(provider), "a")
    assert provider.closed.wait(5)


def test_what_is_under_way_ends_before_the_first_error_is_raised() -> None:
    ended = []

    async def slow() -> None:
        await asyncio.sleep(0.01)
        ended.append(1)

    async def broken() -> None:
        raise HarnessError("first")

    with pytest.raises(HarnessError, match="first"):
        run(drained([broken(), slow()]))
    assert ended == [1]


def _number(reply: Reply) -> int:
    if not reply.text.isdigit():
        raise Unreadable("it is no number")
    return int(reply.text)


def test_an_unreadable_reply_is_sent_back_once() -> None:
    def answer(request: Request, times: int) -> Reply:
        return Reply("12" if len(request.messages) > 1 else "a dozen", usage=Usage(1, 1))

    asked = run(ask(Caller(Scripted(answer)), asking("how many"), _number))
    assert asked.value == 12
    assert asked.usage == Usage(2, 2)
    assert len(asked.calls) == 2


def test_a_reply_that_stays_unreadable_has_a_cause_and_its_price() -> None:
    provider = Scripted(lambda r, n: Reply("a dozen", usage=Usage(1, 1)))
    with pytest.raises(NotAnswered) as caught:
        run(ask(Caller(provider), asking("how many"), _number))
    assert caught.value.cause == Unscored.BAD_SCHEMA
    assert caught.value.usage == Usage(2, 2)
    assert provider.asked.total() == 2


def test_a_cut_off_reply_gets_a_longer_limit() -> None:
    def answer(request: Request, times: int) -> Reply:
        return Reply("12", "stop" if request.max_tokens >= 40 else "length", Usage(1, 1))

    asked = run(ask(Caller(Scripted(answer)), asking("how many"), _number))
    assert asked.value == 12
    assert len(asked.calls) == 3


def test_a_reply_that_is_always_cut_off_is_truncated_not_a_number() -> None:
    provider = Scripted(lambda r, n: Reply("12", "length", Usage(1, 1)))
    with pytest.raises(NotAnswered) as caught:
        run(ask(Caller(provider), asking("how many"), _number))
    assert caught.value.cause == Unscored.TRUNCATED
    assert provider.asked.total() == 3


def test_a_refusal_is_told_and_not_asked_again() -> None:
    provider = Scripted(lambda r, n: Reply("I will not", "refusal", Usage(1, 1)))
    with pytest.raises(NotAnswered) as caught:
        run(ask(Caller(provider), asking("how many"), _number))
    assert (caught.value.cause, caught.value.reason) == (Unscored.REFUSAL, "I will not")
    assert provider.asked.total() == 1


def test_the_same_asked_at_the_same_time_is_paid_for_once(tmp_path: Path) -> None:
    provider = Scripted(good, latency_s=0.01)
    with Store(tmp_path / "s.db") as store, session(store):
        answers = call_all(Caller(provider), *"aaab")
    assert provider.asked == {"a": 1, "b": 1}
    assert [a.call.cached for a in answers if isinstance(a, Answer)] == [False, True, True, False]


def test_money_is_counted_when_it_is_spent_and_not_again(tmp_path: Path) -> None:
    prices = CallSettings(input_price=1.0, output_price=2.0)

    async def thrice(caller: Caller) -> list[Usage | None]:
        asked = [ask(caller, asking("a"), lambda reply: reply.text) for _ in range(3)]
        return [one.usage for one in await drained(asked)]

    with Store(tmp_path / "s.db") as store:
        with session(store):
            now = run(thrice(Caller(Scripted(good, latency_s=0.01), prices)))
        with session(store):
            later = run(thrice(Caller(Scripted(good), prices)))
        count, spent = store.calls.spent()["scripted"]
    free = Usage(cost_usd=0.0)
    assert (now, later) == ([Usage(10, 5, 20e-6), free, free], [free] * 3)
    assert (count, spent) == (1, Usage(10, 5, 20e-6))


def test_who_waits_for_the_same_call_hears_of_its_failure(tmp_path: Path) -> None:
    provider = Scripted(failing(Failure.REQUEST, until=99), latency_s=0.01)
    with Store(tmp_path / "s.db") as store, session(store):
        errors = call_all(Caller(provider), *"aa")
    assert [type(e) for e in errors] == [NotAnswered, NotAnswered]
    assert provider.asked.total() == 1


def test_what_cannot_be_kept_is_not_paid_for_again_and_again(tmp_path: Path) -> None:
    provider, texts = Scripted(good, latency_s=0.01), [str(i) for i in range(40)]
    refuse = "CREATE TRIGGER full BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'full'); END"
    with Store(tmp_path / "s.db") as store, session(store):
        with sqlite3.connect(tmp_path / "s.db") as connection:
            connection.execute(refuse)
        connection.close()
        answers = call_all(Caller(provider, CallSettings(concurrency=2)), *texts)
    assert all(isinstance(answer, HarnessError) for answer in answers)
    assert 1 <= provider.asked.total() <= 4  # twice as many as may be under way
