"""What the pages read of a store by SQL, beside what the store itself gives."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack

import sqlalchemy as sa

from harness.components import TrainingStep
from harness.store import Store
from harness.store.database import Database
from harness.store.schema import (
    RunRecord,
    ScoredRow,
    completion_of,
    completions,
    run_rows,
    sample_of,
    samples,
)
from harness.store.trainings import step_of, training_steps

_CHANGES = sa.text("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables")


class Reading:
    """A store, read only: rows of runs by place, texts that match, steps of trainings.

    Raises:
        StoreError: from every method, when the database cannot be read.
    """

    def __init__(self, url: str | None) -> None:
        self.store = Store(url, readonly=True)
        self._database = Database(url, readonly=True)
        self._stack = ExitStack()
        self._watching = self._stack.enter_context(self._database.reading())
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the connections back."""
        self._stack.close()
        self._database.close()
        self.store.close()

    def version(self) -> str:
        """A text that changes whenever anybody has written to the store."""
        with self._lock:
            if self._watching.dialect.name == "sqlite":
                found = self._watching.exec_driver_sql("PRAGMA data_version").scalar()
            else:
                found = self._watching.execute(_CHANGES).scalar()
            self._watching.rollback()
        return str(found)

    def count(self, run: RunRecord) -> int:
        """How many rows of a run are recorded."""
        query = sa.select(sa.func.count()).where(run_rows.c.run == run.id)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar() or 0)

    def ordinals(self, run: RunRecord, start: int, count: int) -> list[int]:
        """The places of so many rows, from the row `start` on."""
        query = (
            sa.select(run_rows.c.ordinal)
            .where(run_rows.c.run == run.id)
            .order_by(run_rows.c.ordinal)
            .limit(count)
            .offset(start)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def beside(self, run: RunRecord, ordinal: int) -> tuple[int | None, int | None]:
        """The places of the rows before and after."""
        place = run_rows.c.ordinal
        mine = sa.select(place).where(run_rows.c.run == run.id).limit(1)
        before = mine.where(place < ordinal).order_by(place.desc())
        after = mine.where(place > ordinal).order_by(place)
        with self._database.reading() as connection:
            return connection.execute(before).scalar(), connection.execute(after).scalar()

    def rows(self, run: RunRecord, ordinals: Sequence[int]) -> list[ScoredRow]:
        """Some hundred rows in this order, less those that are not there."""
        query = (
            sa.select(run_rows.c.ordinal, run_rows.c.sample_id, completions, samples)
            .join(completions, completions.c.key == run_rows.c.completion)
            .join(samples, samples.c.digest == completions.c.sample)
            .where(run_rows.c.run == run.id, run_rows.c.ordinal.in_(ordinals))
        )
        with self._database.reading() as connection:
            found = {row.ordinal: row for row in connection.execute(query)}
        rows = [found[o] for o in ordinals if o in found]
        scored = self.store.scores([row.key for row in rows], run.scorers.values())
        return [
            ScoredRow(
                row.ordinal,
                completion_of(row, sample_of(row)),
                {
                    label: scored[row.key, fingerprint]
                    for label, fingerprint in run.scorers.items()
                    if (row.key, fingerprint) in scored
                },
                row.created,
            )
            for row in rows
        ]

    def matching(self, run: RunRecord, text: str, low: int, high: int) -> list[int]:
        """The places from `low` to below `high` whose id, prompt, references or answer has a text.

        Upper and lower case are the same, in SQLite for the letters of ASCII only.
        """
        place = run_rows.c.ordinal
        query = (
            sa.select(place)
            .join(completions, completions.c.key == run_rows.c.completion)
            .join(samples, samples.c.digest == completions.c.sample)
            .where(run_rows.c.run == run.id, place >= low, place < high)
            .order_by(place)
        )
        within = (run_rows.c.sample_id, samples.c.prompt, samples.c.refs, completions.c.text)
        with self._database.reading() as connection:
            lite = connection.dialect.name == "sqlite"  # its LIKE knows no case; lower() costs
            has = [_like(column, text, plain=lite) for column in within]
            return list(connection.execute(query.where(sa.or_(*has))).scalars())

    def first_with_id(self, run: RunRecord, sample: str) -> int | None:
        """The place of a sample's first attempt."""
        query = (
            sa.select(run_rows.c.ordinal)
            .where(run_rows.c.run == run.id, run_rows.c.sample_id == sample)
            .order_by(run_rows.c.ordinal)
            .limit(1)
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def places(self, run: RunRecord) -> dict[str, int]:
        """The place of each sample's first attempt."""
        query = sa.select(run_rows.c.sample_id, run_rows.c.ordinal).where(run_rows.c.run == run.id)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(run_rows.c.ordinal.desc()))
            return {row.sample_id: row.ordinal for row in rows}

    def steps(self, training: str) -> list[TrainingStep]:
        """Every step of a training, without its examples."""
        c = training_steps.c
        query = sa.select(c.step, c.total, c.metrics, c.seconds, sa.null().label("examples"))
        query = query.where(c.training == training).order_by(c.step)
        with self._database.reading() as connection:
            return [step_of(row) for row in connection.execute(query)]

    def steps_with_examples(self, training: str) -> list[int]:
        """The steps of which some completions are recorded."""
        c = training_steps.c
        query = sa.select(c.step).where(c.training == training, c.examples.is_not(None))
        with self._database.reading() as connection:
            return list(connection.execute(query.order_by(c.step)).scalars())

    def step(self, training: str, step: int) -> TrainingStep | None:
        """One step with its examples."""
        c = training_steps.c
        query = sa.select(training_steps).where(c.training == training, c.step == step)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else step_of(row)


def _like(column: sa.Column[str], text: str, *, plain: bool) -> sa.ColumnElement[bool]:
    return (
        column.contains(text, autoescape=True) if plain else column.icontains(text, autoescape=True)
    )
