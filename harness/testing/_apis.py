"""The shapes of OpenAI's and Anthropic's endpoints: what they refuse, reply, and say on errors."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.components import Usage
from harness.testing._schema import Json, items, mapping
from harness.testing._verdict import alternatives, schema_of, tokens_of

Finish = Literal["stop", "length", "refusal", "content_filter"]
Headers = Mapping[str, str]

_REFUSAL = "I'm sorry, but I can't help with that."
_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    404: "not_found_error",
    405: "invalid_request_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_NOT_IN_ANTHROPIC = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
}


@dataclass(frozen=True, slots=True)
class Text:
    """What a model wrote, how it ended, and what that costs."""

    content: str
    finish: Finish
    usage: Usage
    id: str


@dataclass(frozen=True, slots=True)
class Api:
    """An endpoint: the fields a request needs, what it refuses, and how it replies."""

    name: Literal["chat", "completions", "decisions", "messages"]
    needs: tuple[str, ...]
    limits: tuple[str, ...]
    objection: Callable[[Json, Headers], str]
    reply: Callable[[Json, Text], Json]

    def refuses(self, body: Json, headers: Headers) -> str:
        """Why the service answers this request with 400; empty if it does not."""
        missing = [name for name in self.needs if name not in body]
        if missing:
            return f"{missing[0]}: field required"
        if body.get("stream"):
            return "the fault server does not stream"
        return self.objection(body, headers)

    def limit(self, body: Json) -> int | None:
        """How many tokens a reply may have."""
        limits = [body[name] for name in self.limits if isinstance(body.get(name), int)]
        return next((limit for limit in limits if isinstance(limit, int)), None)


def error(shape: str, status: int, message: str, code: str) -> Json:
    """The body of an error of either service."""
    if shape == "anthropic":
        kind = _ANTHROPIC_ERRORS.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    kinds = {400: "invalid_request_error", 401: "invalid_request_error", 429: "requests"}
    kind = "insufficient_quota" if code == "insufficient_quota" else kinds.get(status, "api_error")
    inner = {"message": message, "type": kind, "param": None, "code": code or None}
    return {"error": inner}


def models(shape: str, names: Sequence[str]) -> Json:
    """The list of models of either service."""
    if shape == "anthropic":
        made, known = "1970-01-01T00:00:00Z", {"type": "model", "lifecycle": "active"}
        data = [{**known, "id": n, "display_name": n, "created_at": made} for n in names]
        return {"data": data, "has_more": False}
    entry: Json = {"object": "model", "created": 0, "owned_by": "fault-server"}
    return {"object": "list", "data": [{"id": name, **entry} for name in names]}


def count(text: str | bytes) -> int:
    """Tokens of a text: four characters each, and one at least."""
    return max(1, math.ceil(len(text) / 4))


def _chat_objection(body: Json, headers: Headers) -> str:
    if not items(body["messages"]):
        return "messages: at least one is needed"
    alternatives_asked = body.get("top_logprobs")
    if alternatives_asked is not None:
        if not body.get("logprobs"):
            return "top_logprobs needs logprobs to be true"
        if not isinstance(alternatives_asked, int) or not 0 <= alternatives_asked <= 20:
            return "top_logprobs must be from 0 to 20"
    asked = body.get("response_format")
    outer = asked.get("json_schema") if isinstance(asked, dict) else None
    if isinstance(asked, dict) and asked.get("type") == "json_schema":
        if not isinstance(outer, dict) or not outer.get("name") or "schema" not in outer:
            return "response_format.json_schema: name and schema are required"
        if outer.get("strict"):
            return _strict(mapping(outer["schema"]), everything=True)
    return ""


def _messages_objection(body: Json, headers: Headers) -> str:
    if "anthropic-version" not in headers:
        return "anthropic-version: header is required"
    turns = items(body["messages"])
    if not turns:
        return "messages: at least one is needed"
    if any(mapping(turn).get("role") not in ("user", "assistant") for turn in turns):
        return "messages: a role is user or assistant; the system's text is a field of its own"
    schema = schema_of(body)
    return _strict(schema, everything=False) if schema is not None else ""


def _no_objection(body: Json, headers: Headers) -> str:
    return ""


def _strict(schema: Json, *, everything: bool) -> str:
    """What both services ask of a schema: closed objects; and one of them, each field required.

    Anthropic allows fields that are not required, but no bounds of numbers and lengths.
    """
    fields = schema.get("properties")
    if schema.get("type") == "object" or isinstance(fields, dict):
        if schema.get("additionalProperties") is not False:
            return (
                "Invalid schema: 'additionalProperties' is required to be supplied and to be false"
            )
        optional = set(mapping(fields or {})) - set(items(schema.get("required")))
        if everything and optional:
            return f"Invalid schema: 'required' must name every key, also {min(optional)!r}"
    if not everything:
        kind = str(schema.get("type"))
        for name in _NOT_IN_ANTHROPIC.get(kind, ()):
            if name in schema:
                return f"Invalid schema: for {kind!r} type, property {name!r} is not supported"
    return next(filter(None, (_strict(s, everything=everything) for s in _inner(schema))), "")


def _inner(schema: Json) -> list[Json]:
    tables = [schema.get(name) for name in ("properties", "$defs")]
    lists = [items(schema.get(name)) for name in ("anyOf", "oneOf", "allOf")]
    found = [rule for table in tables if isinstance(table, dict) for rule in table.values()]
    found += [rule for rules in lists for rule in rules] + [schema.get("items")]
    return [rule for rule in found if isinstance(rule, dict)]


def _chat(body: Json, text: Text) -> Json:
    refused = text.finish == "refusal"
    message = {
        "role": "assistant",
        "content": None if refused else text.content,
        "refusal": _REFUSAL if refused else None,
    }
    choice: Json = {
        "message": message,
        "logprobs": _chat_logprobs(body, text) if body.get("logprobs") and not refused else None,
        "finish_reason": "stop" if refused else text.finish,
    }
    return _openai(body, text, "chat.completion", [choice])


def _chat_logprobs(body: Json, text: Text) -> Json:
    asked = body.get("top_logprobs")
    listed: list[Json] = []
    for token in tokens_of(text.content):
        found = [_logprob(*pair) for pair in alternatives(token, 20)]
        own = next(entry for entry in found if entry["token"] == token)
        listed.append({**own, "top_logprobs": found[: asked if isinstance(asked, int) else 0]})
    return {"content": listed, "refusal": None}


def _logprob(token: str, probability: float) -> dict[str, object]:
    return {"token": token, "logprob": math.log(probability), "bytes": list(token.encode())}


def _completions(body: Json, text: Text) -> Json:
    asked, finish = body.get("logprobs"), text.finish
    logprobs: Json | None = None
    if isinstance(asked, int) and not isinstance(asked, bool):
        tokens = tokens_of(text.content)
        found = [{t: math.log(p) for t, p in alternatives(token, 20)} for token in tokens]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [table[t] for t, table in zip(tokens, found, strict=True)],
            "top_logprobs": [dict(list(table.items())[:asked]) for table in found],
            "text_offset": [sum(map(len, tokens[:i])) for i in range(len(tokens))],
        }
    ended = "content_filter" if finish == "refusal" else finish
    choice = {"text": text.content, "logprobs": logprobs, "finish_reason": ended}
    return _openai(body, text, "text_completion", [choice])


def _openai(body: Json, text: Text, kind: str, choices: list[Json]) -> Json:
    usage = text.usage
    return {
        "id": f"chatcmpl-{text.id}",
        "object": kind,
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": i, **choice} for i, choice in enumerate(choices * repeats(body))],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def repeats(body: Json) -> int:
    """How many replies a request asks for: `n`, for each of its prompts."""
    each, prompt = body.get("n"), body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and isinstance(prompt[0], str) else 1
    return prompts * (each if isinstance(each, int) and each > 0 else 1)


def _decisions(body: Json, text: Text) -> Json:
    found: Json = json.loads(text.content) if text.content else {"answers": []}
    answers = items(found.get("answers"))
    if text.finish in ("refusal", "content_filter"):
        names = [mapping(q).get("name") for q in items(body["questions"])]
        answers = [{"type": "refusal", "name": name} for name in names]
    usage = text.usage
    return {
        "answers": answers,
        "model": body["model"],
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    }


def _messages(body: Json, text: Text) -> Json:
    reasons = {"stop": "end_turn", "length": "max_tokens"}
    details = {"type": "refusal", "category": None, "explanation": _REFUSAL}
    return {
        "id": f"msg_{text.id}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": text.content}] if text.content else [],
        "stop_reason": reasons.get(text.finish, "refusal"),
        "stop_sequence": None,
        "stop_details": details if text.finish == "refusal" else None,
        "usage": {
            "input_tokens": text.usage.input_tokens,
            "output_tokens": text.usage.output_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


_CHAT_LIMITS = ("max_completion_tokens", "max_tokens")
APIS: Mapping[str, Api] = {
    "/v1/chat/completions": Api(
        "chat", ("model", "messages"), _CHAT_LIMITS, _chat_objection, _chat
    ),
    "/v1/completions": Api(
        "completions", ("model", "prompt"), ("max_tokens",), _no_objection, _completions
    ),
    "/v1/decisions": Api(
        "decisions", ("model", "input", "questions"), (), _no_objection, _decisions
    ),
    "/v1/messages": Api(
        "messages", ("model", "messages", "max_tokens"), ("max_tokens",), _messages_objection,
        _messages,
    ),
}  # fmt: skip
