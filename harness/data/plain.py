"""Any value of a table as a JSON value: what metadata holds and what files can carry."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Set
from datetime import date, time
from decimal import Decimal

_LINE = 2000
DEEPEST = 100
"""Levels of lists and mappings that a value may have: some hundreds end in Python's own limit."""


def plain(value: object, deepest: int = DEEPEST) -> object:
    """The JSON value (None, bool, int, float, str, list, dict) that stands for `value`.

    NaN and infinities, which JSON lacks, become None; so do pandas' NA and NaT. Scalars and
    arrays of numpy and pandas become plain ones, dates ISO 8601 text, whole decimals integers.

    Raises:
        TypeError: if there is no such value, as for bytes, or for what is nested too deeply.
    """
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if not deepest:
        raise TypeError(f"what is nested more than {DEEPEST} deep is no JSON value of ours")
    if isinstance(value, Mapping):
        return {str(key): plain(item, deepest - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | Set):
        return [plain(item, deepest - 1) for item in value]
    return _scalar(value)


def printable(text: str) -> str:
    """Text that commands nothing of a terminal: controls but line ends and tabs are shown as �."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "�" for c in text)


def in_one_line(text: str) -> str:
    """What a person is told of a mistake: a line that commands nothing, and fits on a page."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"


def _scalar(value: object) -> object:
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, Decimal):
        return plain(int(value) if value == value.to_integral_value() else float(value))
    if isinstance(value, date | time):
        return value.isoformat()
    to_list = getattr(value, "tolist", None)  # numpy's arrays and scalars alike
    if callable(to_list):
        return plain(to_list())
    raise TypeError(f"{type(value).__name__} is no JSON value")


def json_object(values: object, where: str) -> dict[str, object]:
    """A copy, in plain dicts, lists and text that every store takes, of JSON values by name.

    Unlike `plain`, it turns nothing into JSON but tuples, which become lists.

    Raises:
        TypeError: if that is no mapping, a key is no text, or a value is none of JSON, as NaN is;
            says where in it, which itself is called `where`.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{where} is {_shown(values)}, which is no mapping")
    strange = [key for key in values if not isinstance(key, str)]
    if strange:
        raise TypeError(f"{where} has the key {_shown(strange[0])}, which is no text")
    return {storable(k): _json_value(v, f"{where}[{k!r}]") for k, v in values.items()}


def _json_value(value: object, where: str) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_json_value(item, f"{where}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, Mapping):
        return json_object(value, where)
    raise TypeError(f"{where} is {_shown(value)}, which is no JSON value")


def _shown(value: object) -> str:
    return storable(repr(value)[:80])


def storable(text: str) -> str:
    """Text that every store takes: half of a surrogate pair is written as an escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
