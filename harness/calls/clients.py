"""Clients of one service: as many as its calls at once need, each with connections of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")

_EACH = 16  # calls at once


@dataclass(slots=True)
class _Used(Generic[C]):
    client: C
    calls: int = 0


class Clients(Generic[C]):
    """Lends the first client that is not busy, and makes one when all are.

    For every call the SDKs' client looks at each of its connections: 64 in one cost a call about a
    tenth of its CPU time. Used on one event loop only.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._made: list[_Used[C]] = []

    @contextmanager
    def one(self) -> Iterator[C]:
        """A client for one call."""
        used = next((used for used in self._made if used.calls < _EACH), None)
        if used is None:
            self._made.append(used := _Used(self._make()))
        used.calls += 1
        try:
            yield used.client
        finally:
            used.calls -= 1

    def taken(self) -> list[C]:
        """All of them, to be closed; a call after this gets a new one."""
        made, self._made = self._made, []
        return [used.client for used in made]
