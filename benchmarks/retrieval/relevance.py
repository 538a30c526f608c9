"""Two retrievers over the same passages: an encoder's vectors, and BM25."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from harness import Match, Query
from harness.encoding import Encoder, load_encoder
from harness.retrieval import MEASURES, BeirData, Relevance, relevance, search_all
from harness.vectors import VectorIndex, VectorSettings

from .bm25 import Bm25

_DEPTH = 100


class Compared(NamedTuple):
    """What both are worth, on the same queries."""

    encoder: Relevance
    bm25: Relevance


class Dense:
    """A retriever over an encoder's vectors, by exact search."""

    def __init__(self, data: BeirData, encoder: Encoder) -> None:
        self._encoder = encoder
        self._index = VectorIndex(VectorSettings(encoder.dimensions, engine="exact"))
        self._index.load(list(data.corpus), encoder.encode(list(data.corpus.values())))

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]:
        """The `k` nearest passages of each query's text."""
        vectors = self._encoder.encode([query.text for query in queries])
        asked = [replace(query, vector=v) for query, v in zip(queries, vectors, strict=True)]
        return self._index.search(asked, k=k)


def compare(data: BeirData, encoder: str = "minilm") -> Compared:
    """Search with both, and judge what they find."""
    dense, lexical = Dense(data, load_encoder(encoder)), Bm25(data.corpus)
    found = [search_all(one, data.judged(), k=_DEPTH) for one in (dense, lexical)]
    return Compared(*(relevance(one, data.qrels) for one in found))


def table(found: Compared, tell: Callable[[str], None] = print) -> None:
    """Print every measure of both, and their difference."""
    for measure in MEASURES:
        difference = found.encoder.difference(found.bm25, measure)
        tell(f"{measure:8} encoder {found.encoder[measure]}")
        tell(f"{'':8} BM25    {found.bm25[measure]}")
        tell(f"{'':8} encoder - BM25 {difference}")
