"""Filters as people write them: `colour=red,blue`, `price<=10`."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable

from harness.datapoints import NumericOp, NumericRestrict, Restrict
from harness.errors import DataError

_OPS: dict[str, NumericOp] = {
    "<=": "LESS_EQUAL",
    ">=": "GREATER_EQUAL",
    "!=": "NOT_EQUAL",
    "==": "EQUAL",
    "=": "EQUAL",
    "<": "LESS",
    ">": "GREATER",
}
_OP = re.compile("(<=|>=|!=|==|=|<|>)")


def restricts(allow: Iterable[str] = (), deny: Iterable[str] = ()) -> tuple[Restrict, ...]:
    """Restricts of a query, one a namespace, from texts `NAMESPACE=TOKEN,TOKEN`.

    A token with a comma is quoted: `title="One, two",three`.

    Raises:
        DataError: for a text of another form, and a namespace that is there twice on one side.
    """
    allowed, denied = _tokens(allow, "filter"), _tokens(deny, "deny")
    names = dict.fromkeys([*allowed, *denied])
    return tuple(Restrict(name, allowed.get(name, ()), denied.get(name, ())) for name in names)


def where(text: str) -> NumericRestrict:
    """The numeric restrict of a query from `NAMESPACE OP NUMBER`; OP is < <= = >= > or !=.

    The number is an integer if it has neither point nor exponent.

    Raises:
        DataError: for a text of another form.
    """
    name, op, rest = map(str.strip, (*_OP.split(text, 1), "", "")[:3])
    value = _number(rest)
    if not name or "!" in name or value is None:
        raise DataError(f"{text!r} is no numeric filter; write NAME<=NUMBER, as in price<=10")
    return NumericRestrict(name, value, _OPS[op])


def _tokens(texts: Iterable[str], side: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        try:
            tokens = tuple(next(csv.reader([rest], strict=True), ()))
        except csv.Error as error:
            raise DataError(f"{text!r}: {error}; quote a token that has a comma") from None
        if not (name.strip() and equals and all(tokens) and tokens):
            raise DataError(f"{text!r} is no filter; write NAME=TOKEN,TOKEN, as in colour=red,blue")
        if name.strip() in found:
            raise DataError(f"two of {side} are for {name!r}; write their tokens with a comma")
        found[name.strip()] = tokens
    return found


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
