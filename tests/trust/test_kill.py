"""SIGKILL at any point

A process is killed at a random instant, or at a random event within a transaction, and what it did
goes on from there: nothing that was recorded or acknowledged is lost, nothing is paid for twice.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from harness.store import Store
from harness.store.calls import calls
from harness.testing.faults import FaultServer
from tests.plugins import test_judge_runs as judged
from tests.plugins import test_vertex_emulator_process as vertex
from tests.plugins.test_gpt2 import save
from tests.trust.killed import KilledRun, asked, content, held
from tests.trust.lives import Lives
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
            lines = chance.randint(0, 3)  # a line a step; what comes before takes longer than all
            seconds = chance.uniform(0, usual / 20 if lines else usual)
            life = lives.live(TRAIN, model, output, seconds=seconds, lines=lines)
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
