"""Migrations: they make the tables that the code knows, and an upgrade is asked for and safe."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from harness import Sample, StoreError, evaluate
from harness.cli import main
from harness.store import Store, migrations
from harness.store.database import Database
from harness.store.schema import SCHEMA_VERSION, metadata
from harness.store.store import schema_version
from harness.testing.postgresql import PostgresServer

SAMPLES = [Sample("a", "a", ("a",), {"completion": "a"})]
NEXT = str(int(SCHEMA_VERSION) + 1)
REVISION = textwrap.dedent(f"""
    import sqlalchemy as sa
    from alembic import op

    revision, down_revision = "{NEXT}", "{SCHEMA_VERSION}"

    def upgrade():
        op.add_column("runs", sa.Column("colour", sa.Text))
        op.get_bind().execute(sa.text("UPDATE runs SET colour = 'red'"))
        {{then}}
""")


def run(url: str) -> None:
    evaluate(SAMPLES, generator="recorded", scorers=["match"], store=url)


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The revisions, and one more after the current one."""
    folder = tmp_path / "100% migrations"
    shutil.copytree(migrations.SCRIPTS, folder)
    (folder / "versions" / f"{int(NEXT):04}_next.py").write_text(REVISION.format(then="pass"))
    monkeypatch.setattr(migrations, "SCRIPTS", folder)
    monkeypatch.setattr(migrations.upgraded, "__kwdefaults__", {"scripts": folder})
    return folder


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch, scripts: Path) -> None:
    """As if this were the release whose schema is the next one."""
    for module in ("harness.store.store", "harness.store.migrations", "harness.store.schema"):
        monkeypatch.setattr(f"{module}.SCHEMA_VERSION", NEXT)


def test_the_revisions_make_the_tables_that_the_code_knows(store_url: str) -> None:
    database = Database(store_url)
    with database.writing() as connection:
        migrations.made(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_and_no_other_in_sqlite_to_the_letter(tmp_path: Path) -> None:
    """Alembic compares neither primary keys nor `WITHOUT ROWID`."""

    def tables(name: str) -> set[str]:
        database = Database(tmp_path / name)
        with database.writing() as connection:
            (migrations.made if name == "made" else metadata.create_all)(connection)
            query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
            every = connection.exec_driver_sql(query).scalars().all()
        database.close()
        return {re.sub(r"\s+", "", sql) for sql in every if "alembic_version" not in sql}

    assert tables("made") == tables("created")


def test_the_last_revision_is_the_current_schema() -> None:
    files = sorted((migrations.SCRIPTS / "versions").glob("*.py"))
    assert int(files[-1].name[:4]) == int(SCHEMA_VERSION)


@pytest.mark.usefixtures("next_version")
def test_an_older_store_is_refused_until_it_is_upgraded(
    store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as before:
        for module in ("harness.store.store", "harness.store.schema"):
            before.setattr(f"{module}.SCHEMA_VERSION", SCHEMA_VERSION)
        run(store_url)
    with pytest.raises(StoreError, match=f"schema {SCHEMA_VERSION}.*harness store upgrade"):
        Store(store_url)
    assert main(["store", "upgrade", "--store", store_url]) == 0
    told = capsys.readouterr().out
    with Store(store_url, readonly=True) as store:
        assert [r.status for r in store.runs()] == ["finished"]
        with store.database.reading() as connection:
            colours = connection.execute(sa.text("SELECT colour FROM runs")).scalars().all()
    assert colours == ["red"]
    assert f"from schema {SCHEMA_VERSION} to {NEXT}" in told
    copy = Path(f"{sa.make_url(store_url).database}.schema-{SCHEMA_VERSION}")
    assert (str(copy) in told) == copy.exists() == store_url.startswith("sqlite")
    if copy.exists():
        database = Database(copy, readonly=True)
        assert schema_version(database) == SCHEMA_VERSION
        database.close()
    assert main(["store", "upgrade", "--store", store_url]) == 0
    assert "is the current one" in capsys.readouterr().out


def test_an_upgrade_that_fails_changes_nothing(store_url: str, scripts: Path) -> None:
    Store(store_url).close()
    last = scripts / "versions" / f"{int(NEXT):04}_next.py"
    last.write_text(REVISION.format(then="op.drop_table('no_such_table')"))
    database = Database(store_url)
    with pytest.raises(StoreError, match="no_such_table"):
        migrations.upgraded(database, SCHEMA_VERSION, scripts=scripts)
    database.close()
    run(store_url)  # it still is what it was
    with Store(store_url, readonly=True) as store, store.database.reading() as connection:
        assert "colour" not in {c["name"] for c in sa.inspect(connection).get_columns("runs")}


def test_an_upgrade_that_another_process_made_is_not_made_again(
    postgres: PostgresServer, scripts: Path
) -> None:
    database = Database(postgres.new_database())
    Store(database.url).close()
    migrations.upgraded(database, SCHEMA_VERSION, scripts=scripts)
    with pytest.raises(StoreError, match="another process"):
        migrations.upgraded(database, SCHEMA_VERSION, scripts=scripts)
    database.close()


@pytest.mark.parametrize(
    ("version", "told"),
    [("2", "choose another with --store"), ("99", "a newer samescore wrote it")],
)
def test_a_schema_without_a_path_is_refused(version: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    with Store(file) as store, store.database.writing() as connection:
        connection.execute(sa.text(f"UPDATE meta SET value = '{version}'"))
    for refused in (lambda: Store(file), lambda: main_upgrade(file)):
        with pytest.raises(StoreError, match=told):
            refused()
    assert [f.name for f in tmp_path.glob("s.db.schema*")] == []


def main_upgrade(file: Path) -> None:
    from harness.cli import parser

    options = parser().parse_args(["store", "upgrade", "--store", str(file)])
    options.command(options)


def test_a_store_that_is_not_there_is_not_made_by_an_upgrade(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "upgrade", "--store", str(tmp_path / "no.db")]) == 2
    assert "there is no store at" in capsys.readouterr().err
    assert not (tmp_path / "no.db").exists()
