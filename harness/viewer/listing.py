"""The first page: what a store holds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.store.measurements import MeasurementRecord
from harness.store.schema import RunRecord
from harness.store.trainings import TrainingRecord
from harness.viewer.asking import PAGE, ListQuery
from harness.viewer.columns import Overview
from harness.viewer.library import RUNNING, Library, Record, kind_of, path_of

_WAIT = 0.1  # seconds, for all overviews of a page together


@dataclass(frozen=True, slots=True)
class Line:
    """A run, a training or a measurement; `overview` is of an evaluation whose scores are read."""

    id: str
    name: str
    where: str
    kind: str
    status: str
    path: str
    what: str
    done: int | None
    total: int | None
    started: float
    took: float | None
    scorers: tuple[str, ...]
    overview: Overview | None = None
    reading: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of what a store holds, and what can be chosen; `matched` of `every` are listed."""

    query: ListQuery
    lines: tuple[Line, ...]
    matched: int
    every: int
    pages: int
    kinds: Mapping[str, int]
    statuses: Mapping[str, int]
    scorers: tuple[str, ...]
    live: bool


def listing(library: Library, query: ListQuery) -> Listing:
    """What the store holds and the query asks for."""
    records = library.records()
    found = [record for record in records if _wanted(record, query)]
    found = _sorted(found, query.sort)
    start = (query.page - 1) * PAGE
    until = time.monotonic() + _WAIT
    lines = tuple(_line(library, record, until) for record in found[start : start + PAGE])
    scorers = dict.fromkeys(s for record in reversed(records) for s in scorers_of(record))
    return Listing(
        query=query,
        lines=lines,
        matched=len(found),
        every=len(records),
        pages=max(1, -(-len(found) // PAGE)),
        kinds=Counter(kind_of(record) for record in records),
        statuses=Counter(status_of(record) for record in records),
        scorers=tuple(sorted(scorers)),
        live=any(line.reading or line.status == RUNNING for line in lines),
    )


def scorers_of(record: Record) -> Sequence[str]:
    """The labels of its scorers."""
    if isinstance(record, RunRecord):
        return list(record.scorers)
    return list(record.weights) if isinstance(record, TrainingRecord) else []


def status_of(record: Record) -> str:
    """How far it is; a measurement is always finished."""
    return "finished" if isinstance(record, MeasurementRecord) else record.status


def what_of(record: Record) -> str:
    """What answered, trained, or was measured."""
    if isinstance(record, RunRecord):
        return record.generator
    return record.trainer if isinstance(record, TrainingRecord) else record.kind


def _wanted(record: Record, query: ListQuery) -> bool:
    text = f"{record.id}\n{record.name}\n{what_of(record)}".casefold()
    return (
        query.q.casefold() in text
        and query.kind in ("", kind_of(record))
        and query.status in ("", status_of(record))
        and (not query.scorer or query.scorer in scorers_of(record))
    )


def _sorted(records: Sequence[Record], sort: str) -> list[Record]:
    if sort == "name":
        return sorted(records, key=lambda r: (r.name.casefold(), -r.opened))
    return list(records if sort == "oldest" else reversed(records))


def _line(library: Library, record: Record, until: float) -> Line:
    where, _, short = record.name.rpartition("::")
    overview, reading = None, False
    if isinstance(record, RunRecord):
        answer = library.overview(record, max(0.0, until - time.monotonic()))
        overview, reading = answer.value, answer.pending
    done, total = _progress(record, overview)
    return Line(
        id=record.id,
        name=short,
        where=where,
        kind=kind_of(record),
        status=status_of(record),
        path=path_of(record),
        what=what_of(record),
        done=done,
        total=total,
        started=record.opened if isinstance(record, MeasurementRecord) else record.started,
        took=None if isinstance(record, MeasurementRecord) else took(record),
        scorers=tuple(scorers_of(record)),
        overview=overview,
        reading=reading,
    )


def _progress(record: Record, overview: Overview | None) -> tuple[int | None, int | None]:
    if isinstance(record, TrainingRecord):
        return record.steps, record.total
    if isinstance(record, RunRecord):
        return overview.rows if overview else None, record.total
    return None, None


def took(record: RunRecord | TrainingRecord) -> float | None:
    """The seconds since it last went on, until it ended."""
    if record.finished is None:
        return time.time() - record.opened if record.status == RUNNING else None
    return max(0.0, record.finished - record.opened)
