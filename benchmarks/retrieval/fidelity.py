"""What an index finds of what is nearest, how fast, and how soon after a write.

Everything is asked through `search`, so any index can be measured; exact search over the same
datapoints is the truth. Latency is wall time of single queries; `cpu_us` is CPU time of this
process a query, which other work on the machine moves less, and means nothing for a service.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from harness import Datapoint, Query, Retriever
from harness.retrieval import Knobs, Point, distance_ratio, recall, recall_latency
from harness.vectors import VectorIndex, VectorSettings

from .vectors import SHARES, Data, query

DEPTHS = (1, 10, 100)
FRACTIONS = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
CANDIDATES = (None, 500)
_K = 10
_CHURN = 0.2
_WAIT_S = 30.0
_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class Level:
    """The figures of one filter: recall by depth, and times of single queries (k = 10)."""

    share: str
    eligible: int
    recall: Mapping[int, float]
    distance_ratio: float | None
    p50_us: float
    p95_us: float
    p99_us: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class AtRecall:
    """The least share of leaves that reaches a recall@10, and queries a second there, in one call.

    None where no share of leaves reaches it.
    """

    wanted: float
    leaves_fraction: float | None = None
    recall: float | None = None
    per_second: float | None = None
    per_cpu_second: float | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from the end of an upsert to that of a search that finds it; `unseen` never were.

    The searches look at every leaf: here it counts when a write is seen, not what is missed.
    """

    p50_s: float
    p95_s: float
    unseen: int
    writes: int


@dataclass(frozen=True, slots=True)
class Churn:
    """Recall@10 before and after a share of the datapoints was replaced; ghosts were removed."""

    share: float
    before: float
    after: float
    ghosts: int


class Writable(Retriever, Protocol):
    """What is measured: an `Index`, or one whose `remove` says how many there were."""

    def upsert(self, datapoints: Sequence[Datapoint]) -> None: ...

    def remove(self, ids: Sequence[str]) -> object: ...


def fill(index: Writable, points: Sequence[Datapoint]) -> None:
    """Write datapoints in batches."""
    for start in range(0, len(points), _TOGETHER):
        index.upsert(points[start : start + _TOGETHER])


def truth(points: Sequence[Datapoint]) -> VectorIndex:
    """An exact index of the same datapoints, by their dot product."""
    exact = VectorIndex(VectorSettings(len(points[0].vector), engine="exact"))
    fill(exact, points)
    return exact


def levels(index: Retriever, exact: VectorIndex, data: Data) -> list[Level]:
    """The figures of every filter that lets something pass."""
    found = [_level(index, exact, data, share) for share in SHARES]
    return [level for level in found if level is not None]


def _level(index: Retriever, exact: VectorIndex, data: Data, share: str) -> Level | None:
    queries = [query(vector, share) for vector in data.queries]
    eligible = len(exact.search(queries[:1], k=len(exact))[0])
    if not eligible:
        return None
    true = exact.search(queries, k=max(DEPTHS))
    found = {k: index.search(queries, k=k) for k in DEPTHS}
    ratios = distance_ratio(found[_K], true, k=_K, measure=exact.settings.measure)
    known = [ratio for ratio in ratios if ratio is not None]
    wall, cpu = _single(index, queries)
    p50, p95, p99 = np.percentile(wall, [50, 95, 99]) * 1e6
    return Level(
        share=share,
        eligible=eligible,
        recall={k: fmean(recall(found[k], true, k=k)) for k in DEPTHS},
        distance_ratio=fmean(known) if known else None,
        p50_us=float(p50),
        p95_us=float(p95),
        p99_us=float(p99),
        cpu_us=cpu / len(queries) * 1e6,
    )


def _single(index: Retriever, queries: Sequence[Query]) -> tuple[list[float], float]:
    """Wall seconds of each query asked alone, and CPU seconds of all."""
    wall, begun = [], time.process_time()
    for one in queries:
        started = time.perf_counter()
        index.search([one], k=_K)
        wall.append(time.perf_counter() - started)
    return wall, time.process_time() - begun


def at_recall(index: Retriever, exact: VectorIndex, data: Data, wanted: float) -> AtRecall:
    """How fast the index is where it reaches a recall."""
    true = exact.search([query(vector) for vector in data.queries], k=_K)
    for fraction in FRACTIONS:
        queries = [query(vector, fraction=fraction) for vector in data.queries]
        wall, cpu = time.perf_counter(), time.process_time()
        found = index.search(queries, k=_K)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        reached = fmean(recall(found, true, k=_K))
        if reached >= wanted:
            count = len(queries)
            return AtRecall(wanted, fraction, reached, count / wall, count / max(cpu, 1e-9))
    return AtRecall(wanted)


def curve(index: Retriever, exact: VectorIndex, data: Data) -> list[Point]:
    """Recall@10 and latency from few leaves to all, with the index's candidates and with 500."""
    queries = [query(vector) for vector in data.queries]
    knobs = [Knobs(fraction, count) for count in CANDIDATES for fraction in FRACTIONS]
    return recall_latency(index, queries, exact.search(queries, k=_K), knobs, k=_K)


def freshness(index: Writable, data: Data, writes: int = 20) -> Freshness:
    """How long after an upsert the datapoint is found; the index is then as it was."""
    lags = [_lag(index, n, vector) for n, vector in enumerate(data.queries[:writes])]
    index.remove([_probe(n) for n in range(len(lags))])
    seen = [lag for lag in lags if lag is not None] or [float("inf")]
    p50, p95 = np.percentile(seen, [50, 95]) if np.isfinite(seen).all() else (_WAIT_S, _WAIT_S)
    return Freshness(float(p50), float(p95), lags.count(None), len(lags))


def _lag(
    index: Writable, number: int, vector: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> float | None:
    name = _probe(number)
    index.upsert([Datapoint(name, vector)])
    written = time.perf_counter()
    while time.perf_counter() - written < _WAIT_S:
        found = index.search([query(vector, fraction=1.0)], k=_K)[0]
        if name in {match.id for match in found}:
            return time.perf_counter() - written
    return None


def _probe(number: int) -> str:
    return f"freshness-{number}"


def churn(index: Writable, exact: VectorIndex, data: Data) -> Churn:
    """Replace a share of the datapoints by moved ones under new ids, in both indexes."""
    before = _recall(index, exact, data)
    points = data.datapoints()
    rng = np.random.default_rng(2)
    chosen = rng.choice(len(points), int(_CHURN * len(points)), replace=False).tolist()
    gone = [points[place].id for place in chosen]
    fresh = [_moved(points[place], rng) for place in chosen]
    both: tuple[Writable, Writable] = (index, exact)
    for one in both:
        one.remove(gone)
        fill(one, fresh)
    found = index.search([query(vector) for vector in data.queries], k=_K)
    ghosts = {match.id for matches in found for match in matches} & set(gone)
    return Churn(_CHURN, before, _recall(index, exact, data), len(ghosts))


def _moved(point: Datapoint, rng: np.random.Generator) -> Datapoint:
    vector = np.asarray(point.vector) + 0.1 * rng.standard_normal(len(point.vector))
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    return Datapoint(f"{point.id}-new", unit, None, point.restricts)


def _recall(index: Retriever, exact: VectorIndex, data: Data) -> float:
    queries = [query(vector) for vector in data.queries]
    return fmean(recall(index.search(queries, k=_K), exact.search(queries, k=_K), k=_K))


def table(found: Sequence[Level], tell: Callable[[str], None] = print) -> None:
    """Print the figures of all filters."""
    tell(
        "filter  eligible  recall@1  recall@10  recall@100  distance  "
        "p50 µs  p95 µs  p99 µs  CPU µs"
    )
    for level in found:
        one, ten, hundred = (level.recall[k] for k in DEPTHS)
        ratio = "-" if level.distance_ratio is None else f"{level.distance_ratio:.4f}"
        tell(
            f"{level.share:6}  {level.eligible:8,}  {one:8.4f}  {ten:9.4f}  {hundred:10.4f}  "
            f"{ratio:>8}  {level.p50_us:6,.0f}  {level.p95_us:6,.0f}  {level.p99_us:6,.0f}  "
            f"{level.cpu_us:6,.0f}"
        )
