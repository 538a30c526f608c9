"""Which answers say the same: equal words, or most of them shared."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

Words = tuple[str, ...]

SIMILAR = 0.75
"""The share of common words, of all words of both, from which two answers are alike."""

_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> Words:
    """The words of a text in order, in lower case, without punctuation."""
    return tuple(_WORD.findall(text.lower()))


def groups(texts: Iterable[Words]) -> list[list[Words]]:
    """Texts in groups, so that similar ones (Jaccard index of their words) are in the same one."""
    every = sorted(texts)
    leader = {text: text for text in every}

    def find(text: Words) -> Words:
        while leader[text] != text:
            leader[text] = leader[leader[text]]
            text = leader[text]
        return text

    for one, other in _alike(every):
        leader[find(one)] = find(other)
    found: defaultdict[Words, list[Words]] = defaultdict(list)
    for text in every:
        found[find(text)].append(text)
    return list(found.values())


def _alike(texts: list[Words]) -> Iterator[tuple[Words, Words]]:
    """Pairs that are similar; such a pair shares one of the rarest words of each.

    The prefix filter of Bayardo et al., "Scaling Up All Pairs Similarity Search" (2007).
    """
    counts = Counter(word for text in texts for word in set(text))
    seen: defaultdict[str, list[Words]] = defaultdict(list)
    for text in texts:
        rarest = sorted(set(text), key=lambda word: (counts[word], word))
        prefix = rarest[: len(rarest) - math.ceil(SIMILAR * len(rarest)) + 1]
        near = {other for word in prefix for other in seen[word]}
        yield from ((text, other) for other in near if _overlap(text, other) >= SIMILAR)
        for word in prefix:
            seen[word].append(text)


def _overlap(one: Words, other: Words) -> float:
    a, b = set(one), set(other)
    return len(a & b) / len(a | b)
