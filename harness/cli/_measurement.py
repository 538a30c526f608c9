"""What `harness show` tells of a measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.cli._telling import print_json, tell

if TYPE_CHECKING:
    from harness.store.measurements import MeasurementRecord


def show_measurement(record: MeasurementRecord, *, as_json: bool = False) -> int:
    """Print what was measured, and what came out: figures by name, and points as a table."""
    if as_json:
        print_json(
            {
                "measurement": record.id,
                "name": record.name,
                "kind": record.kind,
                "opened": record.opened,
                "config": record.config,
                "figures": record.figures,
            }
        )
        return 0
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.opened))
    tell(f"measurement {record.id} · {record.name or 'unnamed'} · {record.kind} · {when}")
    points = record.figures.get("points")
    rest = {name: value for name, value in record.figures.items() if name != "points"}
    for name, text in (*_flat(record.config), *_flat(rest)):
        tell(f"{name}: {text}")
    if isinstance(points, list) and points:
        tell(f"\n{_table(points)}")
    return 0


def _table(points: list[Mapping[str, object]]) -> str:
    """A line a point; the first column to the left."""
    from harness.report import plain_table, table_width

    names = list(dict.fromkeys(name for point in points for name in point))
    rows = [[_cell(point.get(name)) for name in names] for point in points]
    told = [place for place in range(len(names)) if any(row[place] != "–" for row in rows)]
    heads = [names[place] for place in told]
    return plain_table(heads, [[row[p] for p in told] for row in rows], width=table_width())


def _flat(values: Mapping[str, object], at: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{name}.")
        elif value not in (None, "", []):
            yield f"{at}{name}", _cell(value)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return str(value)
