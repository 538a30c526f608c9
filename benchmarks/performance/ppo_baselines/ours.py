"""The trainer `seed-notebook`, which is `ppo` with the notebook's settings, on a scorer.

The control texts are off, as in the other loops: they cost a few tokens of the prompt alone. The
scorer works while the reference reads the responses, so its CPU time is that of its own threads.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import harness
from benchmarks.performance.ppo_baselines.common import Clock, Row, Spent, Task, now, vowel_share
from harness import Completion, Rewarder, Run, Sample, Score, TrainingStep, hookimpl
from harness.testing import installed


def main() -> None:
    from harness_gpt2.ppo import _trainer

    warnings.simplefilter("ignore")
    task, autocast, dtype = Task.read(sys.argv[1]), *sys.argv[3:5]
    clock = Clock()
    run = _trainer.Training.run

    def timed(training: _trainer.Training) -> harness.TrainingResult:
        clock.tick()  # what is needed to train is loaded now
        return run(training)

    _trainer.Training.run = timed  # type: ignore[assignment, method-assign]
    with tempfile.TemporaryDirectory() as scratch, installed(Steps(clock)):
        harness.train(
            [sample(i, row) for i, row in enumerate(task.rows)],
            trainer=reference(task, autocast),
            scorers=[TimedScorer(task, clock, dtype)],
            output=Path(scratch) / "model",
            store="sqlite://",
        )
    clock.finish(task, sys.argv[2])


def reference(task: Task, autocast: str) -> str:
    return (
        f"seed-notebook:model={task.model!r},good='',bad='',steps={len(task.slices())},"
        f"batch_size={task.batch_size},minibatch_size={task.minibatch_size},epochs={task.epochs},"
        f"learning_rate={task.learning_rate},autocast={autocast},save_every=0,device=cpu"
    )


def sample(number: int, row: Row) -> Sample:
    return Sample(str(number), row.question, (row.answer,))


class Steps:
    """An observer that ends a batch where a step ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @hookimpl
    def harness_training_step(self, run: Run, step: TrainingStep) -> None:
        self._clock.tokens.append(step.metrics["response_tokens"])
        self._clock.tick()


class TimedScorer:
    """The reward, and the clock of its threads; what comes before it in a batch is generation."""

    def __init__(self, task: Task, clock: Clock, dtype: str) -> None:
        model = f"bertscore:model={task.encoder!r},layer={task.layer},dtype={dtype}"
        self._scorer: Rewarder = harness.scorer(model) if task.reward == "bertscore" else Vowels()
        self._clock = clock
        self._others: set[str] = set()
        known = [row.answer for row in task.rows] if task.seen else ["a cat"]
        self._scorer.score([Completion(Sample("", "", (answer,)), "a cat sat") for answer in known])

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        clock, began = self._clock, now()
        assert clock.began is not None
        clock.phases["generation"] = began - clock.began
        before = cpu_by_thread()
        self._others = self._others or before.keys() - {str(threading.get_native_id())}
        scores = self._scorer.score(completions)
        mine = {t: s - before.get(t, 0) for t, s in cpu_by_thread().items()}
        cpu = sum(seconds for thread, seconds in mine.items() if thread not in self._others)
        clock.phases["reward"] = Spent(cpu, (now() - began).wall)
        return scores


class Vowels:
    """The reward that costs nothing, as a scorer."""

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(value) for value in vowel_share([c.text for c in completions], [])]


def cpu_by_thread() -> dict[str, float]:
    """CPU seconds of each thread of this process, by its id (Linux)."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it may have ended
            found[thread.name] = int((thread / "schedstat").read_text().split()[0]) / 1e9
    return found


if __name__ == "__main__":
    main()
