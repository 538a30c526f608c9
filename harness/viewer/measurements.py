"""The page of a measurement: what a search finds, against how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.store.measurements import MeasurementRecord
from harness.viewer.library import Library
from harness.viewer.origin import flat

if TYPE_CHECKING:
    from harness.plots import Plot


@dataclass(frozen=True, slots=True)
class MeasurementPage:
    """A measurement: its points as a table and, where they are of a search, as a curve."""

    record: MeasurementRecord
    points: tuple[Mapping[str, object], ...]
    columns: tuple[str, ...]
    plot: Plot | None
    facts: Mapping[str, str]
    figures: Mapping[str, str]


def measurement_page(library: Library, text: str) -> MeasurementPage:
    """A measurement's page.

    Raises:
        NotHereError: if there is no such measurement.
    """
    from harness.plots import recall_latency

    record = library.measurement(text)
    found = record.figures.get("points")
    listed = found if isinstance(found, list) else []
    points = tuple(point for point in listed if isinstance(point, Mapping))
    curved = any("recall" in p and "latency_us" in p for p in points)
    rest = {key: value for key, value in record.figures.items() if key != "points"}
    return MeasurementPage(
        record=record,
        points=points,
        columns=tuple(dict.fromkeys(name for point in points for name in point)),
        plot=recall_latency({record.name or "search": points}) if curved else None,
        facts=dict(flat(record.config)),
        figures=dict(flat(rest)),
    )
