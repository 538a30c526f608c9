"""Reading a verdict: only what a reply says, in the place where it was to say it, or nothing.

What is decided here, and why:

- Where a schema binds the model, the whole reply is one JSON object. Prose or fences around one
  mean that the schema was not kept, and then an object in it may be a quotation.
- Elsewhere the object may stand in prose, but it has the code of the request, which no text in
  the material could know. Several that say the same are one verdict; several that differ are none.
- An answer is on the menu, in its JSON type: `true` is not 1, `"4"` is not 4; `4.0` and `4` are
  the same number in JSON. No rounding, no nearest, no default.
- A key that is there twice, NaN, and a key that nobody asked for make a reply unreadable. A reason
  that is too long is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from harness.calls import Unreadable
from harness.data.plain import storable
from harness.judging.prompt import CODE
from harness.judging.rubric import Question, Rubric

_WORD = 40  # characters of a word, where a reason has no blanks to count by
_SPACE = re.compile(r"[ \t\n\r]*")
_OPENS = re.compile(r'\{[ \t\n\r]*["}]')  # a brace that is no object's cannot hold a verdict
_THOUGHT = re.compile(r"\s*<think>.*</think>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply said: each question's answer and reason by name.

    `places` are where the answers' values begin, in characters of the reply.
    """

    answers: Mapping[str, str | int]
    reasons: Mapping[str, str]
    places: Mapping[str, int]

    @property
    def reason(self) -> str:
        """The reasons as one text, under their names where there are several."""
        if len(self.reasons) == 1:
            return next(iter(self.reasons.values()))
        return "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())


class _Member(NamedTuple):
    value: object
    start: int


_Object = dict[str, _Member]


def read_verdict(text: str, rubric: Rubric, code: str | None = None) -> Verdict:
    """The verdict in a reply; `code` is the request's, where no schema binds the model.

    Raises:
        Unreadable: when it has none, with what is wrong, as one tells the model.
    """
    if code is None:
        start = _SPACE.match(text).end()  # type: ignore[union-attr]
        found, end = _object(text, start)
        if text[end:].strip(" \t\n\r"):
            raise Unreadable("there is text after the JSON object; reply with the object alone")
        return _verdict(found, rubric, ())
    verdicts = [_verdict(found, rubric, (CODE,)) for found in _coded(text, code)]
    if not verdicts:
        raise Unreadable(f'it holds no JSON object whose "{CODE}" is "{code}"')
    if any(v.answers != verdicts[0].answers for v in verdicts):
        raise Unreadable("it holds several verdicts that differ; give one")
    return verdicts[-1]


def first_object(text: str, rubric: Rubric) -> Verdict:
    """The verdict in the first object of a text, whatever follows; raises Unreadable."""
    return _verdict(_object(text, max(text.find("{"), 0))[0], rubric, ())


def _coded(text: str, code: str) -> list[_Object]:
    """The outermost objects of a text that have the code."""
    thought = _THOUGHT.match(text)
    at, found = thought.end() if thought else 0, []
    while (at := text.find("{", at)) >= 0:
        if not _OPENS.match(text, at):
            at += 1
            continue
        members, at = _object(text, at)
        if CODE in members and members[CODE].value == code:
            found.append(members)
    return found


def _verdict(members: _Object, rubric: Rubric, extra: tuple[str, ...]) -> Verdict:
    answers, reasons, places = {}, {}, {}
    for question in rubric.questions:
        key = rubric.reason_key(question)
        for needed in (key, question.name):
            if needed not in members:
                raise Unreadable(f"the key {_shown(needed)} is missing")
        reasons[question.name] = _reason(members[key].value, key, rubric.reason_words)
        answers[question.name] = _answer(members[question.name].value, question)
        places[question.name] = members[question.name].start
    known = {*answers, *map(rubric.reason_key, rubric.questions), *extra}
    for name in members:
        if name not in known:
            raise Unreadable(f"nobody asked for the key {_shown(name)}")
    return Verdict(answers, reasons, places)


def _answer(value: object, question: Question) -> str | int:
    for option in question.options:
        kinds = (str,) if isinstance(option.answer, str) else (int, Decimal)
        if type(value) in kinds and value == option.answer:  # True == 1, but its type is bool
            return option.answer
    menu = ", ".join(json.dumps(option.answer) for option in question.options)
    raise Unreadable(f"{_shown(question.name)} is {_shown(value)}; it is one of {menu}")


def _reason(value: object, key: str, most: int) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"{_shown(key)} is {_shown(value)}; it is a text")
    words = storable(value).split()
    cut = " ".join(words[:most])[: most * _WORD]
    return cut if cut == " ".join(words) else cut + " …"


def _shown(value: object) -> str:
    """A value as JSON in plain ASCII, and short: it goes back to the model and into reasons."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value, default=str)[:80]


def _object(text: str, start: int) -> tuple[_Object, int]:
    """The members of the JSON object that begins at `start`, and where it ends."""
    if text[start : start + 1] != "{":
        raise Unreadable("it does not begin with a JSON object; reply with the object alone")
    try:
        return _members(text, start + 1)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Unreadable(f"the JSON object in it is broken: {_said(error)}") from error


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return storable(str(error)[:120]) if isinstance(error, ValueError) else "a number is too large"


def _members(text: str, at: int) -> tuple[_Object, int]:
    found: _Object = {}
    at = _after_space(text, at)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise ValueError(f"no key at character {at}")
        key, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, at)
        if text[at : at + 1] != ":":
            raise ValueError(f"no colon at character {at}")
        start = _after_space(text, at + 1)
        value, at = _DECODER.raw_decode(text, start)
        if key in found:
            raise ValueError(f"the key {_shown(key)} is there twice")
        found[key] = _Member(value, start)
        at = _after_space(text, at)
        if text[at : at + 1] == "}":
            return found, at + 1
        if text[at : at + 1] != ",":
            raise ValueError(f"neither a comma nor the end at character {at}")
        at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it matches no character too
    return match.end()


# Decimal keeps 4.0000000000000000001 from becoming 4.
_DECODER = json.JSONDecoder(parse_float=Decimal)
