"""A store that others hold, or that is no store any more

Commands and runs meet a store that cannot be used: they end with one line and exit code 2, change
nothing, and go on once it can be used.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import Sample, evaluate
from harness.store import Store
from harness.store.schema import ScoredRow
from tests.trust.lives import COMMAND, Life, Lives
from tests.trust.trial import Trial

SHORT_OF_PATIENCE = "import harness.store.database as d; d._PATIENCE_S = 0.5\n" + COMMAND
SCORE = ("score", "answers.csv", "--scorer", "match", "--completion", "a", "--reference", "r")
READING = (
    ("runs",),
    ("show", "last"),
    ("export", "last", "-o", "out.csv"),
    ("report", "last", "-o", "r.html"),
)
WRITING: tuple[tuple[str, ...], ...] = (SCORE, ("gc",))
CAPABILITIES = """
import ctypes
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root may write what it likes
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "harness", *sys.argv[1:]])
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a table, and a store with a finished run."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "answers.csv").write_text("a,r\n" + "".join(f"{i},{i}\n" for i in range(600)))
    rows = [Sample(f"s{i}", f"p{i}", ("x",), {"completion": "x"}) for i in range(600)]
    evaluate(rows, generator="recorded", scorers=["match"], store=folder / "s.db", name="rows")
    return folder


@pytest.fixture
def lives(here: Path) -> Iterator[Lives]:
    with Lives(here, imports="import harness.engine, pandas, sqlalchemy.dialects.sqlite") as some:
        yield some


def refused(life: Life, *told: str) -> None:
    """It said in one line that it could not."""
    assert life.code == 2, life.err + life.out
    (line,) = life.err.splitlines()
    assert line.startswith("harness: error: ")
    assert any(text in line for text in told), line


@contextlib.contextmanager
def writing(file: Path) -> Iterator[None]:
    """A transaction that is open for long, of another process: this one."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE meta SET value = value")
        yield
        connection.execute("ROLLBACK")


def rows_of(file: Path) -> list[list[ScoredRow]]:
    with Store(file, readonly=True) as store:
        return [list(store.rows(run)) for run in store.runs()]


def test_locked_for_long(trial: Trial, here: Path, lives: Lives) -> None:
    """It says who writes, and what can be read without writing is read."""
    trial("a store in which another process writes for longer than a command waits")
    before = rows_of(here / "s.db")
    for _ in trial.rounds(0.2, tries=len(READING) + len(WRITING)):
        with writing(here / "s.db"):
            for command in WRITING:
                life = lives.live(SHORT_OF_PATIENCE, *command, "--store", "s.db")
                refused(life, "has been writing to it for 0.5 s")
                assert f"process {os.getpid()} (" in life.err
            for command in READING:
                assert lives.live(SHORT_OF_PATIENCE, *command, "--store", "s.db").code == 0
        trial.kept("runs", list(map(repr, before)), list(map(repr, rows_of(here / "s.db"))))


def test_locked_for_a_while(trial: Trial, here: Path, lives: Lives) -> None:
    """A command waits for its turn."""
    trial("a store in which another process writes for a random while")
    for chance in trial.rounds(0.4):
        with ThreadPoolExecutor() as thread, writing(here / "s.db"):
            waiting = thread.submit(lives.live, COMMAND, *SCORE, "--store", "s.db")
            threading.Event().wait(chance.uniform(0, 1.5))
        assert waiting.result().code == 0, waiting.result().err
        trial.saw("scores", sum(len(rows) for rows in rows_of(here / "s.db")[1:]))


DAMAGED: dict[str, Callable[[Path], object]] = {
    "no bytes": lambda file: file.write_bytes(b""),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "text": lambda file: file.write_text("These are notes, and no database.\n" * 900),
    "another program's": lambda file: other_program(file),
    "a newer schema": lambda file: newer(file),
    "no schema": lambda file: schemaless(file),
    "a name that is no text": lambda file: misnamed(file),
}


def newer(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE meta SET value = '999'")
        connection.commit()


def schemaless(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM meta")
        connection.commit()


def misnamed(file: Path) -> None:
    """What SQLite says of it is no UTF-8 either."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA writable_schema = on")
        change = "UPDATE sqlite_master SET sql = 'x', name = CAST(x'e56e' AS TEXT) WHERE name = ?"
        connection.execute(change, ("meta",))
        connection.commit()


def other_program(file: Path) -> None:
    file.unlink()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        connection.execute("CREATE TABLE mails (subject TEXT)")
        connection.commit()


def test_no_store_any_more(trial: Trial, here: Path, lives: Lives) -> None:
    """What is not ours is not written to, either."""
    trial("in place of the store: nothing, zeros, text, another program's, a newer samescore's …")
    file = here / "s.db"
    whole = file.read_bytes()
    for how in trial.some(list(DAMAGED), few=1):
        file.write_bytes(whole)
        DAMAGED[how](file)
        before = file.read_bytes()
        for command in READING if how == "no bytes" else READING + WRITING:
            life = lives.live(COMMAND, *command, "--store", "s.db")
            refused(life, "s.db")
            assert file.read_bytes() == before
            assert not (here / "out.csv").exists()
            trial.saw("refusals in one line")


def test_damaged_bytes(trial: Trial, here: Path, lives: Lives) -> None:
    """A damaged page may be read as rows that are not wrong in themselves, or is refused."""
    trial("a store with random bytes in a random place, or cut off at one")
    file = here / "s.db"
    whole, told = file.read_bytes(), ("malformed", "not a database", "schema", "cannot", "damaged")
    for chance in trial.rounds(6):
        if chance.random() < 0.5:
            file.write_bytes(whole[: chance.randrange(1, len(whole))])
        else:
            at = chance.randrange(len(whole) - 600)
            file.write_bytes(whole[:at] + chance.randbytes(600) + whole[at + 600 :])
        command = chance.choice(READING + WRITING)
        life = lives.live(COMMAND, *command, "--store", "s.db")
        if life.code:
            refused(life, *told)
            trial.saw("refusals in one line")
        for left in here.glob("s.db-*"):
            left.unlink()
    file.write_bytes(whole)


REPLACE = """
import os, shutil, sys
from pathlib import Path
from harness import Completion, Sample, evaluate

how, at, file = sys.argv[1], int(sys.argv[2]), Path("s.db")

class Replacing:
    batch_size = 10

    def generate(self, samples, *, attempt=0):
        if any(s.id == str(at) for s in samples):
            if how == "removed":
                file.rename("moved.db")
            else:
                shutil.copy("other.db", "copy.db")
                os.replace("copy.db", file)
        return [Completion(s, "x") for s in samples]

evaluate([Sample(str(i), f"question {i}", ("x",)) for i in range(400)],
         generator=Replacing(), scorers=["match"], store=file)
"""


def test_replaced_under_a_run(trial: Trial, here: Path, lives: Lives) -> None:
    """The run ends when it next writes: no answer is paid for that cannot be kept."""
    trial("a store that is moved away or replaced by another while a run writes to it")
    (here / "other.db").write_bytes((here / "s.db").read_bytes())
    for chance in trial.rounds():
        for file in here.glob("s.db*"):
            file.unlink()
        (here / "s.db").write_bytes((here / "other.db").read_bytes())
        how = chance.choice(("removed", "replaced"))
        life = lives.live(REPLACE, how, chance.randrange(1, 400))
        assert life.code == 1, life.out
        assert life.err.splitlines()[-1].startswith("harness.errors.StoreError: "), life.err
        if how == "replaced":
            assert (here / "s.db").read_bytes() == (here / "other.db").read_bytes()
        trial.saw("runs that ended there")


def test_read_only(trial: Trial, here: Path, lives: Lives) -> None:
    """Reading needs no right to write, and what would write says that it may not."""
    trial("a store whose file, or whose folder, may not be written")
    if not hasattr(ctypes.CDLL(None), "prctl"):
        pytest.skip("root's rights cannot be dropped here")
    file = here / "shared" / "s.db"
    file.parent.mkdir()
    (here / "s.db").rename(file)
    modes = [(0o444, 0o755), (0o444, 0o555), (0o644, 0o555)]
    for mode_of_file, mode_of_folder in trial.some(modes, few=1):
        file.chmod(mode_of_file)
        file.parent.chmod(mode_of_folder)
        before = file.read_bytes()
        for command in WRITING:
            life = lives.live(CAPABILITIES, *command, "--store", str(file))
            refused(life, "readonly", "cannot write", "unable to open")
        for command in trial.few(READING):
            life = lives.live(CAPABILITIES, *command, "--store", str(file))
            assert life.code == 0, life.err
        file.parent.chmod(0o755)
        assert file.read_bytes() == before
        trial.saw("commands", len(WRITING) + len(trial.few(READING)))
