"""What a test of the trust suite says of itself, and the table that is made of it.

The number of rounds is SAMESCORE_TRUST_ROUNDS, the seed SAMESCORE_TRUST_SEED; where
SAMESCORE_TRUST_TABLE names a file, the rows that ran take their places in its table.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

ROUNDS = int(os.environ.get("SAMESCORE_TRUST_ROUNDS", "1"))
"""How often a test of chance tries: once in the plain suite, 50 times in `make trust`."""

SEED = int(os.environ.get("SAMESCORE_TRUST_SEED") or time.time_ns() % 1_000_000)
"""What chance starts from; another one each time, unless it is given."""

T = TypeVar("T")

only_long = pytest.mark.skipif(ROUNDS == 1, reason="tried by `make trust` alone")
"""Marks a test that takes too long for the plain suite."""

_HEAD = "| What was tried | Times | Looked at | Lost | Again |\n|---|--:|---|--:|---|\n"


@dataclass
class Trial:
    """What one test tried, and what came of it."""

    place: str
    tried: str = ""
    times: int = 0
    looked_at: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    def __call__(self, tried: str, *, times: int = 0) -> None:
        """Say what is tried, in words for the table; `times` where each is not counted alone."""
        self.tried, self.times = tried, self.times + times

    @property
    def chance(self) -> random.Random:
        """Chance that is the same for this test and this seed, whatever ran before it."""
        return random.Random(f"{SEED} {self.place}")

    def rounds(self, per: float = 1, tries: int = 1) -> Iterator[random.Random]:
        """`per` times as many as ROUNDS says, each counted as so many tries when it is over."""
        chance = self.chance
        for _ in range(max(1, round(ROUNDS * per))):
            yield chance
            self.times += tries

    def few(self, ways: Sequence[T], number: int = 1) -> Sequence[T]:
        """All of the ways where there are many rounds, a few at random in the plain suite."""
        return ways if ROUNDS > 1 else self.chance.sample(ways, min(number, len(ways)))

    def some(self, ways: Sequence[T], few: int = 4) -> Iterator[T]:
        """The same, each counted when it is over."""
        for way in self.few(ways, few):
            print("trying", way)  # pytest shows it where that fails
            yield way
            self.times += 1

    def kept(self, what: str, before: Collection[object], after: Collection[object]) -> None:
        """Everything that was there must be there still: count it, and what is missing."""
        there = set(after)
        missing = [one for one in before if one not in there]
        self.saw(what, len(before))
        self.lost += len(missing)
        assert not missing, f"lost {what}: {missing[:5]}"

    def saw(self, what: str, number: int = 1) -> None:
        """Count what was looked at and found as it should be."""
        self.looked_at[what] = self.looked_at.get(what, 0) + number


@dataclass(frozen=True)
class Row:
    """A row of the table: the tries of all cases of one test."""

    test: str
    tried: str
    times: int
    looked_at: dict[str, int]
    lost: int
    failed: bool = False

    def __add__(self, other: Row) -> Row:
        names = self.looked_at | other.looked_at
        seen = {n: self.looked_at.get(n, 0) + other.looked_at.get(n, 0) for n in names}
        failed = self.failed or other.failed
        total = self.times + other.times, seen, self.lost + other.lost, failed
        return Row(self.test, self.tried or other.tried, *total)

    def __str__(self) -> str:
        seen = ", ".join(f"{number:,} {what}" for what, number in self.looked_at.items())
        lost = "**failed**" if self.failed else f"{self.lost:,}"
        again = f"`make trust ROW={self.test}`"
        return f"| {self.tried} | {self.times:,} | {seen} | {lost} | {again} |\n"


def merged(text: str, rows: dict[str, Row]) -> str:
    """A page with these rows in the tables of their sections, in place of what they were.

    A section is a test file; rows of tests that are there no more are left out.
    """
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    there = {}
    for section in sections:
        for line in section.splitlines(keepends=True):
            if found := re.search(r"`make trust ROW=(\S+)`", line):
                there[found[1]] = line
    lines = there | {name: str(row) for name, row in rows.items()}
    return head.rstrip() + "\n" + "".join(_section(file, lines) for file in _files())


def _files() -> list[Path]:
    return sorted(Path(__file__).parent.glob("test_*.py"))


def _section(file: Path, lines: dict[str, str]) -> str:
    """The title and the rows of a test file, in the order of its tests."""
    source = file.read_text("utf-8")
    tests = re.findall(r"^def (test_\w+)", source, re.MULTILINE)
    found = [lines[name] for test in tests if (name := f"{file.name}::{test}") in lines]
    title = source.removeprefix('"""').partition("\n")[0].partition('"""')[0].rstrip(".")
    return f"\n## {title}\n\n{_HEAD}{''.join(found)}" if found else ""
