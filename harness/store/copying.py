"""Copying runs from one store to another; what is there already is kept, so it can be resumed.

A run counts as interrupted at its new place until all of it has arrived. Where the other store has
another answer under a completion's key, that answer stands, no score of ours is put beside it, and
the run stays interrupted: continued, it scores what is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import sqlalchemy as sa

from harness.errors import StoreError
from harness.store.calls import calls
from harness.store.measurements import MeasurementRecord, measurements
from harness.store.schema import (
    FAILED,
    RunRecord,
    completions,
    components,
    run_rows,
    runs,
    samples,
    scores,
)
from harness.store.store import Store
from harness.store.trainings import TrainingRecord, training_steps, trainings

Row: TypeAlias = dict[str, object]
Record: TypeAlias = RunRecord | TrainingRecord | MeasurementRecord

_CHUNK = 500
_UNDER_WAY = "running"
_INCOMPLETE = "interrupted"


class Copying:
    """One copy under way; `counts` says how many of what were not there before.

    Raises:
        StoreError: from every method, when a store cannot be read or written.
    """

    def __init__(
        self, source: Store, target: Store, told: Callable[[str, int, int], None] | None = None
    ) -> None:
        if source.url == target.url:
            raise StoreError(f"both stores are {source.shown}")
        self._source, self._target = source, target
        self._from, self._to = source.database, target.database
        self._told = told or (lambda *_: None)
        self._there = {record.id: record.status for record in target.everything()}
        self.counts: Counter[str] = Counter()

    def everything(self) -> None:
        """Copy all runs, trainings and measurements, and the calls that were paid for."""
        self.records(self._source.everything_measured())
        self._calls()

    def records(self, records: Sequence[Record]) -> None:
        """Copy these."""
        for record in records:
            if isinstance(record, RunRecord):
                self._run(record)
            elif isinstance(record, TrainingRecord):
                self._training(record)
            else:
                self._whole(measurements, measurements.c.id == record.id, "measurements")

    def _run(self, record: RunRecord) -> None:
        there = self._there.get(record.id)
        if there in ("finished", _UNDER_WAY):
            self.counts[f"runs_{'there' if there == 'finished' else 'under_way_there'}"] += 1
            return
        self._head(runs, record.id)
        known = components.c.fingerprint.in_(_fingerprints(record))
        self._whole(components, known, "components")
        same, done = True, 0
        for rows in self._read(run_rows, run_rows.c.run == record.id):
            same = self._rows(record, rows) and same
            self._told(record.id, done := done + len(rows), record.total)
        self._end(runs, record.id, record.status if same else _INCOMPLETE)
        self.counts["runs"] += there is None

    def _rows(self, record: RunRecord, rows: Sequence[Row]) -> bool:
        """Copy some rows of a run; gives whether their answers there are ours."""
        keys = sorted({str(row["completion"]) for row in rows})
        ours = self._found(completions, completions.c.key, keys)
        digests = sorted({str(row["sample"]) for row in ours})
        asked = self._found(samples, samples.c.digest, digests)
        wanted = scores.c.scorer.in_(list(record.scorers.values()))
        scored = self._found(scores, scores.c.completion, keys, wanted)
        answer = [completions.c.key, completions.c.text, completions.c.finish]
        with self._to.writing() as connection:
            self._insert(connection, samples, asked)
            self._insert(connection, completions, ours, over=completions.c.finish == FAILED)
            query = sa.select(*answer).where(completions.c.key.in_(keys))
            theirs = {(row.key, row.text, row.finish) for row in connection.execute(query)}
            same = {str(r["key"]) for r in ours if (r["key"], r["text"], r["finish"]) in theirs}
            self._insert(connection, run_rows, rows)
            belonging = [row for row in scored if row["completion"] in same]
            self._insert(connection, scores, belonging, over=scores.c.value.is_(None))
        self.counts["answers_that_differ"] += len(ours) - len(same)
        return len(same) == len(keys)

    def _training(self, record: TrainingRecord) -> None:
        there = self._there.get(record.id)
        if there in ("finished", _UNDER_WAY):
            self.counts[f"trainings_{'there' if there == 'finished' else 'under_way_there'}"] += 1
            return
        self._head(trainings, record.id)
        self._whole(training_steps, training_steps.c.training == record.id, "training_steps")
        self._end(trainings, record.id, record.status)
        self.counts["trainings"] += there is None

    def _calls(self) -> None:
        for rows in self._read(calls, sa.true()):
            keys = sorted({str(row["key"]) for row in rows})
            with self._to.writing() as connection:
                query = sa.select(calls.c.key, calls.c.created).where(calls.c.key.in_(keys))
                there = {(row.key, row.created) for row in connection.execute(query)}
                new = [row for row in rows if (row["key"], row["created"]) not in there]
                for row in new:
                    del row["id"]  # each store counts its own
                self._to.execute_many(connection, self._to.insert(calls), new)
            self.counts["calls"] += len(new)

    def _head(self, table: sa.Table, name: str) -> None:
        """A run or a training before its rows."""
        (row,) = (row for rows in self._read(table, table.c.id == name) for row in rows)
        row |= {"status": _INCOMPLETE, "finished": None, "process": None}
        with self._to.writing() as connection:
            connection.execute(self._to.insert(table).on_conflict_do_nothing(), row)

    def _end(self, table: sa.Table, name: str, status: str) -> None:
        """Say how it stands, now that all of it is there."""
        if status in (_UNDER_WAY, _INCOMPLETE):
            return
        with self._from.reading() as connection:
            query = sa.select(table.c.finished).where(table.c.id == name)
            finished = connection.execute(query).scalar()
        open_ones = (_INCOMPLETE, _UNDER_WAY)  # a killed one still has the status it had
        with self._to.writing() as connection:
            change = sa.update(table).where(table.c.id == name, table.c.status.in_(open_ones))
            connection.execute(change.values(status=status, finished=finished))

    def _whole(self, table: sa.Table, which: sa.ColumnElement[bool], name: str) -> None:
        for rows in self._read(table, which):
            with self._to.writing() as connection:
                self._insert(connection, table, rows, name)

    def _found(
        self,
        table: sa.Table,
        key: sa.ColumnElement[str],
        keys: Sequence[str],
        also: sa.ColumnElement[bool] | None = None,
    ) -> list[Row]:
        which = key.in_(keys) if also is None else sa.and_(key.in_(keys), also)
        return [row for rows in self._read(table, which) for row in rows]

    def _read(self, table: sa.Table, which: sa.ColumnElement[bool]) -> Iterator[list[Row]]:
        """Some hundred rows at a time, in the order of their keys."""
        query = sa.select(table).where(which).order_by(*table.primary_key)
        with self._from.reading() as connection:
            found = connection.execution_options(yield_per=_CHUNK).execute(query)
            for rows in found.mappings().partitions():
                yield [dict(row) for row in rows]

    def _insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, object]],
        name: str = "",
        over: sa.ColumnElement[bool] | None = None,
    ) -> None:
        """Insert rows, in place of those there are only where `over` holds of them."""
        statement = self._to.insert(table).on_conflict_do_nothing()
        if over is not None:
            statement = self._to.upsert(table, over)
        self.counts[name or table.name] += self._to.execute_many(connection, statement, rows)


def _fingerprints(record: RunRecord) -> Iterable[str]:
    generator = record.config["generator"]
    assert isinstance(generator, Mapping)
    return [str(generator["fingerprint"]), *record.scorers.values()]
