"""How many samples a second several processes record in one store, and whether any is lost.

Every writer evaluates runs of its own and, at the same time as all others, the same run. Without
--store a PostgreSQL server is made for the measurement; the store should hold nothing else.

    python benchmarks/performance/store_writers.py --writers 8 --samples 2000
    python benchmarks/performance/store_writers.py --store sqlite:////tmp/writers.db
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness import Completion, Sample, Score, evaluate
from harness.store import Store
from harness.testing.postgresql import temporary_postgres


@dataclass(frozen=True)
class Instant:
    """Answers with the prompt, at once."""

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, s.prompt) for s in samples]


@dataclass(frozen=True)
class Exact:
    """One where the answer is a reference, else zero."""

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(float(c.text in c.sample.references)) for c in completions]


def samples(owner: str, count: int) -> list[Sample]:
    texts = [f"What is the {i}th question of {owner}?" for i in range(count)]
    return [Sample(str(i), text, (text,)) for i, text in enumerate(texts)]


def write(url: str, owner: str, own: int, shared: int) -> None:
    """One writer's work: it starts when it is told to, and tells how long it took."""
    mine, ours = samples(owner, own), samples("everybody", shared)
    warm = evaluate(mine[:10], generator=Instant(), scorers=[Exact()], store="sqlite://")
    assert warm["Exact"].n == min(own, 10)  # statistics are imported by now
    with Store(url) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        started, cpu = time.perf_counter(), time.process_time()
        for part in (mine, ours):
            found = evaluate(part, generator=Instant(), scorers=[Exact()], store=store)
            assert found["Exact"].n == len(part), "a score is missing"
        took = time.perf_counter() - started
    print(json.dumps({"seconds": took, "cpu": time.process_time() - cpu}), flush=True)


def measured(url: str, writers: int, own: int, shared: int) -> dict[str, object]:
    """Run the writers, all at once, and count what the store then holds."""
    Store(url).close()
    pipe = subprocess.PIPE
    sizes = ["--samples", str(own), "--shared", str(shared)]
    started = [
        subprocess.Popen(
            [sys.executable, __file__, "--store", url, "--writer", f"writer {n}", *sizes],
            stdin=pipe,
            stdout=pipe,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for n in range(writers)
    ]
    for one in started:
        assert one.stdout
        assert one.stdout.readline() == "ready\n", "a writer did not start"
    began = time.perf_counter()
    told = [json.loads(one.communicate("go\n")[0]) for one in started]
    seconds = time.perf_counter() - began
    expected = writers * own + shared
    counts = recorded(url)
    return {
        "writers": writers,
        "recorded": expected,
        "seconds": round(seconds, 2),
        "samples_per_s": round(expected / seconds),
        "cpu_ms_a_sample": round(1000 * sum(t["cpu"] for t in told) / (expected), 3),
        **counts,
        "lost_or_doubled": sum(abs(n - expected) for n in counts.values()),
    }


def recorded(url: str) -> dict[str, int]:
    """How many rows of each kind there are, by SQL of the measurement's own."""
    import sqlalchemy as sa

    with Store(url, readonly=True) as store, store.database.reading() as connection:
        return {
            table: int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())
            for table in ("samples", "completions", "scores", "run_rows")
        }


@contextmanager
def place(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with temporary_postgres(["fsync=on"]) as server:
        yield server.new_database()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", metavar="URL")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--samples", type=int, default=2000, help="of each writer's own")
    parser.add_argument("--shared", type=int, default=1000, help="that all write at once")
    parser.add_argument("--writer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer:
        write(options.store, options.writer, options.samples, options.shared)
        return
    with place(options.store) as url:
        found = measured(url, options.writers, options.samples, options.shared)
    print(json.dumps(found, indent=2))
    sys.exit(bool(found["lost_or_doubled"]))


if __name__ == "__main__":
    main()
