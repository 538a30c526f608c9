"""Connecting to the store's database: URLs, SQLite's settings, and errors that say what to do."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from harness.data.writing import is_full
from harness.errors import StoreError
from harness.processes import writing_to
from harness.store.schema import DamagedError

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert

DEFAULT = Path(".samescore") / "store.db"
_INSTALL = "pip install 'samescore[postgresql]'"
_SCHEME = re.compile(r"(postgres(ql)?|sqlite|mysql|mariadb|mssql|oracle)(\+\w+)?:", re.IGNORECASE)
_PATIENCE_S = 60.0  # how long to wait for another process that writes


class Database:
    """A database that tells what went wrong, and which knows `INSERT … ON CONFLICT`.

    Raises:
        StoreError: from every method, when the database cannot be used.
    """

    def __init__(self, url: str | Path | None, *, readonly: bool = False) -> None:
        self.url = store_url(url)
        try:
            given = sa.make_url(self.url)
            self.shown = given.render_as_string(hide_password=True)
            parsed = _with_driver(given)
            self.insert = _insert_for(parsed)
            with warnings.catch_warnings():
                warnings.simplefilter("error", sa.exc.SAWarning)  # of options that no driver has
                self._engine = _connectable(parsed, readonly)
        except (sa.exc.ArgumentError, sa.exc.SAWarning, TypeError, ValueError) as error:
            shown = _without_secrets(str(url or self.url))  # as given: a path has lost slashes
            raise StoreError(f"{shown!r} is no store: give a file or a database URL") from error
        except ImportError as error:
            raise StoreError(f"the store {self.shown} needs {_needed(error)}") from error
        self._file: tuple[int, int] | None = None
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        # Python 3.13 warns of a connection that is left to the garbage collector.
        weakref.finalize(self, self._engine.dispose)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, committed at the end; Ctrl-C waits until then."""
        with _uninterrupted(), self._telling("write to"), self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                self._refuse_another_file()
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # sqlite3 begins late, or not at all
            yield connection

    def _refuse_another_file(self) -> None:
        """SQLite goes on writing to a file that was removed: what it records is lost."""
        file = _identity(self._engine.url.database)
        self._file = self._file or file
        if file != self._file:
            raise StoreError(
                f"the store {self.shown} was removed or replaced by another file meanwhile; "
                "what was recorded in it is where it went"
            )

    def alone(self, connection: Connection) -> None:
        """Keep others from changing tables until this transaction ends; SQLite does it anyway."""
        if connection.dialect.name == "postgresql":
            from harness.store.postgresql import alone

            alone(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read from."""
        with self._telling("read"), self._connected() as connection:
            yield connection

    def upsert(self, table: sa.Table, over: sa.ColumnElement[bool]) -> Insert:
        """Insert rows, in place of those there are only where `over` holds of them."""
        statement = self.insert(table)
        keys = [c.name for c in table.primary_key]
        rest = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
        return statement.on_conflict_do_update(index_elements=keys, set_=rest, where=over)

    def execute_many(
        self, connection: Connection, statement: sa.Insert, rows: Sequence[Mapping[str, object]]
    ) -> int:
        """Insert rows of plain text and numbers, all with the same keys; gives how many changed.

        The statement is compiled by SQLAlchemy and run by the driver: the values need no
        conversion, and converting them would cost as much as writing them.
        """
        if not rows:
            return 0
        if connection.dialect.name == "postgresql":
            from harness.store.postgresql import insert_many

            return insert_many(connection, statement, rows)
        compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
        order = compiled.positiontup
        values = [tuple(row[key] for key in order) for row in rows] if order else list(rows)
        return connection.exec_driver_sql(str(compiled), values).rowcount

    def _connected(self) -> Connection:
        try:
            return self._engine.connect()
        except (TypeError, ValueError) as error:  # drivers look at hosts and options only now
            raise StoreError(f"{self.shown} is no store: {error}") from error

    @contextlib.contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        try:
            yield
        # SQLite may say the name of a damaged table, which need not be UTF-8.
        except (DamagedError, UnicodeDecodeError) as error:
            raise StoreError(f"{self.shown} is damaged: {error}; take a copy of it") from error
        except (sa.exc.DBAPIError, self._driver_error, UnicodeEncodeError) as error:
            why = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            line = " ".join(str(why).split())
            raise StoreError(
                f"cannot {doing} the store {self.shown}: {line}; {self._remedy(line)}"
            ) from error

    def _remedy(self, line: str) -> str:
        """What the user can do about an error of the database."""
        file = Path(self._engine.url.database or "")
        if "is locked" in line:
            others = " and ".join(writing_to(file)) or "another process"
            return f"{others} has been writing to it for {_PATIENCE_S:g} s: wait for it, or end it"
        if "is full" in line or ("I/O error" in line and is_full(file.parent)):
            return "make room on its disk, and the same command goes on"
        return "choose another with --store"


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold an interrupt back: one within a transaction would leave the database locked."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            signal.raise_signal(signal.SIGINT)


def store_url(url: str | Path | None) -> str:
    """The URL of a URL or a file; without either SAMESCORE_STORE, or `.samescore/store.db`."""
    text = str(url or os.environ.get("SAMESCORE_STORE") or DEFAULT)
    if "://" in text:
        return text
    if _SCHEME.match(text):
        problem = "is no store: in a URL :// follows its scheme"
    elif "?" in text:
        problem = "cannot name a store: what follows '?' is lost in a URL"
    else:
        return f"sqlite:///{Path(text).absolute()}"
    raise StoreError(f"{_without_secrets(text)!r} {problem}")


def without_password(text: str) -> str:
    """Text whose URLs have their passwords starred out."""
    return re.sub(r"(/{2,}[^:/@\s]*):[^/\s]*@", r"\1:***@", text)


def _without_secrets(text: str) -> str:
    """What is no URL, without all that may have been meant as a password."""
    hidden = re.sub(r":.*@", ":***@", text, flags=re.DOTALL)
    return re.sub(r"(//[^:/]*:).*", r"\1***", hidden, flags=re.DOTALL)


def _identity(database: str | None) -> tuple[int, int] | None:
    """Which file that is, whatever it is called; None for one in memory or that is not there."""
    try:
        found = Path(database or "").stat() if database not in (None, "", ":memory:") else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _with_driver(url: sa.URL) -> sa.URL:
    """PostgreSQL's URLs as other programs write them, with the driver that the store uses."""
    plain = url.drivername in ("postgresql", "postgres")
    return url.set(drivername="postgresql+psycopg") if plain else url


def _needed(error: ImportError) -> str:
    """What a driver that cannot be imported lacks, and the remedy."""
    if error.name is None:  # psycopg found no libpq
        return f"{' '.join(str(error).split())}: {_INSTALL}"
    return f"{error.name}: {_INSTALL if error.name == 'psycopg' else 'pip install it'}"


def _connectable(url: sa.URL, readonly: bool) -> sa.Engine:
    if url.get_driver_name() == "psycopg":
        from harness.store.postgresql import connectable

        return connectable(url, readonly=readonly)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url)
    arguments = {"timeout": _PATIENCE_S, "check_same_thread": False}
    if url.database in (None, "", ":memory:"):
        return sa.create_engine(url, poolclass=sa.pool.StaticPool, connect_args=arguments)
    file = Path(str(url.database))
    _prepare_file(file, readonly)
    if readonly and not os.access(file.parent, os.W_OK) and not Path(f"{file}-wal").exists():
        # SQLite writes beside a file even to read it, unless it is told that nobody writes.
        url = url.set(database=f"file:{quote(str(file))}", query={"immutable": "1", "uri": "true"})
        return sa.create_engine(url, connect_args=arguments)
    engine = sa.create_engine(url, connect_args=arguments)
    if not readonly:
        sa.event.listen(engine, "connect", _tune_sqlite)
    return engine


def _prepare_file(file: Path, readonly: bool) -> None:
    if readonly and not file.exists():
        raise StoreError(
            f"there is no store at {file}; `harness run` makes one, --store names another"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the folder of the store {file}: {error.strerror}") from error


def _tune_sqlite(connection: object, _: object) -> None:
    """WAL lets others read meanwhile; with it, NORMAL survives a killed process."""
    execute = connection.execute  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):  # a read-only file keeps the journal that it has
        new = execute("PRAGMA page_count").fetchone() == (0,)
        if new or execute("SELECT 1 FROM meta WHERE key = 'schema'").fetchone():
            execute("PRAGMA journal_mode=WAL")  # and another program's file the one that it has
    execute("PRAGMA synchronous=NORMAL")
    execute("PRAGMA cache_size=-65536")  # KiB: keys are digests, so every insert is anywhere
    execute("PRAGMA wal_autocheckpoint=8000")  # pages: 32 MB between two waits for the disk


def _insert_for(url: sa.URL) -> Callable[[sa.Table], Insert]:
    from sqlalchemy.dialects import postgresql, sqlite

    dialects = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    name = url.get_backend_name()
    if name not in dialects:
        raise StoreError(f"{name!r} cannot be used as a store; SQLite files and PostgreSQL can")
    return dialects[name]  # type: ignore[return-value]
