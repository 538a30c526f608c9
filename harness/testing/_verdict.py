"""What an honest model replies: a pure function of what it is asked, so that tests know it."""

from __future__ import annotations

import hashlib
import json
import re

from harness.testing._schema import Json, fill, items, mapping, number, spoil, text

_NEAR = 0.9
"""The probability that a digit and all other digits hold together."""
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_OPPOSITE = {"true": "false", "false": "true", "yes": "no", "no": "yes"}


def verdict(body: Json) -> Json | str:
    """What an honest reply to a request holds.

    Args:
        body: what is posted, in the shape of any endpoint of the fault server.

    Returns:
        With a JSON schema: an object that is valid under it. For decisions: `{"answers": [...]}`,
        a score's levels counted from 0. Else a short text. It depends on the model, the system's
        text, the first thing that the user says, and the schema or the questions; not on limits,
        sampling and what is said after. So it stays the same when a question is asked again.

    Raises:
        ValueError: where the schema asks for what this server cannot make.
    """
    return honest(body, conversation(body))


def honest(body: Json, key: bytes) -> Json | str:
    """`verdict`, where the key of the conversation is known."""
    if "questions" in body:
        asked = items(body["questions"])
        return {"answers": [_decide(mapping(q), key, f"/{i}") for i, q in enumerate(asked)]}
    schema = schema_of(body)
    return text(key) if schema is None else mapping(fill(schema, key))


def conversation(body: Json) -> bytes:
    """What names the question of a request, whatever its limits and its later turns are."""
    system = [body.get("system"), _first(body, "system", "developer")]
    about = [body.get("model"), system, _asked(body), schema_of(body), body.get("questions")]
    return hashlib.blake2b(canonical(about), digest_size=16).digest()


def canonical(value: object) -> bytes:
    """JSON as bytes that do not depend on the order of keys."""
    return _ENCODE(value).encode()


def question(body: Json) -> str:
    """The first thing that the user says, as text."""
    asked = _asked(body)
    parts = [p.get("text", p.get("content")) if isinstance(p, dict) else p for p in items(asked)]
    return "\n".join(part for part in (asked, *parts) if isinstance(part, str))


def schema_of(body: Json) -> Json | None:
    """The JSON schema that a request binds its reply to; any object's where JSON is all it asks."""
    config = body.get("output_config")
    default = config.get("format") if isinstance(config, dict) else None
    asked = body.get("response_format", default)
    if not isinstance(asked, dict) or asked.get("type") not in ("json_schema", "json_object"):
        return None
    outer = asked.get("json_schema")
    schema = outer.get("schema") if isinstance(outer, dict) else asked.get("schema")
    answer = {"type": "object", "properties": {"answer": {"type": "string"}}}
    return schema if isinstance(schema, dict) else answer


def tokens_of(reply: str) -> list[str]:
    """A text as tokens: words with the space before them, single digits, single signs."""
    return re.findall(r" ?[^\W\d_]+|[\W\d_]", reply)


def alternatives(token: str, count: int) -> list[tuple[str, float]]:
    """The likeliest tokens at a place where an honest reply has `token`, with probabilities.

    Of a digit d, digit e has 0.9 * 3^-|d-e| / sum; the 0.1 that is left is no digit. Elsewhere
    there are the token itself (0.98) and one more (0.02), its opposite where it is yes or no.
    """
    word = token.strip()
    if len(word) != 1 or word not in "0123456789":
        other = token.replace(word, _OPPOSITE.get(word, "~")) if word else "~"
        return [(token, 0.98), (other, 0.02)][:count]
    weights = {str(e): 3.0 ** -abs(int(word) - e) for e in range(10)}
    total = sum(weights.values())
    found = [("N", 1 - _NEAR), *((digit, _NEAR * w / total) for digit, w in weights.items())]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:count]


def spoil_answers(value: Json, how: str) -> Json:
    """Decisions whose last answer is missing, off the menu, or of another type."""
    *kept, last = items(value.get("answers"))
    if how == "missing_key":
        return {**value, "answers": kept}
    answer = mapping(last)
    name = {"predicate": "probability"}.get(str(answer.get("type")), str(answer.get("type")))
    menu: Json = {"properties": {name: {"type": "number", "maximum": 1}}}
    spoilt = spoil({name: answer.get(name)}, menu if name == "probability" else None, how)
    return {**value, "answers": [*kept, {**answer, **spoilt}]}


def _asked(body: Json) -> object:
    return body.get("prompt", body.get("input", _first(body, "user")))


def _first(body: Json, *roles: str) -> object:
    for message in items(body.get("messages")):
        if isinstance(message, dict) and message.get("role") in roles:
            return message.get("content")
    return None


def _decide(asked: Json, key: bytes, path: str) -> Json:
    """The answer to one question of the decisions endpoint."""
    chosen, kind = number(key, path), asked.get("type")
    answer: Json = {"type": kind, "name": asked.get("name")}
    if kind == "predicate":
        return {**answer, "probability": chosen % 1001 / 1000}
    options = [mapping(o) for o in items(asked.get("choices" if kind == "choice" else "levels"))]
    if kind not in ("choice", "score") or len(options) < 2:
        raise ValueError("a question is a predicate, a choice or a score, of two options or more")
    weights = [4.0 ** -abs(i - chosen % len(options)) for i in range(len(options))]
    shares = [weight / sum(weights) for weight in weights]
    answer = {**answer, "confidence": max(shares)}
    if kind == "choice":
        values = [option.get("value") for option in options]
        table = [{"value": v, "probability": p} for v, p in zip(values, shares, strict=True)]
        return {**answer, "choice": values[chosen % len(options)], "probabilities": table}
    levels = [
        {"label": o.get("label"), "value": i, "probability": p}
        for i, (o, p) in enumerate(zip(options, shares, strict=True))
    ]
    return {**answer, "score": sum(i * p for i, p in enumerate(shares)), "probabilities": levels}
