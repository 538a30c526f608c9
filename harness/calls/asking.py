"""Asking until an answer can be read: with a longer limit, or once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Generic, TypeVar

from harness.calls.caller import Answer, Caller, Deadline
from harness.calls.values import Message, NotAnswered, Reply, Request, Unreadable
from harness.components import Call, Unscored, Usage

T = TypeVar("T")

_LONGER = 2  # times that a limit is doubled
_FREE = Usage(cost_usd=0.0)
_SHOWN = 4000  # characters of an unreadable reply that are sent back


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """What was read from the last reply; usage and calls are of all replies.

    `usage` is None where the service told of none, and nothing for replies from the journal. `cut`
    says that the reply ran into its limit.
    """

    value: T
    reply: Reply
    usage: Usage | None
    calls: tuple[Call, ...]
    cut: bool = False


async def ask(
    caller: Caller, request: Request, read: Callable[[Reply], T], *, longer: bool = True
) -> Asked[T]:
    """Ask, and read the reply with `read`, which raises Unreadable for what it cannot use.

    An unreadable reply is sent back once, with what is wrong with it. A reply that was cut off is
    asked for again with twice the limit, and once more; with `longer=False` it is read as it is.

    Raises:
        NotAnswered: with the cause; what was paid is in its usage.
        HarnessError: where no call can succeed, or the run was stopped.
    """
    deadline = Deadline(caller.settings.deadline_s)
    paid: list[Answer] = []
    again = 0
    limits = _LONGER if longer else 0
    while True:
        reply = await _reply(caller, request, deadline, paid)
        if reply.finish == "refusal":
            raise _failed(Unscored.REFUSAL, reply.text or "the model refused", paid)
        cut = reply.finish == "length"
        if cut and longer:
            if not limits:
                said = f"the reply was cut off at {request.max_tokens} tokens"
                raise _failed(Unscored.TRUNCATED, said, paid)
            limits -= 1
            request = replace(request, max_tokens=2 * request.max_tokens)
            continue
        try:
            return Asked(read(reply), reply, _usage(paid), _calls(paid), cut)
        except Unreadable as error:
            if again:
                raise _failed(Unscored.BAD_SCHEMA, str(error), paid) from error
            again += 1
            request = _asked_again(request, reply.text, str(error))


async def _reply(caller: Caller, request: Request, deadline: Deadline, paid: list[Answer]) -> Reply:
    try:
        answer = await caller.call(request, deadline)
    except NotAnswered as error:
        raise _failed(error.cause, error.reason, paid) from error
    paid.append(answer)
    return answer.reply


def _asked_again(request: Request, text: str, wrong: str) -> Request:
    again = (
        Message("assistant", text[:_SHOWN] or "(empty)"),
        Message("user", f"That reply cannot be used: {wrong}. Answer again, as it was asked."),
    )
    return replace(request, messages=(*request.messages, *again))


def _failed(cause: Unscored, reason: str, paid: list[Answer]) -> NotAnswered:
    return NotAnswered(cause, reason, _usage(paid), _calls(paid))


def _usage(had: list[Answer]) -> Usage | None:
    """What was spent now: a reply that was had before was counted when it was paid for."""
    told = [(a.call.cached, a.reply.usage) for a in had if a.reply.usage is not None]
    used = [_FREE if cached else usage for cached, usage in told]
    return reduce(add, used) if used else None


def _calls(paid: list[Answer]) -> tuple[Call, ...]:
    return tuple(a.call for a in paid)
