"""SIGKILL at any point: what keeps indexes and stores

A process that writes is killed at a random instant and goes on, or is started again: what was
acknowledged is there, and what was not is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import threading
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from harness import Sample, evaluate
from harness.calls.values import Reply
from harness.components import Call, Usage
from harness.store import Store, migrations
from harness.store.calls import CallRecord
from harness.store.database import Database
from harness.store.schema import SCHEMA_VERSION, runs
from harness.store.store import schema_version
from harness.vectors import VectorIndex, VectorSettings
from tests.harness.store.test_migrations import NEXT, REVISION
from tests.plugins import test_vertex_emulator_process as vertex
from tests.trust.lives import COMMAND, Lives
from tests.trust.trial import Trial

WRITE = """
import sys
from harness.components import Datapoint
from harness.vectors import VectorIndex, VectorSettings
with VectorIndex(VectorSettings(3), folder=sys.argv[1]) as index:
    chance = __import__("random").Random(sys.argv[2])
    number = len(index.ids())
    for _ in range(400):
        index.upsert([Datapoint(f"{number + n}", (number + n, 1, 2)) for n in range(3)])
        number += 3
        print(number, flush=True)
        if chance.random() < 0.02:
            index.compact()
"""


def test_local_index(trial: Trial, here: Path) -> None:
    """A write is there whole once it returned, and whole or not at all before."""
    trial("upserts of three and compactions of a local index, killed at a random instant")
    folder, turn = here / "index", 0
    with Lives(here, imports="import numpy, harness.vectors") as lives:
        usual = lives.usual(WRITE, here / "alone", 0)
        for chance in trial.rounds(4):
            life = lives.live(WRITE, folder, turn, seconds=chance.uniform(0.02, usual))
            assert life.code in (0, -9), life.err
            written = [int(line) for line in life.out.splitlines(keepends=True) if "\n" in line]
            with VectorIndex(VectorSettings(3), folder=folder) as index:
                own = index.ids()
                vectors = [found.vector for found in index.read(own)]
            trial.kept("datapoints", [str(n) for n in range(max(written, default=0))], own)
            assert sorted(own, key=int) == [str(number) for number in range(len(own))]
            assert len(own) % 3 == 0, "a write is there whole or not at all"
            assert vectors == [(float(name), 1.0, 2.0) for name in own]
            turn += 1
            if len(own) > 5000:
                VectorIndex.delete(folder)


INDEX = "local:path=index"


def test_harness_index(trial: Trial, here: Path) -> None:
    """`load` may stop in the middle and is done again; `remove` removes all or nothing."""
    trial("`harness index load` and `harness index remove`, killed at a random instant")
    rows = (json.dumps({"id": str(n), "embedding": [n, 1, 2]}) for n in range(6000))
    (here / "points.jsonl").write_text("\n".join(rows))
    names = [str(n) for n in range(6000)]
    load = ("index", "load", INDEX, "points.jsonl", "--create")
    remove = ("index", "remove", INDEX, *names[:3000])
    imports = "import harness.cli.index.loading, harness.data.tables, pandas, harness.vectors"
    with Lives(here, imports=imports) as lives:
        loading, removing = lives.usual(COMMAND, *load), lives.usual(COMMAND, *remove)
        for chance in trial.rounds(tries=2):
            VectorIndex.delete(here / "index")
            life = lives.live(COMMAND, *load, seconds=chance.uniform(0, loading))
            assert life.code in (0, -9), life.err
            lives.usual(COMMAND, *load)
            trial.kept("datapoints", names, _ids(here / "index"))
            life = lives.live(COMMAND, *remove, seconds=chance.uniform(0, removing))
            left = _ids(here / "index")
            assert left in (names, names[3000:]), "all or nothing"
            assert life.code == -9 or left == names[3000:]
            trial.kept("datapoints", names[3000:], left)


def _ids(folder: Path) -> list[str]:
    with VectorIndex(folder=folder, readonly=True) as index:
        return index.ids()


def test_vertex_emulator(trial: Trial, tmp_path: Path) -> None:
    """Killed while it is written to, and started again in the same folder."""
    trial("the emulator of Vertex AI Vector Search, killed while it is written to")
    kept, asked_for, index, endpoint = dict[str, float](), dict[str, float](), "", ""
    for chance in trial.rounds():
        with vertex.process("--data-dir", str(tmp_path)) as emulator:
            if not index:
                index = vertex.create(emulator, "written")
                endpoint, _ = vertex.deploy(emulator, index, public_endpoint_enabled=True)
            killing = threading.Timer(chance.uniform(0.01, 0.4), emulator.popen.kill)
            killing.start()
            with contextlib.suppress(grpc.RpcError):
                while True:
                    value = chance.random() // 2**-20
                    asked_for = {str(chance.randrange(500)): value for _ in range(20)}
                    vertex.upsert(emulator, index, asked_for)
                    kept |= asked_for
            killing.join()
        with vertex.process("--data-dir", str(tmp_path)) as emulator:
            found = vertex.read(emulator, endpoint, list(kept | asked_for))
        trial.kept("acknowledged upserts", kept.keys(), found)
        assert found in (kept, kept | asked_for), "whole or not at all"
        kept = found


def test_store_copy(trial: Trial, here: Path, store_with_runs: Path) -> None:
    """Made again, the copy has everything once."""
    trial("`harness store copy`, killed at a random instant and made again")
    copy = ("store", "copy", store_with_runs)
    with Lives(here, imports=f"{STORE_IMPORTS}, harness.store.copying") as lives:
        usual = lives.usual(COMMAND, *copy, here / "alone.db")
        whole = _everything(here / "alone.db")
        assert whole == _everything(store_with_runs)
        for number, chance in enumerate(trial.rounds()):
            target = here / f"{number}.db"
            for _ in range(3):
                lives.live(COMMAND, *copy, target, seconds=chance.uniform(0, usual))
            lives.usual(COMMAND, *copy, target)
            trial.kept("rows of all tables", whole, _everything(target))
            assert len(_everything(target)) == len(whole), "nothing is there twice"


UPGRADE = """
import sys
from pathlib import Path
from harness.cli import main
from harness.store import migrations, schema, store
for module in (migrations, schema, store):
    module.SCHEMA_VERSION = sys.argv[1]
migrations.upgraded.__kwdefaults__ = {"scripts": Path(sys.argv[2])}
sys.exit(main(["store", "upgrade", "--store", "s.db"]))
"""


def test_store_upgrade(trial: Trial, here: Path, store_with_runs: Path) -> None:
    """It is the old one or the new one, and beside the new one is a copy of the old one."""
    trial("`harness store upgrade` to a schema to come, killed at a random instant and made again")
    scripts, index = here / "migrations", 'op.create_index("i", "scores", ["value"])'
    shutil.copytree(migrations.SCRIPTS, scripts)
    (scripts / "versions" / f"{int(NEXT):04}_next.py").write_text(REVISION.format(then=index))
    file, old = here / "s.db", here / f"s.db.schema-{SCHEMA_VERSION}"
    before = _everything(store_with_runs)
    imports = f"{STORE_IMPORTS}, harness.store.migrations, alembic.command"
    with Lives(here, imports=imports) as lives:
        shutil.copy(store_with_runs, file)
        usual = lives.usual(UPGRADE, NEXT, scripts)
        for chance in trial.rounds():
            for left in here.glob("s.db*"):
                left.unlink()
            shutil.copy(store_with_runs, file)
            lives.live(UPGRADE, NEXT, scripts, seconds=chance.uniform(0, usual))
            trial.kept("rows of all tables", before, _everything(file))
            with contextlib.closing(Database(file)) as database:
                assert schema_version(database) == SCHEMA_VERSION or old.exists()
            lives.usual(UPGRADE, NEXT, scripts)
            trial.kept("rows of all tables", before, _everything(file))
            trial.kept("rows of all tables", before, _everything(old))


def test_gc(trial: Trial, here: Path, store_with_runs: Path) -> None:
    """What runs refer to stays, whenever it is killed."""
    trial("`harness gc`, which removes an old run, killed at a random instant")
    with Store(store_with_runs) as store:
        (old, kept) = store.runs()
        with store.database.writing() as connection:
            change = sa.update(runs).where(runs.c.id == old.id)
            connection.execute(change.values(opened=1.0, started=1.0, finished=2.0))
    before = store_with_runs.read_bytes()
    clean = ("gc", "--older-than", "30", "--yes", "--store", store_with_runs)
    with Lives(here, imports=f"{STORE_IMPORTS}, harness.store.cleaning") as lives:
        usual = lives.usual(COMMAND, *clean)
        with Store(store_with_runs, readonly=True) as store:
            wanted = list(map(repr, store.rows(kept)))
        for chance in trial.rounds():
            for file in here.parent.glob(f"{store_with_runs.name}*"):
                file.unlink()
            store_with_runs.write_bytes(before)
            lives.live(COMMAND, *clean, seconds=chance.uniform(0, usual))
            with Store(store_with_runs, readonly=True) as store:
                found = [run.id for run in store.runs()]
                trial.kept("rows of a run", wanted, list(map(repr, store.rows(kept))))
            assert found in ([old.id, kept.id], [kept.id]), "all or nothing"
            lives.usual(COMMAND, *clean)


def test_export(trial: Trial, here: Path, store_with_runs: Path) -> None:
    """Nobody ever reads half a file under its name."""
    trial("`harness export` over a file that is there, killed at a random instant")
    names = ("table.csv", "table.jsonl", "table.parquet")
    with Lives(here, imports=f"{STORE_IMPORTS}, harness.data.writing, pyarrow.feather") as lives:
        for chance in trial.rounds(0.4, tries=len(names)):
            for name in names:
                export = ("export", "last", "--store", store_with_runs, "-o", name)
                usual = lives.usual(COMMAND, *export)
                new = (here / name).read_bytes()
                (here / name).write_bytes(b"as it was")
                lives.live(COMMAND, *export, seconds=chance.uniform(0, usual))
                assert (here / name).read_bytes() in (new, b"as it was")
                trial.saw("files, old or new and whole")


STORE_IMPORTS = "import harness.store, harness.engine, pandas, sqlalchemy.dialects.sqlite"


@pytest.fixture
def store_with_runs(tmp_path: Path) -> Path:
    """A store with two runs and some calls, all of it in one file."""
    file = tmp_path / "runs.db"
    for start in (0, 1500):
        rows = [Sample(f"s{i}", f"p{i}", ("x",), {"completion": "x"}) for i in range(start, 3000)]
        evaluate(rows, generator="recorded", scorers=["match"], store=file, name=str(start))
    with Store(file) as store:
        reply = Reply("text", "stop", Usage(1, 2, 0.5), "model", "id", ())
        store.calls.add([CallRecord(f"{n}", "openai", "stop", reply, Call()) for n in range(500)])
    return file


def _everything(file: Path) -> list[str]:
    """Every row of every table, less the numbers that a store gives itself."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        tables = [name for (name,) in connection.execute(query).fetchall()]
        connection.row_factory = sqlite3.Row
        rows = [(t, dict(row)) for t in tables for row in connection.execute(f"SELECT * FROM {t}")]
    return [f"{t} {[v for k, v in row.items() if (t, k) not in _OWN]}" for t, row in rows]


_OWN = {("calls", "id"), ("runs", "opened"), ("runs", "process")}
_OWN |= {("meta", "value"), ("runs", "colour")}  # an upgrade changes one, and adds the other
