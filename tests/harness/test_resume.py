"""Nothing paid for is lost: what the store has is not asked for again, even after kill -9."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Completion, Sample, Score, Unscored, UnscoredError, evaluate
from harness.store import Store


class Asked:
    """A generator, or scorer, that notes what it was asked; `version` is its identity."""

    batch_size = 3

    def __init__(self, name: str = "asked", version: str = "1") -> None:
        self.name, self.version = name, version
        self.asked: list[tuple[str, int]] = []
        self.failing: dict[str, Unscored] = {}

    def identity(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        self.asked += [(s.id, attempt) for s in samples]
        return [Completion(s, f"{s.prompt}/{attempt}", attempt=attempt) for s in samples]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.asked += [(c.sample.id, c.attempt) for c in completions]
        causes = [self.failing.get(c.sample.id) for c in completions]
        return [Score.missing(cause) if cause else Score(1.0) for cause in causes]


SAMPLES = [Sample(f"s{i}", f"prompt {i}") for i in range(8)]
ONCE = [(s.id, 0) for s in SAMPLES]


def test_the_same_again_asks_for_nothing() -> None:
    results = []
    for expected in (ONCE, []):
        generator, scorer = Asked(), Asked("scorer")
        results.append(evaluate(SAMPLES, generator=generator, scorers=[scorer]))
        assert generator.asked == expected
        assert scorer.asked == expected
    assert results[0].run.id == results[1].run.id
    assert list(results[0].rows()) == list(results[1].rows())


def test_another_scorer_does_not_generate_again() -> None:
    evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, one, two = Asked(), Asked("one"), Asked("two")
    evaluate(SAMPLES, generator=generator, scorers=[one, two])
    assert (generator.asked, one.asked, two.asked) == ([], [], ONCE)


def test_more_samples_ask_for_those_alone_wherever_they_stand() -> None:
    evaluate(SAMPLES[2:5], generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one")
    moved = [replace(s, id=f"new-{s.id}") for s in SAMPLES]
    result = evaluate(moved, generator=generator, scorers=[scorer])
    expected = [(s.id, 0) for s in moved[:2] + moved[5:]]
    assert (generator.asked, scorer.asked) == (expected, expected)
    assert [row.completion.sample.id for row in result.rows()] == [s.id for s in moved]


def test_another_version_of_a_component_is_asked_again() -> None:
    evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one", version="2")
    evaluate(SAMPLES, generator=generator, scorers=[scorer])
    assert (generator.asked, scorer.asked) == ([], ONCE)
    generator, scorer = Asked(version="2"), Asked("one")
    evaluate(SAMPLES, generator=generator, scorers=[scorer])
    assert (generator.asked, scorer.asked) == (ONCE, ONCE)


def test_repeats_are_never_served_from_each_other() -> None:
    evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one")
    result = evaluate(SAMPLES, generator=generator, scorers=[scorer], repeats=3)
    assert generator.asked == [(s.id, attempt) for attempt in (1, 2) for s in SAMPLES]
    assert sorted(scorer.asked) == sorted(generator.asked)
    texts = {row.completion.text for row in result.rows()}
    assert len(texts) == 3 * len(SAMPLES)


def test_without_resume_everything_is_asked_again_and_is_another_run(own_store: Path) -> None:
    first = evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one")
    second = evaluate(SAMPLES, generator=generator, scorers=[scorer], resume=False)
    assert (generator.asked, scorer.asked) == (ONCE, ONCE)
    assert second.run.id != first.run.id
    with Store(own_store, readonly=True) as store:
        assert len(store.runs()) == 2


def test_samples_of_one_content_are_asked_once_and_are_rows_each() -> None:
    twins = [replace(s, id=f"{s.id}-{twin}") for s in SAMPLES for twin in "ab"]
    generator, scorer = Asked(), Asked("one")
    result = evaluate(twins, generator=generator, scorers=[scorer])
    for part in (generator, scorer):
        assert [name.partition("-")[0] for name, _ in part.asked] == [s.id for s in SAMPLES]
    rows = list(result.rows())
    assert [row.completion.sample.id for row in rows] == [s.id for s in twins]
    assert [row.completion.text for row in rows] == [f"{s.prompt}/0" for s in twins]
    assert result["one"].n == len(twins)


@pytest.mark.parametrize("cause", list(Unscored))
def test_what_may_pass_is_asked_again_and_what_will_not_is_not(cause: Unscored) -> None:
    first = Asked("one")
    first.failing = {"s3": cause}
    result = evaluate(SAMPLES, generator=Asked(), scorers=[first], max_unscored=0.5)
    assert result["one"].causes == {cause: 1}
    generator, second = Asked(), Asked("one")
    result = evaluate(SAMPLES, generator=generator, scorers=[second], max_unscored=0.5)
    assert generator.asked == []
    assert second.asked == ([("s3", 0)] if cause.transient else [])
    assert result["one"].n == (8 if cause.transient else 7)


def test_a_failed_completion_is_generated_again() -> None:
    class Failing(Asked):
        """A generator that fails on one sample the first time."""

        broken = True

        def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
            found = super().generate(samples, attempt=attempt)
            if not self.broken:
                return found
            bad = {"s5": "error"}
            return [replace(c, finish=bad.get(c.sample.id, "stop")) for c in found]  # type: ignore[arg-type]

    first = evaluate(SAMPLES, generator=Failing(), scorers=[Asked("one")], max_unscored=0.5)
    assert first["one"].causes == {"no_completion": 1}
    generator, scorer = Failing(), Asked("one")
    generator.broken = False
    again = evaluate(SAMPLES, generator=generator, scorers=[scorer])
    assert (generator.asked, scorer.asked) == ([("s5", 0)], [("s5", 0)])
    assert again["one"].n == 8


def test_a_run_that_failed_goes_on_from_what_it_had() -> None:
    first = Asked("one")
    first.failing = dict.fromkeys([s.id for s in SAMPLES[1:]], Unscored.RATE_LIMIT)
    with pytest.raises(UnscoredError):
        evaluate(SAMPLES, generator=Asked(), scorers=[first], max_unscored=0.5, name="faq")
    generator, second = Asked(), Asked("one")
    result = evaluate(SAMPLES, generator=generator, scorers=[second], name="faq")
    assert result["one"].n == 8
    assert ("s0", 0) not in second.asked
    assert result.run.status == "finished"


WORKER = '''
import json, os, random, signal, sys, threading

import sqlalchemy as sa
import harness.engine
from harness import Completion, Sample, Score, Unscored, evaluate

def samples():
    unique = [Sample(f"s{i:03}", f"prompt {i}") for i in range(90)]
    return unique + [Sample(f"again{i}", f"prompt {i}") for i in range(0, 20, 2)]

class Life:
    """One life of the process: counts what happens, and ends at the given count."""

    def __init__(self, ends_at, pipe, journal):
        self.ends_at, self.pipe, self.count = ends_at, pipe, 0
        self.journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.lock = threading.Lock()

    def tick(self, *_):
        with self.lock:
            self.count += 1
            if self.pipe:
                os.write(self.pipe, b".")
            elif self.count == self.ends_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, text):
        if not text.startswith(("SELECT", "PRAGMA")):
            self.tick()

    def ask(self, *what):
        os.write(self.journal, (json.dumps(what) + "\\n").encode())
        self.tick()

class Slow:
    def __init__(self, name, life):
        self.name, self.life, self.batch_size = name, life, 4

    def identity(self):
        return {"name": self.name}

    def generate(self, samples, *, attempt=0):
        made = []
        for s in samples:
            self.life.ask("generator", s.prompt, attempt)
            made.append(Completion(s, f"{s.prompt} of {attempt}", attempt=attempt))
        self.life.tick()
        return made

    def score(self, completions):
        return [self.one(c) for c in completions]

    def one(self, c):
        self.life.ask(self.name, c.sample.prompt, c.attempt)
        if c.sample.prompt == "prompt 7":
            return Score.missing(Unscored.REFUSAL, "never")
        return Score(random.Random(c.text + self.name).random(), {"half": 0.5})

def live(store, journal, ends_at, pipe):
    life = Life(ends_at, pipe, journal)
    sa.event.listen(sa.Engine, "connect", lambda c, _: c.set_trace_callback(life.statement))
    scorers = [Slow("one", life), Slow("two", life)]
    evaluate(samples(), generator=Slow("g", life), scorers=scorers, repeats=2, store=store)
    return life.count

def main():
    """Start up once; then fork a life for each line: store, journal, count, who ends it."""
    for line in sys.stdin:
        store, journal, ends_at, outside = json.loads(line)
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            os.close(ours)
            try:
                count = live(store, journal, ends_at, theirs if outside else 0)
                os.write(theirs, b"" if outside else str(count).encode())
            finally:
                os._exit(0)
        os.close(theirs)
        if outside:
            for _ in range(ends_at):
                os.read(ours, 1)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        told = b"" if outside else os.read(ours, 100)
        os.close(ours)
        print(json.dumps([os.waitstatus_to_exitcode(status), told.decode()]), flush=True)

main()
'''


class Lives:
    """A process that can be killed as often as one likes."""

    def __init__(self, folder: Path) -> None:
        (folder / "worker.py").write_text(WORKER)
        pipe = subprocess.PIPE
        command = [sys.executable, str(folder / "worker.py")]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder)

    def live(self, store: Path, journal: Path, ends_at: int, outside: bool) -> tuple[int, str]:
        """Live once, to the given count of events; how it ended, and how many there were."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([str(store), str(journal), ends_at, outside]), file=self.process.stdin)
        self.process.stdin.flush()
        code, told = json.loads(self.process.stdout.readline())
        return code, told


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    worker = Lives(tmp_path)
    yield worker
    worker.process.communicate()


def held(store: Path) -> set[tuple[str, str, int]]:
    """What the store has: who was asked for it, of which prompt and attempt."""
    if not store.exists():
        return set()
    with Store(store) as opened:
        rows = [row for run in opened.runs() for row in opened.rows(run)]
    at = {(row.completion.sample.prompt, row.completion.attempt): row for row in rows}
    done = {("generator", *place) for place in at}
    return done | {(label, *place) for place, row in at.items() for label in row.scores}


def asked(journal: Path) -> list[tuple[str, str, int]]:
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def content(store: Path) -> list[object]:
    with Store(store, readonly=True) as opened:
        run = opened.run("last")
        rows = [(row.ordinal, row.completion, row.scores) for row in opened.rows(run)]
        return [run.id, run.status, run.total, *rows]


def test_a_run_that_is_killed_twenty_times_ends_as_one_that_was_left_alone(
    lives: Lives, tmp_path: Path
) -> None:
    """Killed by itself at an event (also within a transaction), or from outside at any instant."""
    alone, killed, journal = tmp_path / "alone.db", tmp_path / "killed.db", tmp_path / "journal"
    code, told = lives.live(alone, tmp_path / "other", 0, outside=False)
    assert code == 0
    rng, each = random.Random(2), int(told) // 25
    for life in range(20):
        had, before = held(killed), len(asked(journal))
        # A life first places in its run what it finds; that is a part of the run to die in, too.
        ends_at = rng.randint(1, each + int(1.5 * sum(who == "generator" for who, *_ in had)))
        assert lives.live(killed, journal, ends_at, outside=bool(life % 2)) == (-9, "")
        assert not had & set(asked(journal)[before:])
    assert 0 < len(held(killed)) < len(held(alone))
    had, before = held(killed), len(asked(journal))
    assert lives.live(killed, journal, 0, outside=False)[0] == 0
    assert not had & set(asked(journal)[before:])
    assert content(killed) == content(alone)
    assert len(content(killed)) == 3 + 2 * 100
