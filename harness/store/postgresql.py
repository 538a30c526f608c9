"""PostgreSQL by psycopg 3: the connection's settings, and text that the server would refuse.

Imported only for a store whose URL names PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import psycopg
import sqlalchemy as sa
from psycopg.types.string import StrDumperUnknown, TextLoader

_CONNECT = {"client_encoding": "utf8", "application_name": "samescore", "connect_timeout": "10"}

# PostgreSQL takes no NUL. It is written as an escape, the character that marks one is escaped too.
_MARK = "\x1a"
_NUL, _MARKED = f"{_MARK}0", f"{_MARK}1"

_LOCK = 0x5A3E5C07  # any number that other programs are unlikely to take


def connectable(url: sa.URL, *, readonly: bool) -> sa.Engine:
    """An engine whose connections write and read every text that Python can encode."""
    arguments = {name: value for name, value in _CONNECT.items() if name not in url.query}
    options = {"postgresql_readonly": True} if readonly else {}
    engine = sa.create_engine(
        url, connect_args=arguments, pool_pre_ping=True, execution_options=options
    )
    sa.event.listen(engine, "connect", _adapt)
    return engine


def alone(connection: sa.Connection) -> None:
    """Until its transaction ends, no other that calls this goes on."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def insert_many(
    connection: sa.Connection, statement: sa.Insert, rows: Sequence[Mapping[str, object]]
) -> int:
    """Insert rows of text and numbers in one statement; gives how many changed.

    A column travels as one array: a statement a row would keep the server busy four times as long.
    """
    names = list(rows[0])
    columns = statement.table.columns
    keys = [column.name for column in columns if column.primary_key and column.name in rows[0]]
    # Two transactions that lock the same rows in one order wait, and do not deadlock.
    rows = sorted(rows, key=lambda row: [row[key] for key in keys])
    arrays = [
        sa.cast(sa.bindparam(name, type_=sa.Text), sa.ARRAY(columns[name].type)) for name in names
    ]
    source = sa.func.unnest(*arrays).table_valued(*names).render_derived()
    insert = statement.from_select(names, sa.select(*source.columns))
    values = {name: _array(row[name] for row in rows) for name in names}
    counted = insert.execution_options(preserve_rowcount=True)
    return connection.execute(counted, values).rowcount


def _array(values: Iterable[object]) -> str:
    return f"{{{','.join(map(_item, values))}}}"


def _item(value: object) -> str:
    """A value as PostgreSQL reads it in an array's text."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return "NULL" if value is None else str(value)


class _Dumper(StrDumperUnknown):
    def dump(self, obj: str) -> bytes:
        if "\0" in obj or _MARK in obj:
            obj = obj.replace(_MARK, _MARKED).replace("\0", _NUL)
        return obj.encode()


class _Loader(TextLoader):
    def load(self, data: bytes | bytearray | memoryview) -> str:
        text = bytes(data).decode()
        if _MARK in text:
            text = text.replace(_NUL, "\0").replace(_MARKED, _MARK)
        return text


def _adapt(connection: psycopg.Connection[object], _: object) -> None:
    connection.adapters.register_dumper(str, _Dumper)
    for name in ("text", "varchar"):
        connection.adapters.register_loader(name, _Loader)
    # Every query is by key. Without statistics, which a young table lacks, the planner would read
    # a whole table for each row of a run.
    connection.execute("SET enable_seqscan = off")
    connection.commit()
