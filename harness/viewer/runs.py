"""The page of a run: is it good, how sure is that, and where does it come from."""

from __future__ import annotations

from dataclasses import dataclass

from harness.store.schema import RunRecord
from harness.viewer.columns import Overview
from harness.viewer.library import RUNNING, Library
from harness.viewer.listing import took
from harness.viewer.origin import Origin, origin

_ALIKE = 8


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run; `overview` is None while its scores are read for the first time.

    `others` are runs to compare it with, the likeliest first.
    """

    run: RunRecord
    rows: int
    overview: Overview | None
    reading: bool
    origin: Origin
    others: tuple[RunRecord, ...]
    live: bool
    took: float | None


def run_page(library: Library, text: str) -> RunPage:
    """A run's page.

    Raises:
        NotHereError: if there is no such run.
    """
    run = library.evaluation(text)
    answer = library.overview(run)
    rows = answer.value.rows if answer.value else library.reading.count(run)
    return RunPage(
        run=run,
        rows=rows,
        overview=answer.value,
        reading=answer.pending,
        origin=origin(run),
        others=tuple(alike(library, run)),
        live=answer.pending or run.status == RUNNING,
        took=took(run),
    )


def alike(library: Library, run: RunRecord) -> list[RunRecord]:
    """Runs that it may be compared with: of its data or its name first, then the latest."""
    others = [r for r in library.records() if isinstance(r, RunRecord) and r.id != run.id]
    shared = [r for r in others if set(r.scorers) & set(run.scorers)]

    def nearness(other: RunRecord) -> tuple[bool, bool, float]:
        data = run.config.get("samples")
        return (
            bool(data) and other.config.get("samples") == data,
            other.name == run.name,
            other.opened,
        )

    return sorted(shared, key=nearness, reverse=True)[:_ALIKE]
