"""The store: what goes in comes out, and a store that cannot be used says so in one line."""

from __future__ import annotations

import ctypes
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness import Completion, Credit, Sample, Score, StoreError, Unscored, Usage, evaluate
from harness.errors import HarnessError
from harness.store import Store
from harness.store.database import Database
from harness.store.schema import SCHEMA_VERSION, completions, meta, samples, scores

SAMPLES = [Sample(f"s{i}", f"prompt {i}", metadata={"completion": f"p{i}"}) for i in range(5)]


def recorded(store: Path | str, samples: Sequence[Sample] = SAMPLES) -> list[float | None]:
    found = evaluate(samples, generator="recorded", scorers=["match:mode=contains"], store=store)
    return [value.value for value in found.values("match")]


REFERENCED = [Sample(s.id, s.prompt, (s.prompt[-1],), s.metadata) for s in SAMPLES]


class Rich:
    """A generator and scorer that use every field of a completion and a score."""

    name = "rich"

    def identity(self) -> dict[str, str]:
        return {}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        text = "naïve 🦜\u0000\n\ttext"
        found = {"passages": [{"id": "é", "similarity": 0.1 + 0.2, "used": True}], "none": None}
        how = Usage(1, 2, 0.5), 0.25, attempt, "", found
        return [Completion(s, text, "length", *how) for s in samples]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        credit = (Credit(0, 5, 0.5), Credit(5, 6, -0.5))
        return [
            Score(0.1 + 0.2, {"größe": 1e-300}, "why\nso", None, Usage(3, 4), credit),
            Score.missing(Unscored.TRUNCATED, "too long"),
        ][: len(completions)]


def test_completions_and_scores_come_back_as_they_were(store_url: str) -> None:
    metadata: dict[str, object] = {"n": 1, "x": None, "list": ["a", {"b": True}]}
    asked = [Sample("é", "p", ("r1", "r,2"), metadata), Sample("b", "")]
    rich = Rich()
    found = evaluate(asked, generator=rich, scorers=[rich], max_unscored=0.5, store=store_url)
    rows = list(found.rows())
    assert [row.completion for row in rows] == Rich().generate(asked)
    assert [row.scores["rich"] for row in rows] == Rich().score(Rich().generate(asked))


def test_a_run_is_found_by_the_start_of_its_id_or_as_the_last(own_store: Path) -> None:
    first = evaluate(REFERENCED, generator="recorded", scorers=["match"]).run.id
    second = evaluate(REFERENCED[:3], generator="recorded", scorers=["match"]).run.id
    with Store(own_store, readonly=True) as store:
        assert [r.id for r in store.runs()] == [first, second]
        assert store.run(first[:8]).id == first
        assert store.run("last").id == second
        with pytest.raises(HarnessError, match="2 runs start with ''; write more of the id"):
            store.run("")
        with pytest.raises(HarnessError, match=rf"no run 'xyz' in .*store.db; .*{second}"):
            store.run("xyz")
    evaluate(REFERENCED, generator="recorded", scorers=["match"])
    with Store(own_store, readonly=True) as store:
        assert store.run("last").id == first, "the last is the one that ran last"
        assert len(store.runs()) == 2


def test_more_rows_than_fit_in_one_query(store_url: str) -> None:
    many = [Sample(f"s{i:04}", str(i), (str(i % 7),), {"completion": str(i)}) for i in range(1203)]
    expected = [float(str(i % 7) in str(i)) for i in range(1203)]
    for store in ("sqlite://", store_url):
        assert recorded(store, many) == expected
        found = evaluate(many, generator="recorded", scorers=["match"], store=store)
        assert [row.completion.text for row in found.rows()] == [str(i) for i in range(1203)]


def test_a_file_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert recorded(tmp_path / "a" / "b" / "store.db", REFERENCED) == [1.0] * 5


def not_sqlite(tmp_path: Path) -> str:
    (tmp_path / "notes.txt").write_text("These are notes, and no database.\n" * 40)
    return str(tmp_path / "notes.txt")


def old_schema(tmp_path: Path) -> str:
    """A store as it was before completions had details and there were measurements."""
    file = tmp_path / "old.db"
    Store(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE meta SET value = '2'")
        connection.execute("ALTER TABLE completions DROP COLUMN details")
        connection.execute("DROP TABLE measurements")
    connection.close()
    return str(file)


def cut_short(tmp_path: Path) -> str:
    file = tmp_path / "cut.db"
    recorded(file, REFERENCED)
    file.write_bytes(file.read_bytes()[:5000])
    return str(file)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (str, "unable to open database file"),
        (not_sqlite, "file is not a database"),
        (old_schema, f"has schema 2, and this samescore reads schema {SCHEMA_VERSION}"),
        (cut_short, "malformed"),
        (lambda tmp_path: f"{tmp_path}/a?b.db", "what follows '?' is lost"),
        (lambda tmp_path: f"{not_sqlite(tmp_path)}/x/store.db", "cannot make the folder"),
        (lambda _: "mysql://host/db", "'mysql' cannot be used as a store"),
        (lambda _: "nosuch://host/db", "'nosuch' cannot be used as a store"),
        (lambda _: "sqlite+nosuch:///x.db", "is no store: give a file or a database URL"),
        (lambda _: "postgresql://host:port/db", "is no store: give a file or a database URL"),
        (lambda _: "postgresql+nodriver://host/db", "is no store: give a file"),
        (lambda _: "postgresql:/me:pw@host/db", "'postgresql:***@host/db' is no store: in a URL"),
        (lambda _: "SQLite:x.db", "is no store: in a URL :// follows its scheme"),
        (lambda _: "https://example.org/store", "'https' cannot be used as a store"),
    ],
    ids=[
        "folder",
        "text",
        "schema",
        "cut",
        "question",
        "file",
        "mysql",
        "scheme",
        "driver",
        "port",
        "postgres",
        "slash",
        "slashes",
        "https",
    ],
)
def test_a_store_that_cannot_be_used_is_one_clear_line(
    place: Callable[[Path], str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError) as caught:
        recorded(place(tmp_path), REFERENCED)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_driver_that_is_not_installed_is_named() -> None:
    """Of the drivers that SQLAlchemy knows for PostgreSQL, this one is on no machine of ours."""
    with pytest.raises(StoreError, match="needs psycopg2cffi: pip install it"):
        Store("postgresql+psycopg2cffi://someone:secret@host/db")


@pytest.mark.parametrize("url", ["postgresql+psycopg2cffi://me:sec@ret@h/db", "x y://me:secret@h"])
def test_a_password_is_not_told(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store(url)
    assert "sec" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_store_to_read_must_be_there_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store at .*no.db; `harness run` makes one"):
        Store(tmp_path / "no.db", readonly=True)
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="has schema None"):
        Store(tmp_path / "empty.db", readonly=True)
    assert (tmp_path / "empty.db").stat().st_size == 0


SCORE = """
import sys
from harness.cli import main
sys.exit(main(["score", "answers.csv", "--scorer", "match", "--completion", "a", "--reference", "r",
               "--store", sys.argv[1]]))
"""


def score(
    folder: Path, store: str, limit: Callable[[], object] | None = None, script: str = SCORE
) -> subprocess.CompletedProcess[str]:
    """Run `harness score` in a process of its own, under what `limit` sets there."""
    rows = "".join(f"{i},{i}\n" for i in range(2000))
    (folder / "answers.csv").write_text(f"a,r\n{rows}")
    command = [sys.executable, "-c", script, store]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, preexec_fn=limit, check=False
    )


def without_root() -> None:
    """Root may write what it likes: from the next exec on, file modes hold for it as well."""
    if hasattr(ctypes.CDLL(None), "prctl"):
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


READ = """
import sys
from harness.cli import main
sys.exit(main(["runs", "--store", sys.argv[1]]))
"""


def test_a_store_that_may_not_be_written_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    recorded(folder / "s.db", REFERENCED)
    before = (folder / "s.db").read_bytes()
    (folder / "s.db").chmod(0o444)
    folder.chmod(0o555)
    try:
        done = score(tmp_path, str(folder / "s.db"), without_root)
        read = score(tmp_path, str(folder / "s.db"), without_root, READ)
        new = score(tmp_path, str(folder / "new.db"), without_root)
    finally:
        folder.chmod(0o755)
    assert (done.returncode, new.returncode) == (2, 2)
    for line in (done.stderr, new.stderr):
        assert line.startswith("harness: error: cannot ")
        assert line.count("\n") == 1
    assert "readonly" in done.stderr
    assert (read.returncode, read.stderr) == (0, "")
    assert "finished" in read.stdout
    assert (folder / "s.db").read_bytes() == before
    assert [f.name for f in folder.iterdir()] == ["s.db"]


def test_a_full_disk_is_one_clear_line_and_leaves_a_store_that_can_be_read(
    tmp_path: Path,
) -> None:
    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = score(tmp_path, "full.db", small_disk)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("harness: error: cannot write to the store ")
    assert done.stderr.count("\n") == 1
    with Store(tmp_path / "full.db") as store:
        (run,) = store.runs()
        rows = list(store.rows(run))
    assert 0 < len(rows) < 2000
    assert len(rows) % 256 == 0, "whole batches or nothing of them"
    again = score(tmp_path, "full.db")
    assert again.returncode == 0, again.stderr
    assert "2000" in again.stdout


WRITER = textwrap.dedent("""
    import sys
    from harness import Sample, evaluate
    sys.stdin.readline()
    mine = [Sample(f"{sys.argv[2]}{i}", f"{sys.argv[2]}{i}", ("x",), {"completion": "x"})
            for i in range(400)]
    both = [Sample(f"both{i}", f"both{i}", ("x",), {"completion": "x"}) for i in range(400)]
    for k in range(4):
        part = mine[k * 100 : k * 100 + 100] + both[k * 100 : k * 100 + 100]
        result = evaluate(part, generator="recorded", scorers=["match"], store=sys.argv[1])
        assert result["match"].n == 200
    print("done")
""")


def test_processes_make_and_write_one_store_at_the_same_time(store_url: str) -> None:
    command = [sys.executable, "-c", "import harness.engine;" + WRITER, store_url]
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        out, errors = writer.communicate()
        assert (out, errors) == ("done\n", "")
    with Store(store_url, readonly=True) as opened:
        assert len(opened.runs()) == 12
        assert {run.status for run in opened.runs()} == {"finished"}
        assert {len(list(opened.rows(run))) for run in opened.runs()} == {200}
        with opened.database.reading() as connection:
            for table in (samples, completions, scores):  # 400 of each of three, and 400 of all
                assert (
                    connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
                    == 1600
                )


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_threads_make_one_store_at_the_same_time(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """The race for the first table, again and again: it is microseconds wide."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    with ThreadPoolExecutor(4) as threads:
        for attempt in range(10):
            together, url = Barrier(4), str(tmp_path / f"{attempt}.db")
            if kind == "postgresql":
                url = request.getfixturevalue("postgres").new_database()

            def make(_: int, together: Barrier = together, url: str = url) -> int:
                together.wait()
                with Store(url) as store:
                    return len(store.runs())

            assert list(threads.map(make, range(4))) == [0] * 4


def test_ctrl_c_within_a_transaction_waits_for_its_end(tmp_path: Path) -> None:
    """Otherwise it would leave the database locked, and what is paid for could not be kept."""
    Store(tmp_path / "s.db").close()
    database, other = Database(tmp_path / "s.db"), Database(tmp_path / "s.db")
    handler = signal.getsignal(signal.SIGINT)

    def write() -> None:
        with database.writing() as connection:
            connection.execute(meta.insert().values(key="before", value="1"))
            signal.raise_signal(signal.SIGINT)
            connection.execute(meta.insert().values(key="after", value="1"))

    with pytest.raises(KeyboardInterrupt):
        write()
    assert signal.getsignal(signal.SIGINT) is handler
    with other.writing() as connection:
        keys = connection.execute(meta.select()).all()
    assert {row.key for row in keys} == {"schema", "before", "after"}


def test_a_store_can_be_given_open_and_stays_open(store_url: str) -> None:
    with Store(store_url) as store:
        for _ in range(2):
            evaluate(REFERENCED, generator="recorded", scorers=["match"], store=store)
        assert len(store.runs()) == 1
