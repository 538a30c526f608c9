"""What a docstring says first: its first sentence, where it has a real one."""

from __future__ import annotations

import inspect
import re

_SIGNATURE = re.compile(
    r"[\w.]+\s?\(.*?\)(?:\s*->\s*[\w\[\], .|]+?)?(?:$|:$|\s--\s|\.\s\s?(?=[A-Z]))"
)
_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bvs)(?<!\bcf)[.!?][\"')]*(?=\s|$)")
_WORD = re.compile(r"[A-Za-z][a-z]+")
_CODE = re.compile(r">>>|::|==|\s=\s|\w\[|\{|\}|\\|__\w+__|\bdef ")
_EMPTY = re.compile(r"(deprecated|alias|see|same as|identical to|internal|todo|xxx)\b", re.I)
_STILL_SIGNATURE = re.compile(r"[\w.]+\(.*\)\s*(-+>|:|--)")
_MIN_WORDS, _MAX_WORDS = 4, 40


def first_sentence(docstring: str) -> str | None:
    """The first sentence on one line, or None where there is none worth asking for.

    Signatures that precede it, as in C's docstrings, are left out. A sentence has 4 to 40 words,
    starts as one, is mostly words, and says something of its own (no "See ...", "Alias of ...").
    """
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        text = _without_signatures(paragraph)
        if text:
            return _sentence(text)
    return None


def _without_signatures(paragraph: str) -> str:
    lines = [line.strip() for line in paragraph.strip().splitlines()]
    while lines and (signature := _SIGNATURE.match(lines[0])):
        rest = lines[0][signature.end() :].strip()
        lines = [rest, *lines[1:]] if rest else lines[1:]
    return " ".join(" ".join(lines).split())


def _sentence(text: str) -> str | None:
    end = _SENTENCE.search(text)
    sentence = text[: end.end()] if end else text
    words = sentence.split()
    plain = _WORD.findall(sentence)
    fits = _MIN_WORDS <= len(words) <= _MAX_WORDS and len(plain) >= 0.6 * len(words)
    starts = sentence[0].isupper() and not sentence.endswith((":", ","))
    empty = _EMPTY.match(sentence) or _STILL_SIGNATURE.match(sentence) or _CODE.search(sentence)
    return sentence if fits and starts and not empty else None
