"""What recall costs: how much an index finds at each setting of its knobs, and how soon."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, quantiles
from typing import NamedTuple

from harness.components import Retriever
from harness.datapoints import Query
from harness.retrieval.fidelity import Matches, recall


class Knobs(NamedTuple):
    """What a query may ask of an approximate index; None is the index's own."""

    leaves_fraction: float | None = None
    approximate_count: int | None = None

    @property
    def label(self) -> str:
        """The knobs in words."""
        told = {"leaves": self.leaves_fraction, "candidates": self.approximate_count}
        named = [f"{name} {value:g}" for name, value in told.items() if value is not None]
        return ", ".join(named) or "the index's own"


@dataclass(frozen=True, slots=True)
class Point:
    """Recall at k (0 to 1), and microseconds of wall time of single queries: median and 95th."""

    label: str
    recall: float
    latency_us: float
    p95_us: float
    leaves_fraction: float | None
    approximate_count: int | None


def recall_latency(
    index: Retriever,
    queries: Sequence[Query],
    exact: Sequence[Matches],
    knobs: Sequence[Knobs],
    *,
    k: int = 10,
) -> list[Point]:
    """Search at each setting of the knobs, in order, every query alone.

    Args:
        index: What is measured.
        queries: At least two; their own knobs are set aside.
        exact: What exact search gives for them, nearest first: `k` or more of each.
        knobs: The settings.
        k: At least 1.

    Raises:
        ValueError: for fewer than two queries; else as `recall`.
    """
    if len(queries) < 2:
        raise ValueError(f"{len(queries)} queries say nothing of latency; give two or more")
    return [_point(index, queries, exact, one, k) for one in knobs]


def figures(points: Sequence[Point], k: int = 10) -> Mapping[str, object]:
    """The points as a measurement of kind `retrieval` has them in the store."""
    return {"points": [asdict(point) for point in points], "k": k}


def _point(
    index: Retriever, queries: Sequence[Query], exact: Sequence[Matches], knobs: Knobs, k: int
) -> Point:
    asked = [replace(query, **knobs._asdict()) for query in queries]
    index.search(asked[:1], k=k)  # the first search may prepare what the others use
    found, seconds = [], []
    for query in asked:
        begun = time.perf_counter()
        found += index.search([query], k=k)
        seconds.append(time.perf_counter() - begun)
    reached = fmean(recall(found, exact, k=k))
    cuts = quantiles(seconds, n=20, method="inclusive")
    return Point(knobs.label, reached, cuts[9] * 1e6, cuts[18] * 1e6, *knobs)
