"""What a call is made of: the request, the reply, and what may go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Literal, Protocol

from harness.components import Call, Unscored, Usage
from harness.errors import HarnessError

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, in no provider's terms.

    `schema` is the JSON schema that the reply must keep to; `top_logprobs` asks for so many
    alternatives of each token. What is None is the provider's default. `turn` tells repeats of one
    question apart. `extra` holds JSON values that only one provider understands.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    schema: Mapping[str, object] | None = None
    top_logprobs: int = 0
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    turn: int = 0
    extra: Mapping[str, object] = field(default_factory=dict)

    def canonical(self) -> dict[str, object]:
        """All that decides the reply, as JSON values."""
        found: dict[str, object] = {name: getattr(self, name) for name in _PLAIN}
        found["messages"] = [(m.role, m.content) for m in self.messages]
        return found

    @property
    def most_tokens(self) -> Usage:
        """What the call may cost at most: a token for two bytes asked, and the whole limit."""
        asked = sum(len(m.content.encode()) + 16 for m in self.messages)
        asked += len(str(self.schema or "")) + len(str(self.extra or ""))
        return Usage(asked // 2 + 64, self.max_tokens)


_PLAIN = [f.name for f in fields(Request) if f.name != "messages"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply: its text, log-probability (nats), and those of its alternatives."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and was paid for.

    With `finish == "refusal"` the text says why. `model` is the one that answered, as the
    service names it. `pause_s` is how long the service wants no further call.
    """

    text: str
    finish: Literal["stop", "length", "refusal"] = "stop"
    usage: Usage | None = None
    model: str = ""
    request_id: str = ""
    tokens: tuple[Token, ...] = ()
    pause_s: float = 0.0


class Failure(StrEnum):
    """Why there is no reply, and with that what is done about it."""

    RATE_LIMIT = "rate_limit"
    """Asked to wait (429, 529, 503 with a time): waits, and no attempt is used up."""
    SERVER_ERROR = "server_error"
    """The service failed (408, 409, 5xx), or sent what is no reply: asked again."""
    CONNECTION = "connection"
    """No connection, or a broken one: asked again."""
    TIMEOUT = "timeout"
    """No reply in time: asked again."""
    REQUEST = "request"
    """This request is refused (400, 404, 413, 422): not asked again."""
    ACCOUNT = "account"
    """No request can succeed (401, 402, 403, no quota left): ends the run."""


class CallError(Exception):
    """A call that brought no reply that can be used.

    `may_be_billed` where the service may have worked for it; `usage` where it says what it took.
    """

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        retry_after_s: float | None = None,
        may_be_billed: bool = False,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.failure, self.retry_after_s = failure, retry_after_s
        self.may_be_billed, self.usage = may_be_billed, usage


class NotAnswered(Exception):
    """No reply that can be used: the cause, why, and what was paid all the same."""

    def __init__(
        self,
        cause: Unscored,
        reason: str,
        usage: Usage | None = None,
        calls: tuple[Call, ...] = (),
    ) -> None:
        super().__init__(reason)
        self.cause, self.reason, self.usage, self.calls = cause, reason, usage, calls


class Unreadable(Exception):
    """A reply that does not say what was asked; the message goes back to the model."""


class Stopped(HarnessError):
    """The run was interrupted before this call was made."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can be asked for; what it cannot is refused when a component is built."""

    schema: bool = True
    """Replies bound to a JSON schema."""
    logprobs: bool = False
    """Log-probabilities of the reply's tokens."""
    temperature: bool = True
    """A sampling temperature."""
    seed: bool = False
    """A seed of sampling."""


class Provider(Protocol):
    """One service and model, over its own client, which lives as long as the provider.

    Its methods are called on one event loop, `harness.calls.run`'s, and no other. It retries
    nothing.
    """

    @property
    def name(self) -> str:
        """What people call it, such as `openai`."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def identity(self) -> Mapping[str, str]:
        """What decides a reply beside the request: service, address, model."""
        ...

    async def send(self, request: Request) -> Reply:
        """Make one call.

        Raises:
            CallError: when there is no reply.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
