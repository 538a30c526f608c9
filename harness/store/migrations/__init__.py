"""The steps from one schema of the store to the next, by Alembic, which only an upgrade imports.

A revision is a file `versions/NNNN_what.py` whose id is the schema's version; whoever changes a
table adds one, and `SCHEMA_VERSION` is the last.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from harness.errors import StoreError
from harness.store.database import Database
from harness.store.schema import FIRST_RELEASED, SCHEMA_VERSION, meta

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS = Path(__file__).parent


def has_path(version: str | None) -> bool:
    """Whether an upgrade leads from this schema to the current one."""
    return (
        version is not None
        and version.isdigit()
        and int(FIRST_RELEASED) <= int(version) < int(SCHEMA_VERSION)
    )


def upgraded(database: Database, version: str, *, scripts: Path = SCRIPTS) -> None:
    """Bring a store of schema `version` to the last one there is a revision of, in one transaction.

    Raises:
        StoreError: if it cannot be written, or another process has upgraded it meanwhile.
    """
    try:
        from alembic import command
        from alembic.script import ScriptDirectory
    except ImportError as error:
        raise StoreError(f"an upgrade needs {error.name}: pip install samescore") from error
    with database.writing() as connection:
        database.alone(connection)
        if _version(connection) != version:
            raise StoreError(f"{database.shown} was upgraded by another process meanwhile")
        config = _config(connection, scripts)
        command.stamp(config, version)
        command.upgrade(config, "head")
        head = ScriptDirectory.from_config(config).get_current_head()
        connection.execute(sa.update(meta).where(meta.c.key == "schema").values(value=head))


def made(connection: sa.Connection, *, scripts: Path = SCRIPTS) -> None:
    """Make every table by the revisions alone, from the first on."""
    from alembic import command

    command.upgrade(_config(connection, scripts), "head")


def backup(database: Database, version: str) -> Path | None:
    """Copy a store that is a SQLite file beside itself; None where it is no file.

    Raises:
        StoreError: if the copy cannot be written.
    """
    url = sa.make_url(database.url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    file = Path(str(url.database))
    copy = file.with_name(f"{file.name}.schema-{version}")
    try:
        with closing(sqlite3.connect(file)) as old, closing(sqlite3.connect(copy)) as new:
            old.backup(new)
    except sqlite3.Error as error:
        raise StoreError(f"cannot copy {file} to {copy}: {error}") from error
    return copy


def _config(connection: sa.Connection, scripts: Path) -> Config:
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def _version(connection: sa.Connection) -> str | None:
    return connection.execute(sa.select(meta.c.value).where(meta.c.key == "schema")).scalar()
