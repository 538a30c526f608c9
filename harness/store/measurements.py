"""The part of the store that holds measurements: figures that are of no run's rows.

A benchmark that measures, say, an index at several settings records one each time it runs.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from harness.clock import now
from harness.data.plain import json_object
from harness.store.database import Database
from harness.store.prefixes import one_of
from harness.store.schema import as_written, mapping_of, metadata, to_json

measurements = sa.Table(
    "measurements",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("opened", sa.Float, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("figures", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class MeasurementRecord:
    """Something measured: `config` is what was measured and how, `figures` what came out.

    `opened` is when, in seconds since 1970 (UTC). Both mappings hold JSON values. A record of kind
    `retrieval` has in `figures["points"]` a mapping for each setting: `label`, `recall` (0 to 1)
    and `latency_us` (microseconds a query).
    """

    id: str
    name: str
    kind: str
    opened: float
    config: Mapping[str, object]
    figures: Mapping[str, object]


def measured(
    name: str, kind: str, *, config: Mapping[str, object], figures: Mapping[str, object]
) -> MeasurementRecord:
    """A record of now, with an id of its own."""
    return MeasurementRecord(uuid.uuid4().hex[:12], name, kind, now(), config, figures)


class Measurements:
    """The measurements of a store.

    Raises:
        StoreError: from every method, when the database cannot be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: MeasurementRecord) -> None:
        """Record a measurement, in place of one of the same id.

        Raises:
            TypeError: if the config or the figures hold anything but JSON values.
        """
        row = {
            "id": record.id,
            "name": record.name,
            "kind": record.kind,
            "opened": record.opened,
            "config": to_json(json_object(record.config, "config")),
            "figures": to_json(json_object(record.figures, "figures")),
        }
        insert = self._database.insert(measurements)
        rest = {name: value for name, value in row.items() if name != "id"}
        with self._database.writing() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=rest), row)

    def all(self) -> list[MeasurementRecord]:
        """Every measurement, the latest last."""
        query = sa.select(measurements).order_by(measurements.c.opened, measurements.c.id)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def get(self, prefix: str) -> MeasurementRecord:
        """The measurement whose id starts with `prefix`; `last` names the latest.

        Raises:
            HarnessError: if there is none, or more than one.
        """
        return one_of(self.all(), prefix, noun="measurement", where=self._database.shown)


@as_written
def _record(row: sa.Row[tuple[object, ...]]) -> MeasurementRecord:
    return MeasurementRecord(
        id=row.id,
        name=row.name,
        kind=row.kind,
        opened=row.opened,
        config=mapping_of(json.loads(row.config)),
        figures=mapping_of(json.loads(row.figures)),
    )
