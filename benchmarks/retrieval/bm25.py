"""BM25: the lexical baseline, which knows words and no meaning."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from harness import Match, Query

_WORD = re.compile(r"[a-z0-9]+")


class Bm25:
    """A retriever over texts by the words that they share with a query.

    Robertson and Zaragoza 2009, eq. 3.15, with Lucene's idf, which is never negative. k1 and b are
    those of BEIR's baseline. What shares no word with a query is not found.
    """

    def __init__(self, corpus: Mapping[str, str], *, k1: float = 0.9, b: float = 0.4) -> None:
        self._ids = list(corpus)
        self._postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        counts = [Counter(words(text)) for text in corpus.values()]
        mean = sum(map(Counter.total, counts)) / max(len(counts), 1)
        for place, own in enumerate(counts):
            norm = k1 * (1 - b + b * own.total() / mean) if mean else k1
            for word, count in own.items():
                self._postings[word].append((place, count * (k1 + 1) / (count + norm)))

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]:
        """The `k` texts of the highest score, which stands as the distance; ties by id."""
        return [self._found(query.text, k) for query in queries]

    def _found(self, text: str, k: int) -> list[Match]:
        scores: defaultdict[int, float] = defaultdict(float)
        for word in words(text):
            postings = self._postings.get(word, [])
            rare = len(self._ids) - len(postings) + 0.5
            idf = math.log(1 + rare / (len(postings) + 0.5))
            for place, part in postings:
                scores[place] += idf * part
        best = sorted(scores, key=lambda place: (-scores[place], self._ids[place]))[:k]
        return [Match(self._ids[place], scores[place]) for place in best]


def words(text: str) -> list[str]:
    """The words of a text in lower case; `os.path.join` is three."""
    return _WORD.findall(text.lower())
