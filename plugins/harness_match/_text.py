"""Texts as `match` compares them: levelled, as a number, as tokens."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from string import punctuation
from typing import NamedTuple


class Overlap(NamedTuple):
    """How much of an answer is in the reference (precision), and of the reference in the answer."""

    f1: float
    precision: float
    recall: float


def composed(text: str) -> str:
    """The text in Unicode's NFC form: an accented letter is one character however it was typed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def leveller(rule: str, ignore_case: bool) -> Callable[[str], str]:
    """The function that brings texts that count as equal into one form."""
    if rule == "squad":
        return _squad

    def level(text: str) -> str:
        text = composed(text.casefold() if ignore_case else text)
        return text if rule == "none" else " ".join(text.split())

    return level


def _squad(text: str) -> str:
    """SQuAD's `normalize_answer` (Rajpurkar et al. 2016), for punctuation of all scripts.

    Punctuation vanishes (`e-mail` is `email`), as do the words a, an and the.
    """
    text = composed(text).lower()
    text = text.translate(_ASCII) if text.isascii() else _punctuation().sub("", text)
    return " ".join(_ARTICLES.sub(" ", text).split())


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII = dict.fromkeys(map(ord, punctuation))


@cache
def _punctuation() -> re.Pattern[str]:
    characters = map(chr, range(0x10000))
    everywhere = "".join(c for c in characters if unicodedata.category(c).startswith("P"))
    return re.compile(f"[{re.escape(punctuation + everywhere)}]+")


def tokens(text: str) -> list[str]:
    """Words between spaces; in scripts that write none between words, characters.

    Those are Chinese and Japanese, as MLQA's metric takes them (Lewis et al. 2020), and Thai,
    Lao, Burmese and Khmer likewise. Korean has spaces.
    """
    return text.split() if text.isascii() else _TOKEN.findall(text)


_THAI_TO_KHMER = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_KANA_AND_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = _THAI_TO_KHMER + _KANA_AND_HAN
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def overlap(answer: Sequence[str], reference: Sequence[str]) -> Overlap:
    """Token F1 as SQuAD 2.0 has it: of two empty texts it is 1, of one empty text 0."""
    if not answer or not reference:
        return Overlap(*[float(answer == reference)] * 3)
    common = (Counter(answer) & Counter(reference)).total()
    if not common:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = common / len(answer), common / len(reference)
    return Overlap(2 * precision * recall / (precision + recall), precision, recall)


def last_number(text: str) -> float | None:
    """The last number in a text, None if there is none (or only such as 1/0).

    English notation: 1,234.5 and 2e-3; 3/4 is 0.75. A sign of currency, percent or unit makes
    no difference: 50% and $50 are 50. Digits that end a word (H2O, GPT4) are no number.
    """
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    found = numbers[-1]
    value = float(found["number"].replace(",", ""))
    value /= float(found["divisor"] or 1) or math.nan
    value = -value if found["minus"] else value
    return value if math.isfinite(value) else None


_NUMBER = re.compile(
    r"""
    (?P<minus> (?<![\w)]) [-\u2212] [$€£¥]? )?      # but 5 in 3-5: a minus that joins is none
    (?<! [A-Za-z_\d] )
    (?P<number>
        (?: \d{1,3} (?: ,\d{3} )+ (?!\d) | \d+ ) (?: \.\d+ )?  (?: [eE] [-+]? \d+ )?
      | \.\d+
    )
    (?: / (?P<divisor> \d+ ) )?
    """,
    re.VERBOSE,
)
