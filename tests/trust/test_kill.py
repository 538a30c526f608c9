"""SIGKILL at any point

A process is killed at a random instant, or at a random event within a transaction, and what it did
goes on from there: nothing that was recorded or acknowledged is lost, nothing is paid for twice.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from safetensors.torch import load_file
from torch import Tensor

from harness import Sample, evaluate
from harness.calls.values import Reply
from harness.components import Call, Usage
from harness.store import Store
from harness.store.calls import CallRecord, calls
from harness.store.schema import runs
from harness.testing.faults import FaultServer
from harness.vectors import VectorIndex, VectorSettings
from tests.plugins import test_judge_runs as judged
from tests.plugins import test_vertex_emulator_process as vertex
from tests.plugins.test_gpt2 import save
from tests.trust.killed import KilledRun, asked, content, held
from tests.trust.lives import COMMAND, Lives
from tests.trust.trial import Trial


def test_transactions_of_a_run(trial: Trial, tmp_path: Path) -> None:
    """Killed by itself at an event (also within a transaction), or from outside at any instant."""
    trial("a run of two scorers, killed at an event: a question, a statement of a transaction")
    for number, chance in enumerate(trial.rounds(0.2, tries=20)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with KilledRun(folder) as run:
            _kill_twenty_times(trial, run, folder, chance)


def _kill_twenty_times(trial: Trial, run: KilledRun, folder: Path, chance: random.Random) -> None:
    alone, killed, journal = folder / "alone.db", folder / "killed.db", folder / "journal"
    code, told = run.live(alone, folder / "other", 0, outside=False)
    assert code == 0
    each = int(told) // 25
    for life in range(20):
        had, before = held(killed), len(asked(journal))
        # A life first places in its run what it finds; that is a part of the run to die in, too.
        ends_at = chance.randint(1, each + int(1.5 * sum(who == "generator" for who, *_ in had)))
        assert run.live(killed, journal, ends_at, outside=bool(life % 2)) == (-9, "")
        trial.kept("completions and scores", had, held(killed))
        assert not had & set(asked(journal)[before:]), "asked again"
    assert len(held(killed)) < len(held(alone))
    had, before = held(killed), len(asked(journal))
    assert run.live(killed, journal, 0, outside=False)[0] == 0
    assert not had & set(asked(journal)[before:]), "asked again"
    assert content(killed) == content(alone)
    assert len(content(killed)) == 3 + 2 * 100


BENCHMARK = """
import os, time
from harness import Completion, Sample

class Slow:
    batch_size = 8

    def identity(self):
        return {"name": "slow"}

    def generate(self, samples, *, attempt=0):
        made = []
        for sample in samples:
            with open("asked", "a") as journal:
                print(sample.id, file=journal)
            time.sleep(0.002)
            made.append(Completion(sample, "yes " * (1 + int(sample.id) % 7)))
        return made

def bench_slow(evaluate):
    samples = [Sample(str(i), f"question {i}", ("yes yes",)) for i in range(200)]
    evaluate(samples, generator=Slow(), scorers=["match:mode=f1"], name="slow")
"""
RUN = """
import sys
from harness.cli import main
sys.exit(main(["run", "bench_slow.py", "-q", "-p", "no:cacheprovider", "--store", sys.argv[1]]))
"""


def test_harness_run(trial: Trial, here: Path) -> None:
    """The command as it is started in a terminal: it becomes pytest, whose process is killed."""
    trial("`harness run`, killed at a random instant between its start and its usual end")
    (here / "bench_slow.py").write_text(BENCHMARK)
    with Lives(here) as lives:
        usual = lives.usual(RUN, "alone.db")
        journal, killed = here / "asked", here / "killed.db"
        for chance in trial.rounds():
            journal.unlink(missing_ok=True)
            had = _prompts(killed)
            life = lives.live(RUN, killed, seconds=chance.uniform(0, usual))
            trial.kept("completions", had, _prompts(killed))
            again = set(journal.read_text().split()) if journal.exists() else set()
            assert not had & again, "asked again"
            if life.code == 0:
                assert _rows(killed) == _rows(here / "alone.db")
                for file in here.glob("killed.db*"):
                    file.unlink()
        lives.usual(RUN, killed)
        assert _rows(killed) == _rows(here / "alone.db")


def _prompts(store: Path) -> set[str]:
    if not store.exists():
        return set()
    with Store(store) as opened:
        return {row.completion.sample.id for run in opened.runs() for row in opened.rows(run)}


def _rows(store: Path) -> list[object]:
    with Store(store, readonly=True) as opened:
        (run,) = opened.runs()
        assert run.status == "finished"
        return [(row.completion, row.scores) for row in opened.rows(run)]


TRAIN = """
from pathlib import Path
import sys
import harness
from harness import TrainingStep
from harness.testing import installed
from tests.plugins.test_ppo import SAMPLES, Vowels, ppo

class Watch:
    @harness.hookimpl
    def harness_training_step(self, step: TrainingStep) -> None:
        print(step.step, flush=True)

with installed(Watch()):
    trainer = ppo(Path(sys.argv[1]), steps=5, save_every=1)
    harness.train(SAMPLES, trainer=trainer, scorers=[Vowels()], output=sys.argv[2])
"""


@pytest.mark.slow
def test_train(trial: Trial, here: Path) -> None:
    """A step that was saved is not made again, and the weights are those of nobody's death."""
    trial("`ppo` on a small GPT-2 that saves after each step, killed and resumed to its end")
    model = save("gpt2", here / "start", eos_token="<eos>")
    with Lives(here, imports="import tests.plugins.test_ppo") as lives:
        usual = lives.usual(TRAIN, model, here / "whole")
        whole = load_file(here / "whole" / "model.safetensors")
        output, finished = here / "0", 0
        for chance in trial.rounds():
            saved = _saved(output)
            life = lives.live(TRAIN, model, output, seconds=chance.uniform(0, usual))
            assert life.code in (0, -9), life.err
            made = [int(line) for line in life.out.split()]
            assert made == list(range(saved + 1, saved + 1 + len(made)))
            trial.kept("saved steps", range(saved), range(_saved(output)))
            if life.code == 0:
                _same(load_file(output / "model.safetensors"), whole)
                finished += 1
                output = here / str(finished)
        lives.usual(TRAIN, model, output)
        _same(load_file(output / "model.safetensors"), whole)
        trial.saw("resumed models, equal to the last bit", finished + 1)


def _saved(output: Path) -> int:
    """The last step whose checkpoint is whole."""
    return max((int(f.name[5:]) for f in (output / "checkpoints").glob("step-*")), default=0)


def _same(tensors: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert tensors.keys() == others.keys()
    assert all(tensors[name].equal(others[name]) for name in tensors)


JUDGE = """
import sys
from tests.plugins.test_judge_runs import run
run(sys.argv[1], sys.argv[2])
"""


def test_judge(trial: Trial, here: Path, fault_server: Callable[..., FaultServer]) -> None:
    """What was on its way to the process may be paid for again, and nothing else."""
    trial("a judge that asks a service eight questions at a time, killed at a random instant")
    server = fault_server(latency=0.02)
    with Lives(here, imports="import tests.plugins.test_judge_runs, openai, httpx2") as lives:
        usual = lives.usual(JUDGE, server.openai_url, here / "alone.db")
        truth = judged.truth(server)
        for number, chance in enumerate(trial.rounds()):
            server, store = fault_server(latency=0.02), here / f"{number}.db"
            lives.live(JUDGE, server.openai_url, store, seconds=chance.uniform(0, usual))
            vertex.until(functools.partial(_at_rest, server))
            kept, before = _replies(store), len(server.ledger.requests)
            lives.usual(JUDGE, server.openai_url, store)
            again = [e for e in server.ledger.requests[before:] if e.usage]
            assert len(again) == judged.COUNT - len(kept), "a reply that was kept is not asked for"
            twice = [n for n in judged.paid(server.ledger.requests).values() if n > 1]
            assert len(twice) <= 2 * judged.AT_ONCE, "only what was on its way"
            trial.kept("paid replies", kept, _replies(store))
            with Store(store, readonly=True) as opened:
                (run,) = opened.runs()
                found = {v.sample_id: v.value for v in opened.values(run, "verdict")}
            assert found == truth
            trial.saw("scores, as the service said", len(found))


def _at_rest(server: FaultServer) -> bool:
    return not server.ledger.in_flight


def _replies(store: Path) -> set[str]:
    if not store.exists():
        return set()
    with Store(store) as opened, opened.database.reading() as connection:
        return {str(row.request_id) for row in connection.execute(calls.select())}


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
