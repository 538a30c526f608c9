"""The part of the store that reads a run's scores as columns: a million rows in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import sqlalchemy as sa

from harness.store.database import Database
from harness.store.schema import RunRecord, completions, run_rows, samples, scores

_AT_ONCE = 4_000
_CHUNK = 500
_MAPPED = 2**31 - 2**16  # bytes, the most that SQLite maps


class Cells(NamedTuple):
    """Scores of a run, a column each, in the order of its rows.

    `scorers` holds fingerprints, or None where the run's row has no verdict of any scorer; a row
    that several scorers judged stands there once for each.
    """

    ordinals: Sequence[int]
    sample_ids: Sequence[str]
    clusters: Sequence[str]
    scorers: Sequence[str | None]
    values: Sequence[float | None]
    unscored: Sequence[str | None]


class Texts(NamedTuple):
    """What was asked at a row of a run, and what was answered."""

    prompt: str
    answer: str


class Columns:
    """The rows of a store's runs by column.

    Raises:
        StoreError: from every method, when the database cannot be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def scores(self, run: RunRecord, scorers: Sequence[str]) -> Iterator[Cells]:
        """The verdicts of these scorers, by fingerprint, some thousand at a time."""
        wanted = list(set(scorers))
        one = scores.c.scorer == wanted[0] if len(wanted) == 1 else scores.c.scorer.in_(wanted)
        mine = sa.and_(scores.c.completion == run_rows.c.completion, one)
        query = (
            sa.select(
                run_rows.c.ordinal,
                run_rows.c.sample_id,
                run_rows.c.cluster,
                scores.c.scorer,
                scores.c.value,
                scores.c.unscored,
            )
            .join(scores, mine, isouter=True)
            .where(run_rows.c.run == run.id)
            .order_by(run_rows.c.ordinal)
        )
        with self._database.reading() as connection, _mapped(connection):
            for rows in _batches(connection, query):
                yield Cells(*zip(*rows, strict=True))

    def contents(self, run: RunRecord) -> dict[str, str]:
        """A digest of each sample's prompt and references, by the sample's id.

        Metadata is left out: it may hold the recorded answers, which are what is compared.
        """
        query = (
            sa.select(run_rows.c.sample_id, samples.c.prompt, samples.c.refs)
            .join(completions, completions.c.key == run_rows.c.completion)
            .join(samples, samples.c.digest == completions.c.sample)
            .where(run_rows.c.run == run.id)
        )
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=_AT_ONCE).execute(query)
            return {row.sample_id: content_digest(row.prompt, row.refs) for row in rows}

    def texts(self, run: RunRecord, ordinals: Sequence[int]) -> Mapping[int, Texts]:
        """What was asked and answered at these rows."""
        query = (
            sa.select(run_rows.c.ordinal, samples.c.prompt, completions.c.text)
            .join(completions, completions.c.key == run_rows.c.completion)
            .join(samples, samples.c.digest == completions.c.sample)
            .where(run_rows.c.run == run.id)
        )
        found: dict[int, Texts] = {}
        with self._database.reading() as connection:
            for start in range(0, len(ordinals), _CHUNK):
                some = run_rows.c.ordinal.in_(ordinals[start : start + _CHUNK])
                for row in connection.execute(query.where(some)):
                    found[row.ordinal] = Texts(row.prompt, row.text)
        return found


def _batches(
    connection: sa.Connection, query: sa.Select[*tuple[object, ...]]
) -> Iterator[Sequence[Sequence[object]]]:
    """The rows of a query, never all of them in memory."""
    if connection.dialect.name != "sqlite":
        result = connection.execution_options(yield_per=_AT_ONCE).execute(query)
        yield from result.partitions()
        return
    result = connection.execute(query)
    # The driver's own rows: SQLAlchemy's would take a third of the time.
    while rows := result.cursor.fetchmany(_AT_ONCE):
        yield rows
    result.close()


@contextmanager
def _mapped(connection: sa.Connection) -> Iterator[None]:
    """SQLite's file as memory while it is read: looking a million keys up takes half the time."""
    if connection.dialect.name != "sqlite":
        yield
        return
    connection.exec_driver_sql(f"PRAGMA mmap_size={_MAPPED}")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA mmap_size=0")


def content_digest(prompt: str, references: str) -> str:
    """64 bits, in hexadecimal, of what was asked and of the references as JSON."""
    asked = f"{prompt}\0{references}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(asked, digest_size=8).hexdigest()
