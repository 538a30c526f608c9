"""Texts in pieces: what earned credit, and what differs between two."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.components import Credit

LEVELS = 5
_WORDS = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_WORK = 1_000_000  # pairs of equal words; beyond them difflib takes seconds without its heuristic


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: `value` is what its characters earned, `level` that on -5 … 5."""

    text: str
    value: float | None = None
    level: int = 0


@dataclass(frozen=True, slots=True)
class Changed:
    """Part of two texts: the `same` in both, or only in one of them."""

    text: str
    state: Literal["same", "gone", "new"]


def credited(text: str, credit: Sequence[Credit]) -> tuple[Piece, ...]:
    """A text in pieces; where spans overlap their values add up.

    Levels are linear from the largest amount in the text, which has level 5 or -5.
    """
    if not credit:
        return (Piece(text),)
    bounds = {0, len(text)}
    changes: dict[int, float] = {}
    counts: dict[int, int] = {}
    for span in credit:
        start, end = max(0, span.start), min(len(text), span.end)
        if start >= end:
            continue
        bounds |= {start, end}
        for place, sign in ((start, 1), (end, -1)):
            changes[place] = changes.get(place, 0.0) + sign * span.value
            counts[place] = counts.get(place, 0) + sign
    return _pieces(text, sorted(bounds), changes, counts)


def _pieces(
    text: str, bounds: Sequence[int], changes: dict[int, float], counts: dict[int, int]
) -> tuple[Piece, ...]:
    found: list[tuple[str, float | None]] = []
    value, spans = 0.0, 0
    for start, end in itertools.pairwise(bounds):
        spans += counts.get(start, 0)
        value = value + changes.get(start, 0.0) if spans else 0.0
        found.append((text[start:end], value if spans else None))
    largest = max((abs(v) for _, v in found if v is not None), default=0.0)
    return tuple(Piece(part, v, level(v, largest)) for part, v in found)


def level(value: float | None, largest: float) -> int:
    """A value on the scale from -5 to 5; what is not 0 never looks so."""
    if not value or not largest:
        return 0
    found = round(abs(value) / largest * LEVELS) or 1
    return found if value > 0 else -found


def word_diff(first: str, other: str) -> tuple[tuple[Changed, ...], tuple[Changed, ...]]:
    """Each text in pieces: what both have, in order, and what only this one has."""
    one, two = _WORDS.findall(first), _WORDS.findall(other)
    keys = [word.strip() for word in one], [word.strip() for word in two]
    counts = Counter(keys[1])
    rough = sum(counts[word] for word in keys[0]) > _WORK
    codes = difflib.SequenceMatcher(None, *keys, autojunk=rough).get_opcodes()
    ours = [(one[a:b], tag) for tag, a, b, _, _ in codes]
    theirs = [(two[a:b], tag) for tag, _, _, a, b in codes]
    return _changed(ours, "gone"), _changed(theirs, "new")


def _changed(
    parts: Sequence[tuple[Sequence[str], str]], state: Literal["gone", "new"]
) -> tuple[Changed, ...]:
    return tuple(
        Changed("".join(words), "same" if tag == "equal" else state)
        for words, tag in parts
        if words
    )
