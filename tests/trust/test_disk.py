"""A disk that is full

Some command runs on a disk with room for a random part of what it writes: it ends with one line and
exit code 2, leaves nothing half-written, and once there is room the same command does everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from safetensors.torch import load_file

from harness import Sample, evaluate
from harness.store import Store
from harness.testing.faults import FaultServer
from tests.plugins import test_judge_runs as judged
from tests.plugins import test_vertex_emulator_process as vertex
from tests.plugins.test_gpt2 import save
from tests.trust.lives import COMMAND, Life, Lives
from tests.trust.trial import Trial, only_long

SIZE = 48 * 2**20


class Disk:
    """A small disk, of which most can be taken away.

    Where none can be mounted, no file may grow beyond what is left: another error of the system,
    on the same lines of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "trust", str(folder)]
        with contextlib.suppress(OSError):
            self.mounted = not subprocess.run(command, capture_output=True, check=False).returncode
        self._filler = folder / "filler"

    def leave(self, room: int) -> str:
        """Leave so many bytes; gives what a process must do first where nothing is mounted."""
        if not self.mounted:
            return (
                "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
                f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
            )
        state = os.statvfs(self.folder)
        taken = max(0, state.f_bavail * state.f_frsize - room)
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, taken))
        return ""

    def free(self) -> None:
        """Give back what was taken."""
        self._filler.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all files."""
        subprocess.run(["find", str(self.folder), "-mindepth", "1", "-delete"], check=True)

    def used(self) -> int:
        """How many bytes the files take."""
        return sum((self.folder / name).stat().st_size for name in self.files())

    def files(self) -> set[str]:
        """The names of all files."""
        every = (f for f in self.folder.rglob("*") if f.is_file() and f != self._filler)
        return {str(f.relative_to(self.folder)) for f in every}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 48 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    one = Disk(folder)
    yield one
    if one.mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a run of 3,000 rows, on another disk."""
    file = tmp_path / "runs.db"
    rows = [Sample(f"s{i}", f"prompt {i} " * 9, ("x",), {"completion": "x"}) for i in range(3000)]
    evaluate(rows, generator="recorded", scorers=["match"], store=file, name="rows")
    return file


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with tables, on another disk."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "answers.csv").write_text("a,r\n" + "".join(f"{i},{i}\n" for i in range(3000)))
    rows = (json.dumps({"id": str(n), "embedding": [n, 1, 2]}) for n in range(6000))
    (folder / "points.jsonl").write_text("\n".join(rows))
    return folder


def refused(life: Life) -> bool:
    """Whether it said in one line that it could not; otherwise all must have gone well."""
    if life.code == 0:
        return False
    assert life.code == 2, life.err + life.out
    assert "Traceback" not in life.err + life.out
    said = [line for line in life.err.splitlines() if line.startswith("harness: error: ")]
    assert len(said) == 1, life.err
    assert any(word in said[0] for word in ("make room", "space", "large")), said[0]
    return True


SCORE = ("score", "answers.csv", "--scorer", "match", "--completion", "a", "--reference", "r")
COMMANDS = {
    "score": (*SCORE, "--store", "{disk}/s.db"),
    "score-to-file": (*SCORE, "--store", "sqlite://", "-o", "{disk}/out.csv"),
    "csv": ("export", "last", "--store", "{store}", "-o", "{disk}/out.csv"),
    "json": ("export", "last", "--store", "{store}", "-o", "{disk}/out.json"),
    "jsonl": ("export", "last", "--store", "{store}", "-o", "{disk}/out.jsonl"),
    "parquet": ("export", "last", "--store", "{store}", "-o", "{disk}/out.parquet"),
    "sample": ("data", "sample", "answers.csv", "-n", "2500", "-o", "{disk}/out.csv"),
    "report": ("report", "last", "--store", "{store}", "-o", "{disk}/out.html"),
    "copy": ("store", "copy", "{store}", "{disk}/copy.db"),
    "load": ("index", "load", "local:path={disk}/index", "points.jsonl", "--create"),
    "new-plugin": ("new-plugin", "acme-x", "--output", "{disk}"),
}


IMPORTS = (
    "import harness.engine, harness.store, pandas, pyarrow.feather, sqlalchemy.dialects.sqlite"
)


def test_commands(trial: Trial, disk: Disk, store: Path, here: Path) -> None:
    trial("`score`, `export`, `report`, `sample`, `store copy`, `index load` or `new-plugin`")
    alone: dict[str, tuple[set[str], int]] = {}
    with Lives(here, imports=IMPORTS) as lives:
        for chance in trial.rounds(2):
            name = chance.choice(list(COMMANDS))
            command = [part.format(disk=disk.folder, store=store) for part in COMMANDS[name]]
            if name not in alone:
                lives.usual(COMMAND, *command)
                alone[name] = disk.files(), disk.used()
                disk.clear()
            whole, used = alone[name]
            first = disk.leave(chance.randrange(0, used))
            life = lives.live(first + COMMAND, *command)
            if refused(life):
                trial.saw("refusals in one line")
                assert not half_written(disk)
            disk.free()
            lives.usual(COMMAND, *command)
            trial.kept("files, whole once there is room", whole, disk.files())
            assert disk.files() == whole
            disk.clear()


def half_written(disk: Disk) -> set[str]:
    """Files under way, and results that are not there unless they are whole."""
    return {
        f for f in disk.files() if any(part in f for part in ("tmp", "partial", "out.", "acme"))
    }


BENCHMARK = """
from harness import Sample

def bench_copy(evaluate):
    rows = [Sample(f"s{i}", f"prompt {i} " * 9, ("x",), {"completion": "x"}) for i in range(2000)]
    assert evaluate(rows, generator="recorded", scorers=["match"])["match"].mean == 1
"""
RUN = ("run", "bench_copy.py", "-q", "-p", "no:cacheprovider", "--store", "{0}/s.db")


def test_harness_run(trial: Trial, disk: Disk, here: Path) -> None:
    trial("`harness run` with its store and its `--report-json` on the disk")
    (here / "bench_copy.py").write_text(BENCHMARK)
    command = [part.format(disk.folder) for part in (*RUN, "--report-json", "{0}/report.json")]
    with Lives(here) as lives:
        lives.usual(COMMAND, *command)
        used = disk.used()
        for chance in trial.rounds(0.4):
            disk.clear()
            life = lives.live(disk.leave(chance.randrange(0, used)) + COMMAND, *command)
            assert life.code in (0, 2), life.out + life.err
            assert "Traceback" not in life.out + life.err
            if life.code:
                told = "make room" in life.out or "space" in life.out or "large" in life.out
                assert told, life.out + life.err
                trial.saw("refusals without a traceback")
            assert not half_written(disk)
            disk.free()
            kept = _recorded(disk.folder / "s.db")
            lives.usual(COMMAND, *command)
            trial.kept("rows", kept, _recorded(disk.folder / "s.db"))
            assert len(_recorded(disk.folder / "s.db")) == 2000
            assert json.loads((disk.folder / "report.json").read_text())["exit_code"] == 0


def _recorded(file: Path) -> set[str]:
    if not file.exists() or not file.stat().st_size:
        return set()
    with Store(file) as store:
        return {row.completion.sample.id for run in store.runs() for row in store.rows(run)}


TRAIN = """
from pathlib import Path
import sys
import harness
from tests.plugins.test_ppo import SAMPLES, Vowels, ppo
trainer = ppo(Path(sys.argv[1]), steps=3, save_every=1)
harness.train(SAMPLES, trainer=trainer, scorers=[Vowels()], output=sys.argv[2])
"""


@only_long
@pytest.mark.slow
def test_train(trial: Trial, disk: Disk, here: Path) -> None:
    """What the last whole checkpoint has is gone on from, and the weights are the same."""
    trial("`ppo` on a small GPT-2 with its checkpoints on the disk, resumed once there is room")
    model = save("gpt2", here / "start", eos_token="<eos>")
    with Lives(here, imports="import tests.plugins.test_ppo") as lives:
        lives.usual(TRAIN, model, disk.folder / "out")
        whole, used = load_file(disk.folder / "out" / "model.safetensors"), disk.used()
        for chance in trial.rounds():
            disk.clear()
            first = disk.leave(chance.randrange(0, used))
            life = lives.live(first + TRAIN, model, disk.folder / "out")
            if life.code:
                assert life.err.splitlines()[-1].startswith("harness.errors."), life.err
                assert "make room" in life.err.splitlines()[-1], life.err
                trial.saw("errors that say so")
            disk.free()
            lives.usual(TRAIN, model, disk.folder / "out")
            again = load_file(disk.folder / "out" / "model.safetensors")
            assert all(again[name].equal(whole[name]) for name in whole)
            trial.saw("resumed models, equal to the last bit")


JUDGE = """
import sys
from tests.plugins.test_judge_runs import run
run(sys.argv[1], sys.argv[2])
"""


@only_long
def test_judge(
    trial: Trial, disk: Disk, here: Path, fault_server: Callable[..., FaultServer]
) -> None:
    """A reply that cannot be kept stops the run: it does not go on paying."""
    trial("a judge that asks a service, with its store on the disk")
    with Lives(here, imports="import tests.plugins.test_judge_runs, openai, httpx2") as lives:
        server = fault_server()
        lives.usual(JUDGE, server.openai_url, disk.folder / "s.db")
        used = disk.used()
        for chance in trial.rounds(0.5):
            disk.clear()
            server, store = fault_server(), disk.folder / "s.db"
            first = disk.leave(chance.randrange(100_000, used))
            life = lives.live(first + JUDGE, server.openai_url, store)
            paid = judged.paid(server.ledger.requests)
            if life.code:
                assert "make room" in life.err.splitlines()[-1], life.err
                trial.saw("errors that say so")
            disk.free()
            lives.usual(JUDGE, server.openai_url, store)
            twice = sum(n > 1 for n in judged.paid(server.ledger.requests).values())
            assert twice <= 2 * judged.AT_ONCE, f"{twice} of {len(paid)} paid twice"
            with Store(store, readonly=True) as opened:
                found = [v.value for run in opened.runs() for v in opened.values(run, "verdict")]
            assert None not in found
            assert len(found) == judged.COUNT
            trial.saw("scores", len(found))


@only_long
def test_vertex_emulator(trial: Trial, disk: Disk) -> None:
    """A write that does not fit is refused, and those before it are there after a restart."""
    trial("upserts into the emulator of Vertex AI Vector Search until the disk is full")
    if not disk.mounted:
        pytest.skip("no small disk can be mounted here")
    for chance in trial.rounds(0.3):
        disk.clear()
        with vertex.process("--data-dir", str(disk.folder)) as emulator:
            index = vertex.create(emulator, "written")
            endpoint, _ = vertex.deploy(emulator, index, public_endpoint_enabled=True)
            disk.leave(chance.randrange(1, 400_000))
            kept, code = _upsert_until_refused(emulator, index)
            assert code is not grpc.StatusCode.UNKNOWN
            assert code is not grpc.StatusCode.UNAVAILABLE
            disk.free()
            vertex.upsert(emulator, index, {"last": 1.0})
        with vertex.process("--data-dir", str(disk.folder)) as emulator:
            found = vertex.read(emulator, endpoint, [*kept, "last"])
        trial.kept("acknowledged upserts", {**kept, "last": 1.0}.items(), found.items())
        assert set(found) == {*kept, "last"}, "what was refused is not there"


def _upsert_until_refused(
    emulator: vertex.Process, index: str
) -> tuple[dict[str, float], grpc.StatusCode]:
    kept: dict[str, float] = {}
    for number in range(20_000):
        try:
            vertex.upsert(emulator, index, {f"{number}-{n}": 1.0 for n in range(500)})
        except grpc.RpcError as error:
            return kept, error.code()
        kept |= {f"{number}-{n}": 1.0 for n in range(500)}
    raise AssertionError("the disk was never full")
