"""Words of a text, as the guards count them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import NamedTuple

from harness import Credit


class Word(NamedTuple):
    """A word: its characters `start:end` of the text, and what it is compared by."""

    start: int
    end: int
    key: str


def words(text: str) -> list[Word]:
    """The words of a text, in order.

    A word is a run of letters, digits and their marks; an apostrophe may join two (`don't`), and
    all else parts them, so that `the,the-the` is three words. In scripts that write no spaces
    each character is one. Case makes no difference to the key.
    """
    found = (_ASCII if text.isascii() else _any_script()).finditer(text)
    return [Word(m.start(), m.end(), m[0].casefold().replace("’", "'")) for m in found]


def ngrams(keys: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """The groups of `n` words in a row; none in a text that has fewer."""
    return [tuple(keys[i : i + n]) for i in range(len(keys) - n + 1)]


def blame(counted: Sequence[Word], weights: Sequence[float], value: float) -> tuple[Credit, ...]:
    """Spans over the words with a weight, which share `value` in proportion to it."""
    total = sum(weights)
    return tuple(
        Credit(word.start, word.end, value * weight / total)
        for word, weight in zip(counted, weights, strict=True)
        if weight and value
    )


_ASCII = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_THAI_TO_KHMER = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_KANA_AND_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = _THAI_TO_KHMER + _KANA_AND_HAN


@cache
def _any_script() -> re.Pattern[str]:
    r"""Marks are no `\w` to `re`, but part of their word: the vowels of Hindi are such."""
    letter = rf"(?:[^\W_{_UNSPACED}]|[{_marks()}])"
    return re.compile(rf"(?:(?=\w)[{_UNSPACED}])|{letter}+(?:['’]{letter}+)*")


def _marks() -> str:
    """The marks of the basic plane as ranges, without those of scripts that write no spaces."""
    unspaced = re.compile(f"[{_UNSPACED}]")
    points = [
        point
        for point in range(0x10000)
        if unicodedata.category(chr(point)).startswith("M") and not unspaced.match(chr(point))
    ]
    runs = [list(run) for _, run in groupby(enumerate(points), lambda pair: pair[1] - pair[0])]
    return "".join(f"\\u{run[0][1]:04x}-\\u{run[-1][1]:04x}" for run in runs)
