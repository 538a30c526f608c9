"""A run in a process that ends itself at an event, or is killed at one from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness.store import Store

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


class KilledRun:
    """A process that can be killed as often as one likes."""

    def __init__(self, folder: Path) -> None:
        (folder / "worker.py").write_text(WORKER)
        pipe = subprocess.PIPE
        command = [sys.executable, str(folder / "worker.py")]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder)

    def __enter__(self) -> KilledRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def live(self, store: Path, journal: Path, ends_at: int, outside: bool) -> tuple[int, str]:
        """Live once, to the given count of events; how it ended, and how many there were."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([str(store), str(journal), ends_at, outside]), file=self.process.stdin)
        self.process.stdin.flush()
        code, told = json.loads(self.process.stdout.readline())
        return code, told


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
