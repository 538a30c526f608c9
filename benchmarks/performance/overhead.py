"""What the harness itself costs a sample: an instant generator and exact match, the store on.

The floor does no more than any harness must: two hooks a sample and one flushed line of JSON.
Each variant runs in a process of its own; CPU time is that of all its threads, without imports.

    python benchmarks/performance/overhead.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import Completion, Sample, Score


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


def samples(count: int) -> list[Sample]:
    texts = (f"What is the {i}th question of this data set about?" for i in range(count))
    return [Sample(str(i), text, (text,)) for i, text in enumerate(texts)]


def floor(questions: list[Sample], folder: Path) -> None:
    """Hooks and a flushed line a sample, and nothing else."""
    import pluggy

    hookspec, hookimpl = pluggy.HookspecMarker("floor"), pluggy.HookimplMarker("floor")

    class Specs:
        @hookspec
        def answered(self, completion: Completion) -> None: ...
        @hookspec
        def scored(self, score: Score) -> None: ...

    class Observer:
        @hookimpl
        def answered(self, completion: Completion) -> None: ...
        @hookimpl
        def scored(self, score: Score) -> None: ...

    manager = pluggy.PluginManager("floor")
    manager.add_hookspecs(Specs)
    manager.register(Observer())
    generator, scorer = Instant(), Exact()
    with (folder / "log.jsonl").open("w") as log:
        for question in questions:
            completion = generator.generate([question])[0]
            manager.hook.answered(completion=completion)
            score = scorer.score([completion])[0]
            manager.hook.scored(score=score)
            line = {"id": question.id, "text": completion.text, "value": score.value}
            log.write(json.dumps(line) + "\n")
            log.flush()


def fresh(questions: list[Sample], folder: Path) -> None:
    """The harness, with a new store."""
    from harness import evaluate

    store = folder / "store.db"
    evaluate(questions, generator=Instant(), scorers=[Exact()], store=store)


def resumed(questions: list[Sample], folder: Path) -> None:
    """The harness, with a store that has every score already."""
    fresh(questions, folder)


VARIANTS: dict[str, tuple[Callable[[list[Sample], Path], None], int]] = {
    "floor": (floor, 10_000),
    "harness": (fresh, 10_000),
    "harness, resumed": (resumed, 10_000),
    "harness, 100,000": (fresh, 100_000),
}


def measure(name: str, folder: Path) -> None:
    """Run one variant here, and print what it took as JSON."""
    run, count = VARIANTS[name]
    questions = samples(count)
    if run is not floor:
        from harness.engine import evaluate  # noqa: F401
        from harness.stats import mean_interval

        mean_interval([0.0, 1.0])
    if run is resumed:
        fresh(questions, folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    run(questions, folder)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "grown": grown, "count": count}))


def main() -> None:
    """Measure every variant three times, in turn, and print the medians."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(3):
        for name, results in found.items():
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, name, folder]
                output = subprocess.run(command, capture_output=True, text=True, check=True)
            results.append(json.loads(output.stdout))
    print(f"{'variant':<18} {'samples':>8} {'CPU ms a sample':>16} {'memory MB':>10}")
    medians = {name: sorted(r, key=lambda x: x["cpu"])[1] for name, r in found.items()}
    for name, m in medians.items():
        each = m["cpu"] / m["count"] * 1000
        print(f"{name:<18} {m['count']:>8,} {each:>16.4f} {m['grown']:>10.1f}")
    own = (medians["harness"]["cpu"] - medians["floor"]["cpu"]) / 10_000 * 1000
    print(f"the harness adds {own:.4f} ms CPU a sample to the floor (budget 0.1)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
