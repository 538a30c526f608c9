"""The page of a run: is it good, how sure is that, and where does it come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from harness.store.schema import RunRecord
from harness.viewer.columns import Overview
from harness.viewer.library import RUNNING, Library
from harness.viewer.listing import took

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
    facts: Mapping[str, str]
    packages: Mapping[str, str]
    scorers: Mapping[str, Mapping[str, str]]
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
    described = cast(Mapping[str, Mapping[str, object]], run.config["scorers"])
    return RunPage(
        run=run,
        rows=rows,
        overview=answer.value,
        reading=answer.pending,
        facts=facts(run),
        packages=packages(run),
        scorers={label: dict(flat(value)) for label, value in described.items()},
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


def facts(run: RunRecord) -> dict[str, str]:
    """Where a run comes from and how it was made, by name."""
    told = {**run.config, **run.provenance}
    return dict(flat({key: told[key] for key in told if key not in ("scorers", "packages")}))


def packages(run: RunRecord) -> dict[str, str]:
    """The versions that a run was made with."""
    found = run.provenance.get("packages")
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}


def flat(value: Mapping[str, object], head: str = "") -> Iterator[tuple[str, str]]:
    """The values within nested mappings as text, by their path; nothing that is empty."""
    for key, item in value.items():
        name = f"{head}{key}"
        if isinstance(item, Mapping):
            yield from flat(item, f"{name}.")
        elif item not in (None, "", [], ()):
            yield name, ", ".join(map(str, item)) if isinstance(item, list) else str(item)
