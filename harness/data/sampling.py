"""Drawing rows at random: a few out of any number, in one pass."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.data.rows import Row


class Drawn(NamedTuple):
    """The rows that were drawn, and how many there were to draw from."""

    rows: list[Row]
    total: int


def draw(rows: Iterable[Row], count: int, *, seed: int = 0, shuffle: bool = False) -> Drawn:
    """At most `count` rows, each set of that size as likely as any other, none twice.

    Seed and place in the file decide, so a row is drawn from a table whatever its format, and a
    larger count with the same seed draws the same rows and more. They keep the order of the file;
    with `shuffle` they come in random order. Holds `count` rows in memory.
    """
    numbered = _Counted(rows)
    noise = random.Random(seed)
    # The rows with the smallest of as many random numbers; no two rows have one number.
    smallest = heapq.nsmallest(count, ((noise.random(), row.number, row) for row in numbered))
    drawn = [row for _, _, row in smallest]
    return Drawn(drawn if shuffle else sorted(drawn, key=_number), numbered.total)


class _Counted:
    """Rows, counted on their way."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows, self.total = rows, 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.total += 1
            yield row


def _number(row: Row) -> int:
    return row.number
