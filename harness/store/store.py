"""The store: journal, cache and resume in one database.

A piece of work is keyed by what decides its result, so any run that needs it finds it.
Everything is written in transactions, one a batch; a killed run loses only what was under way.
SQLite in one file by default; PostgreSQL for a team.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

from harness.clock import now
from harness.components import Completion, Sample, Score
from harness.errors import HarnessError, StoreError
from harness.store.calls import Calls
from harness.store.columns import Columns
from harness.store.database import Database
from harness.store.measurements import MeasurementRecord, Measurements
from harness.store.prefixes import R, one_of
from harness.store.schema import (
    FAILED,
    SCHEMA_VERSION,
    Placed,
    RunRecord,
    ScoredRow,
    Value,
    completion_of,
    completion_row,
    completions,
    components,
    meta,
    metadata,
    run_record,
    run_row,
    run_rows,
    runs,
    sample_of,
    sample_row,
    samples,
    score_of,
    score_row,
    scores,
    to_json,
)
from harness.store.trainings import TrainingRecord, Trainings

_CHUNK = 500


class Store:
    """A store, open for reading and, unless `readonly`, for writing.

    `url` is a file, a database URL, or None for the default; `sqlite://` is one in memory.
    `store.trainings` has the trainings, `store.calls` every call that was paid for,
    `store.columns` the scores of a run by column, `store.measurements` what else was measured.

    Raises:
        StoreError: from every method, when the database cannot be read or written.
    """

    def __init__(self, url: str | Path | None = None, *, readonly: bool = False) -> None:
        self._database = self.database = Database(url, readonly=readonly)
        self._insert = self._database.insert
        self.trainings = Trainings(self._database)
        self.measurements = Measurements(self._database)
        self.calls = Calls(self._database)
        self.columns = Columns(self._database)
        self.url, self.shown = self._database.url, self._database.shown
        self.in_memory = self.url in ("sqlite://", "sqlite:///:memory:")
        self._check_schema(readonly)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, record: RunRecord, descriptions: Mapping[str, object]) -> None:
        """Record that a run starts, or goes on, and describe its components by fingerprint.

        A run that goes on keeps the start and the origin that it had.
        """
        row = run_row(record)
        again = {name: row[name] for name in ("status", "opened", "finished", "process")}
        known = [{"fingerprint": f, "description": to_json(d)} for f, d in descriptions.items()]
        with self._database.writing() as connection:
            statement = self._insert(runs).on_conflict_do_update(index_elements=["id"], set_=again)
            connection.execute(statement, row)
            describe = self._insert(components).on_conflict_do_nothing()
            self._database.execute_many(connection, describe, known)

    def finish(self, run: str, status: str) -> None:
        """Record how a run ended: `finished`, `failed` or `interrupted`."""
        change = sa.update(runs).where(runs.c.id == run)
        with self._database.writing() as connection:
            connection.execute(change.values(status=status, finished=now()))

    def completions(self, of: Mapping[str, Sample]) -> dict[str, Completion]:
        """The recorded completions among these keys, less those that failed."""
        found: dict[str, Completion] = {}
        with self._database.reading() as connection:
            for keys in _chunks(list(of)):
                query = sa.select(completions).where(completions.c.key.in_(keys))
                for row in connection.execute(query):
                    if row.finish != "error":
                        found[row.key] = completion_of(row, of[row.key])
        return found

    def scores(self, keys: Sequence[str], scorers: Iterable[str]) -> dict[tuple[str, str], Score]:
        """The recorded scores of these completions, by (completion key, scorer fingerprint)."""
        wanted = scores.c.scorer.in_(list(scorers))
        found: dict[tuple[str, str], Score] = {}
        with self._database.reading() as connection:
            for some in _chunks(keys):
                query = sa.select(scores).where(scores.c.completion.in_(some), wanted)
                for row in connection.execute(query):
                    found[row.completion, row.scorer] = score_of(row)
        return found

    def add_completions(
        self, run: str, generator: str, placed: Sequence[Placed], new: set[str]
    ) -> bool:
        """Place completions in a run; those whose keys are `new` are recorded too.

        Of two processes that make one completion, what the first recorded stands: scores
        belong to it. Gives whether that was ours each time.
        """
        fresh = list({p.key: p for p in placed if p.key in new}.values())
        rows = [
            {
                "run": run,
                "ordinal": p.ordinal,
                "sample_id": p.sample_id,
                "cluster": p.cluster,
                "completion": p.key,
            }
            for p in placed
        ]
        add = self._database.execute_many
        with self._database.writing() as connection:
            known = [sample_row(p) for p in fresh]
            add(connection, self._insert(samples).on_conflict_do_nothing(), known)
            statement = self._database.upsert(completions, completions.c.finish == FAILED)
            made = add(connection, statement, [completion_row(p, generator) for p in fresh])
            add(connection, self._insert(run_rows).on_conflict_do_nothing(), rows)
        return made == len(fresh)

    def add_scores(self, scorer: str, scored: Mapping[str, Score]) -> None:
        """Record a scorer's scores by completion key, over what it could not score before."""
        with self._database.writing() as connection:
            rows = [score_row(scorer, key, score) for key, score in scored.items()]
            statement = self._database.upsert(scores, scores.c.value.is_(None))
            self._database.execute_many(connection, statement, rows)

    def runs(self) -> list[RunRecord]:
        """Every run, the latest last."""
        with self._database.reading() as connection:
            query = sa.select(runs).order_by(runs.c.opened, runs.c.id)
            return [run_record(row) for row in connection.execute(query)]

    def run(self, prefix: str) -> RunRecord:
        """The evaluation whose id starts with `prefix`; `last` names the latest.

        Raises:
            HarnessError: if there is none, or more than one, or it is a training.
        """
        every = self.runs()
        if prefix != "last" and not any(run.id.startswith(prefix) for run in every):
            found = [t for t in self.trainings.all() if t.id.startswith(prefix)]
            if found:
                raise HarnessError(f"{found[0].id} is a training: harness show {found[0].id}")
        return self._one(every, prefix)

    def find(self, prefix: str) -> RunRecord | TrainingRecord:
        """The run or the training whose id starts with `prefix`; `last` names the latest.

        Raises:
            HarnessError: if there is none, or more than one.
        """
        return self._one(self.everything(), prefix)

    def find_any(self, prefix: str) -> RunRecord | TrainingRecord | MeasurementRecord:
        """The same, measurements included."""
        return self._one(self.everything_measured(), prefix)

    def everything(self) -> list[RunRecord | TrainingRecord]:
        """Every run and every training, the latest last."""
        return sorted([*self.runs(), *self.trainings.all()], key=lambda r: (r.opened, r.id))

    def everything_measured(self) -> list[RunRecord | TrainingRecord | MeasurementRecord]:
        """Every run, training and measurement, the latest last."""
        every = [*self.everything(), *self.measurements.all()]
        return sorted(every, key=lambda record: (record.opened, record.id))

    def latest(self, name: str) -> RunRecord | None:
        """The latest run of this name."""
        query = sa.select(runs).where(runs.c.name == name).order_by(runs.c.opened.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return run_record(row) if row else None

    def values(self, run: RunRecord, label: str) -> Iterator[Value]:
        """One scorer's values of a run, in the order of its rows."""
        query = (
            sa.select(run_rows.c.sample_id, run_rows.c.cluster, scores.c.value, scores.c.unscored)
            .join(scores, scores.c.completion == run_rows.c.completion)
            .where(run_rows.c.run == run.id, scores.c.scorer == run.scorers[label])
            .order_by(run_rows.c.ordinal)
        )
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=_CHUNK).execute(query):
                yield Value(row.sample_id, row.cluster, row.value, row.unscored)

    def rows(self, run: RunRecord) -> Iterator[ScoredRow]:
        """Every completion of a run with its scores, in order."""
        query = (
            sa.select(run_rows.c.ordinal, run_rows.c.sample_id, completions, samples)
            .join(completions, completions.c.key == run_rows.c.completion)
            .join(samples, samples.c.digest == completions.c.sample)
            .where(run_rows.c.run == run.id)
            .order_by(run_rows.c.ordinal)
        )
        with self._database.reading() as connection:
            result = connection.execution_options(yield_per=_CHUNK).execute(query)
            for some in result.partitions():
                scored = self.scores([row.key for row in some], run.scorers.values())
                for row in some:
                    of_row = {
                        label: scored[row.key, fingerprint]
                        for label, fingerprint in run.scorers.items()
                        if (row.key, fingerprint) in scored
                    }
                    completion = completion_of(row, sample_of(row))
                    yield ScoredRow(row.ordinal, completion, of_row, row.created)

    def _one(self, every: Sequence[R], prefix: str) -> R:
        return one_of(every, prefix, noun="run", where=self.shown)

    def _check_schema(self, readonly: bool) -> None:
        version = schema_version(self._database)
        if not readonly and version is None:
            with self._database.writing() as connection:
                self._database.alone(connection)
                self._refuse_what_is_not_ours(connection)
                metadata.create_all(connection)
                row = {"key": "schema", "value": SCHEMA_VERSION}
                connection.execute(self._insert(meta).on_conflict_do_nothing(), row)
            version = schema_version(self._database)
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"the store {self.shown} has schema {version}, and this samescore reads schema "
                f"{SCHEMA_VERSION}; {_remedy(version)}"
            )

    def _refuse_what_is_not_ours(self, connection: sa.Connection) -> None:
        """Another program may have tables beside a store's, but none of their names."""
        there = sorted(metadata.tables.keys() & set(sa.inspect(connection).get_table_names()))
        if there and _version(connection) is None:
            raise StoreError(
                f"{self.shown} has a table {there[0]!r} and no samescore schema: it is another "
                "program's, or damaged; choose another with --store"
            )


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _CHUNK):
        yield keys[start : start + _CHUNK]


def schema_version(database: Database) -> str | None:
    """The version of a store's schema, None where there is none."""
    with database.reading() as connection:
        return _version(connection)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(meta.name):
        return None
    return connection.execute(sa.select(meta.c.value).where(meta.c.key == "schema")).scalar()


def _remedy(version: str | None) -> str:
    if version is not None and version.isdigit() and int(version) > int(SCHEMA_VERSION):
        return "a newer samescore wrote it: pip install -U samescore"
    from harness.store.migrations import has_path

    upgrade = "harness store upgrade brings it there, when no machine needs the old one any more"
    return upgrade if has_path(version) else "choose another with --store"
