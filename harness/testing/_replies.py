"""One reply of the fault server as bytes: honest, or with the fault that was drawn."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.components import Usage
from harness.testing._apis import Api, Finish, Text, count, error, repeats
from harness.testing._bucket import Shape
from harness.testing._mix import Request
from harness.testing._schema import Json, spoil
from harness.testing._verdict import spoil_answers

Answer = Callable[[Request], str | Mapping[str, object]]
Headers = tuple[tuple[str, str], ...]

_ERRORS = {
    "rate_limit": (429, "Rate limit reached", "rate_limit_exceeded"),
    "rate_limit_ms": (429, "Rate limit reached", "rate_limit_exceeded"),
    "rate_limit_bare": (429, "Rate limit reached", "rate_limit_exceeded"),
    "quota": (429, "You exceeded your current quota", "insufficient_quota"),
    "server_error": (500, "The server had an error", ""),
    "unavailable": (503, "The service is unavailable", ""),
    "overloaded": (529, "Overloaded", ""),
    "bad_request": (400, "The request cannot be processed", ""),
    "unauthorized": (401, "Incorrect API key provided", "invalid_api_key"),
    "no_token": (429, "Rate limit reached for requests", "rate_limit_exceeded"),
    "crowded": (429, "Too many requests at once", "rate_limit_exceeded"),
}
_WAITS = ("rate_limit", "unavailable", "no_token", "crowded")
_BODIES = {
    "html": (b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>", "text/html"),
    "null": (b"null", "application/json"),
    "empty_object": (b"{}", "application/json"),
}
_OF_JSON = ("missing_key", "off_menu", "wrong_type", "prose")


@dataclass(frozen=True, slots=True)
class Made:
    """A reply: `fault` is what it has, which is none where the one drawn cannot be shown."""

    status: int
    body: bytes
    fault: str = ""
    headers: Headers = ()
    kind: str = "application/json"
    usage: Usage | None = None


def failed(shape: Shape, fault: str, wait_s: float, status: int = 0, message: str = "") -> Made:
    """An error of the service, and how long to wait where the fault says so.

    `status` and `message` are for what is no fault of this list, such as a request that is wrong.
    """
    status, message, code = _ERRORS.get(fault, (status, message, ""))
    if fault == "quota" and shape == "anthropic":
        status = 402
    headers: Headers = ()
    if fault in _WAITS:
        headers = (("Retry-After", f"{wait_s:.12g}"),)
    elif fault == "rate_limit_ms":
        headers = (("retry-after-ms", f"{wait_s * 1000:.12g}"),)
    body = json.dumps(error(shape, status, message, code)).encode()
    return Made(status, body, fault, headers)


def made(api: Api, request: Request, fault: str, value: str | Json, wait_s: float) -> Made:
    """The reply to a request that the service accepts, where an honest one says `value`."""
    if fault in _ERRORS:
        return failed("anthropic" if api.name == "messages" else "openai", fault, wait_s)
    if fault in _BODIES:
        body, kind = _BODIES[fault]
        return Made(200, body, fault, kind=kind)
    value = _as_json(value) if fault in _OF_JSON else value
    if isinstance(value, str) and fault in _OF_JSON:
        fault = ""
    if api.name == "decisions":
        return _decided(api, request, fault, value)
    content, finish = _written(request, fault, value)
    limit = api.limit(request.body)
    if fault == "truncated" or (limit is not None and count(content) > limit and finish == "stop"):
        content = content[: len(content) // 2 if fault == "truncated" else 4 * (limit or 0)]
        finish = "length"
    text = Text(content, finish, _usage(request, content, finish, limit), _id(request))
    return Made(200, _encoded(api.reply(request.body, text)), fault, usage=text.usage)


def _as_json(value: str | Json) -> str | Json:
    if isinstance(value, str):
        with contextlib.suppress(json.JSONDecodeError):
            parsed = json.loads(value)
            return parsed if isinstance(parsed, dict) else value
    return value


def _written(request: Request, fault: str, value: str | Json) -> tuple[str, Finish]:
    """What the model writes, and how it ends."""
    if fault in ("refusal", "content_filter", "empty_content"):
        return "", "stop" if fault == "empty_content" else _declined(fault)
    if not isinstance(value, str):
        if fault in ("missing_key", "off_menu", "wrong_type"):
            value = spoil(value, request.schema, fault)
        value = json.dumps(value, ensure_ascii=False)
    if fault == "prose":
        fenced = f"```json\n{value}\n```"
        return f"I weighed {{accuracy}} first.\n\n{fenced}\n\nAsk me if this is unclear.", "stop"
    return value, "stop"


def _decided(api: Api, request: Request, fault: str, value: str | Json) -> Made:
    """Decisions have no text: faults of it are faults of the body or of the last answer."""
    value = value if not isinstance(value, str) else json.loads(value)
    if fault in ("missing_key", "off_menu", "wrong_type"):
        value = spoil_answers(value, fault)
    finish = _declined(fault) if fault in ("refusal", "content_filter") else "stop"
    content = "" if fault == "empty_content" else json.dumps(value)
    usage = Usage(count(request.canonical), repeats(request.body))
    body = _encoded(api.reply(request.body, Text(content, finish, usage, _id(request))))
    if fault == "prose":
        body = b"Here is what I found:\n" + body
    return Made(200, body[: len(body) // 2] if fault == "truncated" else body, fault, usage=usage)


def _declined(fault: str) -> Finish:
    return "refusal" if fault == "refusal" else "content_filter"


def _usage(request: Request, content: str, finish: Finish, limit: int | None) -> Usage:
    """A token is four characters of JSON or text; a reply that met its limit costs all of it."""
    wrote = limit if finish == "length" and limit is not None else count(content)
    return Usage(count(request.canonical), wrote * repeats(request.body))


def _id(request: Request) -> str:
    return f"{request.key.hex()[:16]}{request.times_opened:04d}"


def _encoded(reply: Json) -> bytes:
    return json.dumps(reply, ensure_ascii=False).encode()
