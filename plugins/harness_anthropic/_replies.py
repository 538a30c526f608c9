"""What a reply of the service says, read without trust: a status of 200 promises nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from harness.calls import CallError, Failure, Reply
from harness.calls.keys import Key
from harness.components import Usage
from harness_anthropic._failures import pause_s

_FINISH: Mapping[str, Literal["stop", "length", "refusal"]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


def read(content: bytes, headers: Mapping[str, str], key: Key) -> Reply:
    """The reply in the bytes that came.

    Raises:
        CallError: where there is none in them; it may have been paid for all the same.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("content"), list):
        raise _broken(f"no reply: {key.shown(content[:1000].decode(errors='replace'))}")
    reason = body.get("stop_reason")
    finish = _FINISH.get(reason) if isinstance(reason, str) else None
    if finish is None:
        raise _broken(f"it stopped for {key.shown(repr(reason))}, as nothing here asks for")
    text = _refusal(body.get("stop_details")) if finish == "refusal" else _text(body["content"])
    if finish == "stop" and not text:
        raise _broken("there is no text in it")
    model = body.get("model")
    return Reply(
        text=key.hide(text),
        finish=finish,
        usage=_usage(body.get("usage")),
        model=key.hide(model) if isinstance(model, str) else "",
        request_id=key.hide(headers.get("request-id", "")),
        pause_s=pause_s(headers),
    )


def _broken(what: str) -> CallError:
    return CallError(Failure.SERVER_ERROR, f"200, but {what}", may_be_billed=True)


def _text(content: list[object]) -> str:
    blocks = [b for b in content if isinstance(b, dict) and b.get("type") == "text"]
    return "".join(b["text"] for b in blocks if isinstance(b.get("text"), str))


def _refusal(details: object) -> str:
    said = details if isinstance(details, dict) else {}
    category, why = said.get("category") or "", said.get("explanation") or ""
    of = f" ({category})" if category else ""
    return f"the model refused{of}{f': {why}' if why else ''}"


def _usage(said: object) -> Usage | None:
    """Tokens; what went into the service's cache or came from there is input, too."""
    if not isinstance(said, dict):
        return None
    read, written = said.get("cache_read_input_tokens"), said.get("cache_creation_input_tokens")
    counts = [said.get("input_tokens"), said.get("output_tokens"), read or 0, written or 0]
    numbers = [n for n in counts if type(n) is int and n >= 0]
    if len(numbers) < len(counts):
        return None
    asked, answered, cached, kept = numbers
    return Usage(asked + cached + kept, answered, cached_tokens=cached)
