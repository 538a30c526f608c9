"""What spreading a run over a Ray cluster brings, and what it costs.

- speed: a scorer that works 100 ms of CPU time a batch, with two workers against one;
- overhead: a scorer that does nothing, over Ray against in this process, a batch;
- a killed node: how many batches are scored twice. Two nodes, both on this machine.

This file is also the plugin that it measures, in a folder that is on the path of every process.

    python benchmarks/performance/ray_executor.py
"""

from __future__ import annotations

import logging
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import Completion, Component, Generator, Rewarder, Sample, Score, evaluate, hookimpl
from harness.testing import installed

BATCH = 16
ROUNDS = 3
OBJECT_STORE = 80_000_000


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """Settings of `bench-work`."""

    ms: float = field(default=0.0, metadata={"result": False})
    """CPU time that a batch takes, in milliseconds."""
    log: str = field(default="", metadata={"result": False})
    """Where batches are written down as they are begun: first id, process, its parent."""


class Work:
    """Repeats the prompt; scores by length, after some time on a CPU."""

    batch_size = BATCH

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, s.prompt, attempt=attempt) for s in samples]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        if self._settings.log:
            line = f"{completions[0].sample.id} {os.getpid()} {os.getppid()}\n"
            with open(self._settings.log, "a") as log:  # noqa: PTH123 - one write, hence whole
                log.write(line)
        until = time.process_time() + self._settings.ms / 1000
        while time.process_time() < until:
            pass
        return [Score(float(len(c.text))) for c in completions]


@hookimpl
def harness_generators() -> Iterator[Component[Generator]]:
    """Register `bench-echo`."""
    yield Component("bench-echo", build=Work, settings=WorkSettings)


@hookimpl
def harness_rewarders() -> Iterator[Component[Rewarder]]:
    """Register `bench-work`."""
    yield Component("bench-work", build=Work, settings=WorkSettings)


def install(folder: Path) -> None:
    """Install this file as a plugin in a folder, for this process and all that it starts."""
    (folder / "bench_work.py").write_text(Path(__file__).read_text("utf-8"), "utf-8")
    info = folder / "bench_work-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-work\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[samescore]\nbench-work = bench_work\n")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


class Watch:
    """Notes when each score is in the store."""

    def __init__(self) -> None:
        self.times: list[float] = []

    @hookimpl
    def harness_completion_scored(self) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def seconds_a_batch(executor: str | None, batches: int, scorer: str = "bench-work") -> float:
    """What a batch takes once all workers are there: after the first quarter."""
    samples = [Sample(str(i), f"question {i}") for i in range(batches * BATCH)]
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder, installed(watch):
        store = Path(folder) / "store.db"
        evaluate(samples, generator="bench-echo", scorers=[scorer], executor=executor, store=store)
    first = len(watch.times) // 4
    return (watch.times[-1] - watch.times[first]) / (batches * 3 / 4)


def speed(address: str) -> float:
    """How much faster two workers are than one; each has a CPU of its own."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for workers, times in found.items():
            executor = f"ray:{address},workers={workers},driver=bench-echo"
            times.append(seconds_a_batch(executor, 48, "bench-work:ms=100"))
    one, two = (statistics.median(times) for times in found.values())
    print(f"100 ms a batch, 1 worker   {one * 1000:8.2f} ms a batch")
    print(f"100 ms a batch, 2 workers  {two * 1000:8.2f} ms a batch")
    return float(one / two)


def overhead(address: str) -> float:
    """Seconds that a batch takes longer over Ray, generator and scorer there; one at a time."""
    away = f"ray:{address},workers=1,in_flight=1"
    times = [(seconds_a_batch(None, 400), seconds_a_batch(away, 400)) for _ in range(ROUNDS)]
    here, there = (statistics.median(each) for each in zip(*times, strict=True))
    print(f"no work, in this process  {here * 1000:8.2f} ms a batch")
    print(f"no work, over Ray         {there * 1000:8.2f} ms a batch")
    return float(there - here)


def killed(address: str, raylet: int, folder: Path) -> tuple[int, int, int]:
    """Batches begun twice, lost, and there were, when a node is killed in the middle."""
    import psutil

    log = folder / "log"
    log.touch()
    begun = threading.Event()

    def kill() -> None:
        while True:
            lines = log.read_text().splitlines()
            if len(lines) > 20 and any(line.endswith(f" {raylet}") for line in lines[-3:]):
                break
            begun.wait(0.002)
        workers = psutil.Process(raylet).children(recursive=True)
        os.kill(raylet, signal.SIGKILL)
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    samples = [Sample(str(i), f"question {i}") for i in range(64 * BATCH)]
    result = evaluate(
        samples,
        generator="bench-echo",
        scorers=[f"bench-work:ms=40,log={log}"],
        executor=f"ray:{address},workers=3,driver=bench-echo",
        store=folder / "store.db",
    )
    killer.join()
    lines = log.read_text().splitlines()
    scored = sum(1 for row in result.rows() if row.scores)
    return len(lines) - 64, len(samples) - scored, 64


def main() -> None:
    """Measure all three, and print them beside what is asked for."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        import ray
        from ray.cluster_utils import Cluster

        logging.getLogger("ray").setLevel(logging.CRITICAL)
        cluster = Cluster()
        cluster.add_node(num_cpus=2, object_store_memory=OBJECT_STORE, include_dashboard=False)
        try:
            ratio = speed(cluster.address)
            more = overhead(cluster.address) * 1000
            node = cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)
            raylet = node.all_processes["raylet"][0].process.pid
            twice, lost, count = killed(cluster.address, raylet, Path(folder))
        finally:
            ray.shutdown()
            cluster.shutdown()
    print(f"two workers against one   {ratio:8.2f} × (asked for 1.7)")
    print(f"Ray, generation and score {more:8.2f} ms a batch more (budget 5)")
    told = f"{twice} begun twice (2 in flight), {lost} samples lost"
    print(f"a node killed: of {count} batches {told}")


if __name__ == "__main__":
    main()
