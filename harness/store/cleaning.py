"""Taking out of a store what no run refers to, and runs that are too old.

What a run that is under way may still use stays: its rows, and every completion of its generator.
A call says of no run that it was its own, so one that was made while a run stood open is kept, and
so is one of the last days, which a command that is no run may be going on from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from harness.store.calls import calls
from harness.store.database import Database
from harness.store.schema import (
    RunRecord,
    completions,
    run_rows,
    runs,
    samples,
    scores,
)
from harness.store.store import Store
from harness.store.trainings import TrainingRecord, training_steps, trainings

_DAY = 86_400.0
_CALLS_DAYS = 7.0
_SLACK_S = 60.0  # clocks of two machines differ
_UNDER_WAY = "running"

# In the order in which runs write them: who locks in another might wait in a circle.
_LOCKED = "runs, components, trainings, training_steps, samples, completions, run_rows, scores"

_TEXTS: Mapping[sa.Table, Sequence[sa.Column[str]]] = {
    completions: (completions.c.text, completions.c.details),
    samples: (samples.c.prompt, samples.c.refs, samples.c.metadata),
    scores: (scores.c.parts, scores.c.reason, scores.c.credit, scores.c.calls),
    calls: (calls.c.text, calls.c.tokens),
}

_NOTES = {
    "run_scorers": ("run", "scorer"),
    "wanted_scores": ("completion", "scorer"),
    "kept_completions": ("key",),
}
_wanted = sa.table("wanted_scores", sa.column("completion"), sa.column("scorer"))
_kept = sa.table("kept_completions", sa.column("key"))
_scorers = sa.table("run_scorers", sa.column("run"), sa.column("scorer"))


@dataclass
class Cleaned:
    """What was removed, or would be: rows by table, and about how many characters they hold."""

    rows: dict[str, int] = field(default_factory=dict)
    characters: int = 0
    under_way: int = 0


def cleaned(store: Store, *, older_than: float | None = None, dry_run: bool = False) -> Cleaned:
    """Remove what no run refers to; with `older_than` days, evaluations and trainings as well.

    A `dry_run` does the same and takes it back.

    Raises:
        StoreError: if the store cannot be written.
    """
    found = Cleaned()
    with store.database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {_LOCKED} IN SHARE ROW EXCLUSIVE MODE")
        _clean(connection, store, found, older_than)
        if dry_run:
            connection.rollback()
    if not dry_run and any(found.rows.values()):
        _shrink(store.database)
    return found


def _clean(
    connection: sa.Connection, store: Store, found: Cleaned, older_than: float | None
) -> None:
    every = store.everything()
    found.under_way = sum(record.status == _UNDER_WAY for record in every)
    old = [] if older_than is None else _older(every, older_than)
    for record in old:
        table, rows = (runs, run_rows.c.run) if isinstance(record, RunRecord) else _OF_TRAINING
        _delete(connection, found, rows.table, rows == record.id)
        _delete(connection, found, table, table.c.id == record.id)
    gone = {record.id for record in old}
    left = [record for record in every if record.id not in gone]
    _note_what_is_used(connection, [r for r in left if isinstance(r, RunRecord)])
    _remove_the_rest(connection, found)
    _delete(connection, found, calls, _outside(left))


def _older(
    records: Sequence[RunRecord | TrainingRecord], days: float
) -> list[RunRecord | TrainingRecord]:
    before = time.time() - days * _DAY
    ended = [record for record in records if record.status != _UNDER_WAY]
    return [record for record in ended if max(record.opened, record.finished or 0) < before]


def _note_what_is_used(connection: sa.Connection, left: Sequence[RunRecord]) -> None:
    """Fill tables of this transaction with the keys of what stays."""
    for name, columns in _NOTES.items():
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")  # of a cleaning before
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE {name} ({', '.join(f'{c} TEXT' for c in columns)}, "
            f"PRIMARY KEY ({', '.join(columns)}))"
        )
    of_runs = {(run.id, scorer) for run in left for scorer in run.scorers.values()}
    if of_runs:
        rows = [{"run": run, "scorer": scorer} for run, scorer in of_runs]
        connection.execute(sa.insert(_scorers), rows)
    usable = [run.config["generator"] for run in left if run.status == _UNDER_WAY]
    generators = [str(g["fingerprint"]) for g in usable if isinstance(g, Mapping)]
    placed = sa.select(run_rows.c.completion)
    may_be = sa.select(completions.c.key).where(completions.c.generator.in_(generators))
    connection.execute(_kept.insert().from_select(["key"], sa.union(placed, may_be)))
    of_rows = sa.select(run_rows.c.completion, _scorers.c.scorer).join(
        _scorers, _scorers.c.run == run_rows.c.run
    )
    running = [run.id for run in left if run.status == _UNDER_WAY]
    each = sa.select(completions.c.key, _scorers.c.scorer).join(_scorers, sa.true())
    mine = completions.c.generator.in_(generators)
    of_running = each.where(mine, _scorers.c.run.in_(running))
    both = sa.union(of_rows, of_running)
    connection.execute(_wanted.insert().from_select(["completion", "scorer"], both))


def _remove_the_rest(connection: sa.Connection, found: Cleaned) -> None:
    """Delete scores, completions and samples that nothing refers to, in this order."""
    indexes = [("run_rows", "completion"), ("completions", "sample")]
    for table, column in indexes:  # foreign keys are looked up by these
        connection.exec_driver_sql(f"CREATE INDEX gc_{table} ON {table} ({column})")
    same = sa.and_(_wanted.c.completion == scores.c.completion, _wanted.c.scorer == scores.c.scorer)
    _delete(connection, found, scores, ~sa.exists().where(same))
    _delete(connection, found, completions, ~sa.exists().where(_kept.c.key == completions.c.key))
    used = sa.exists().where(completions.c.sample == samples.c.digest)
    _delete(connection, found, samples, ~used)
    for table, _ in indexes:
        connection.exec_driver_sql(f"DROP INDEX gc_{table}")


def _outside(left: Sequence[RunRecord | TrainingRecord]) -> sa.ColumnElement[bool]:
    """The calls that were made while none of these stood open, and not in the last days."""
    old = calls.c.created < time.time() - _CALLS_DAYS * _DAY
    during = [
        calls.c.created.between(start - _SLACK_S, end + _SLACK_S) for start, end in _open(left)
    ]
    return sa.and_(old, ~sa.or_(*during)) if during else old


def _open(left: Sequence[RunRecord | TrainingRecord]) -> list[tuple[float, float]]:
    """The times in which any of these stood open, from start to end, without overlaps."""
    spans: list[tuple[float, float]] = []
    for record in sorted(left, key=lambda record: record.started):
        end = record.finished or time.time()
        if spans and record.started <= spans[-1][1] + 2 * _SLACK_S:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((record.started, end))
    return spans


def _delete(
    connection: sa.Connection, found: Cleaned, table: sa.Table, which: sa.ColumnElement[bool]
) -> None:
    texts = [sa.func.coalesce(sa.func.length(text), 0) for text in _TEXTS.get(table, ())]
    if texts:
        query = sa.select(sa.func.sum(sum(texts[1:], texts[0]))).where(which)
        found.characters += int(connection.execute(query).scalar() or 0)
    count = connection.execute(sa.delete(table).where(which)).rowcount
    found.rows[table.name] = found.rows.get(table.name, 0) + count


def _shrink(database: Database) -> None:
    """Give the room back: a SQLite file only grows by itself, PostgreSQL uses it again."""
    if sa.make_url(database.url).get_backend_name() == "sqlite":
        with database.reading() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


_OF_TRAINING = trainings, training_steps.c.training
