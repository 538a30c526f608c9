"""TOML as text to values: what Python's own reader takes and what breaks it are one error here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

_DEEPEST = 100
_INTEGERS = range(-(2**63), 2**63)  # TOML 1.0: what does not fit is an error


def read_toml(text: str) -> dict[str, object]:
    """The values of a document.

    Raises:
        ValueError: saying what is wrong, for what is no TOML, nested too deeply, or holds an
            integer that has no 64 bits.
    """
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check(found, _DEEPEST)
    return found


def _check(value: object, deepest: int) -> None:
    if isinstance(value, int) and value not in _INTEGERS:
        raise ValueError("it has an integer of more than 64 bits")
    if isinstance(value, Mapping | list):
        if not deepest:
            raise ValueError("it is nested too deeply")
        for item in value.values() if isinstance(value, Mapping) else value:
            _check(item, deepest - 1)
