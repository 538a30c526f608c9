"""What an address asks for: its parameters, checked, and addresses of other states of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeVar, get_args
from urllib.parse import quote, urlencode

from harness.viewer.library import AskedWrongError

Order = Literal["row", "score", "-score"]
Sort = Literal["newest", "oldest", "name"]
PAGE = 50
PAIRS = 20
_LONGEST = 10_000  # SQLite looks for no text of more than 50,000 bytes
Q = TypeVar("Q", "ListQuery", "SampleQuery", "PairQuery")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which runs to list, and in which order."""

    q: str = ""
    kind: str = ""
    status: str = ""
    scorer: str = ""
    sort: str = "newest"
    page: int = 1


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """Which samples of a run to list: texts, the range of a scorer's value, or why it has none.

    `unscored` is a cause, or `any`.
    """

    q: str = ""
    scorer: str = ""
    low: float | None = None
    high: float | None = None
    unscored: str = ""
    sort: str = "row"
    page: int = 1

    @property
    def by_score(self) -> bool:
        """Whether the scores decide which samples these are."""
        ranged = self.low is not None or self.high is not None
        return bool(ranged or self.unscored or self.sort != "row")

    @property
    def filtered(self) -> bool:
        """Whether these are not all samples, as they come."""
        return bool(self.q or self.by_score)

    @property
    def narrowed(self) -> bool:
        """Whether some samples are left out."""
        return bool(self.q or self.unscored or self.low is not None or self.high is not None)


@dataclass(frozen=True, slots=True)
class PairQuery:
    """Which pairs of two runs to list: all of a scorer, or those where one side is higher."""

    a: str = ""
    b: str = ""
    scorer: str = ""
    only: str = ""
    anyway: str = ""
    page: int = 1


ONLY = ("", "better", "worse", "same")
_CHOICES = {"sort": {"ListQuery": get_args(Sort), "SampleQuery": get_args(Order)}}
_WHOLE, _NUMBERS = ("page",), ("low", "high")


def asked(kind: type[Q], given: Mapping[str, str]) -> Q:
    """A query from an address's parameters; what it does not know it leaves out.

    Raises:
        AskedWrongError: if a number is none, or a choice is not among those there are.
    """
    found = kind()
    for field in fields(kind):
        text = given.get(field.name, "").strip()
        if text:
            found = replace(found, **{field.name: _value(kind, field.name, text)})  # type: ignore[arg-type]
    return found


def address(path: str, query: object = None, **changed: object) -> str:
    """The address of a page with these parameters, less those that say nothing."""
    given = {f.name: getattr(query, f.name) for f in fields(query)} if query else {}  # type: ignore[arg-type]
    plain = {f.name: f.default for f in fields(query)} if query else {}  # type: ignore[arg-type]
    if query is not None and changed and "page" in plain and "page" not in changed:
        changed = {**changed, "page": 1}
    told = {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in {**given, **changed}.items()
        if value is not None and value != "" and value != plain.get(name)
    }
    text = urlencode(told, quote_via=quote, errors="replace")
    return path + ("?" + text if text else "")


def _value(kind: type, name: str, text: str) -> object:
    choices = _CHOICES.get(name, {}).get(kind.__name__)
    if choices and text not in choices:
        raise AskedWrongError(f"{name} is {text!r}; it can be {', '.join(choices)}")
    if name == "only" and text not in ONLY:
        raise AskedWrongError(f"only is {text!r}; it can be {', '.join(ONLY[1:])}")
    if name in _WHOLE:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
            raise AskedWrongError(f"{name} is {text!r}; it is a number from 1")
        return int(text)
    if len(text) > _LONGEST:
        raise AskedWrongError(f"{name} has {len(text)} characters; it may have {_LONGEST}")
    return _number(name, text) if name in _NUMBERS else text


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AskedWrongError(f"{name} is {text!r}; it is a number, as 0.5 is")
    return value
