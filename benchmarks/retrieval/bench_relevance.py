from __future__ import annotations

from collections.abc import Callable

import pytest

from . import relevance
from .documents import stdlib_docs

# The README has the figures; a floor lies well below them, and above what BM25 reaches.
LEAST = {"nDCG@10": 0.40, "R@100": 0.80}


def bench_relevance(pytestconfig: pytest.Config, tell: Callable[[str], None]) -> None:
    """Which sentence says what a name does? MiniLM against shared words, on the same questions."""
    data = stdlib_docs(pytestconfig.getoption("samescore_limit") or 200, passages=731)
    found = relevance.compare(data)
    tell(f"{len(data.queries)} questions, {len(data.corpus)} passages")
    relevance.table(found, tell)
    for measure, least in LEAST.items():
        difference = found.encoder.difference(found.bm25, measure)
        assert found.encoder[measure].mean > least, measure
        assert difference.low is not None, measure
        assert difference.low > 0, measure
