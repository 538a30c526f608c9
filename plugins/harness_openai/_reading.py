"""Reading a reply's JSON: what is not as it should be is Broken, and never guessed.

The SDK's own objects are made without checks, so that in them a list may be a text and a text a
number; so they are not used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, TypeVar

from harness import Usage
from harness.calls import Token

Json = Mapping[str, object]
T = TypeVar("T")

_ENDED = ("stop", "eos", "eos_token", "stop_sequence", "end_turn", "", None)  # other servers' names
_CUT = ("length", "max_tokens")
_ABSENT = -9999.0  # the log-probability of a token that is not among the likeliest


class Broken(Exception):
    """A reply with status 200 that is none; the message says why."""


def read_json(raw: bytes) -> Json:
    """The object that a body holds."""
    try:
        answer: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise Broken(f"it is no JSON and begins {raw[:40].decode('utf-8', 'replace')!r}") from None
    if not isinstance(answer, dict):
        raise Broken(f"it is {str(answer)[:40]!r} and no object")
    return answer


def get(where: object, key: str, kind: type[T]) -> T:
    """What lies under a key, of the type that it must have."""
    found = where.get(key) if isinstance(where, dict) else None
    if not isinstance(found, kind):
        raise Broken(f"its {key!r} is {_brief(found)}")
    return found


def first_choice(answer: Json) -> Json:
    """The first of the replies; one was asked for."""
    choices = get(answer, "choices", list)
    if not choices or not isinstance(choices[0], dict):
        raise Broken("it has no choice")
    return choices[0]


def finish_of(choice: Json) -> Literal["stop", "length", "refusal"]:
    """Why a reply ended."""
    said = choice.get("finish_reason")
    if said == "content_filter":
        return "refusal"
    if said in _CUT:
        return "length"
    if said in _ENDED:
        return "stop"
    raise Broken(f"its 'finish_reason' is {_brief(said)}")


def text_of(where: Json, key: str, finish: str) -> str:
    """The text; a model that spent its limit on reasoning has none, and a filter withholds it."""
    if finish == "refusal":
        return "the service's content filter withheld the reply"
    if finish == "length" and where.get(key) is None:
        return ""
    return get(where, key, str)


def model_of(answer: Json) -> str:
    """The model that answered, as the service names it; empty where it does not."""
    model = answer.get("model")
    return model if isinstance(model, str) else ""


def usage_of(answer: Json) -> Usage | None:
    """Tokens, of the input those that were cached too; None where the service does not say."""
    told = answer.get("usage")
    if not isinstance(told, dict):
        return None
    asked = _count(told, "prompt_tokens", "input_tokens")
    given = _count(told, "completion_tokens", "output_tokens")
    if asked is None or given is None:
        return None
    details = told.get("prompt_tokens_details") or told.get("input_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, dict) else None
    return Usage(asked, given, cached_tokens=min(cached or 0, asked))


def tokens_of(logprobs: object) -> tuple[Token, ...]:
    """The tokens with their alternatives, less those that the service says are absent."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if content is None:
        return ()
    if not isinstance(content, list):
        raise Broken(f"its 'logprobs' are {_brief(content)}")
    return tuple(_token(one) for one in content)


def _token(one: object) -> Token:
    text, logprob = _pair(one)
    listed = one.get("top_logprobs") if isinstance(one, dict) else None
    found = [_pair(other) for other in listed] if isinstance(listed, list) else []
    return Token(text, logprob, tuple(pair for pair in found if pair[1] > _ABSENT))


def _pair(one: object) -> tuple[str, float]:
    logprob = one.get("logprob") if isinstance(one, dict) else None
    if isinstance(logprob, bool) or not isinstance(logprob, int | float):
        raise Broken(f"a log-probability is {_brief(logprob)}")
    return get(one, "token", str), float(logprob)


def _count(told: Json, *names: str) -> int | None:
    values = [told.get(name) for name in names]
    return next((v for v in values if type(v) is int and v >= 0), None)


def _brief(value: object) -> str:
    return "missing" if value is None else f"{value!r:.60}"
