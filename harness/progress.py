"""Progress of long work: an observer that shows pace, time left, running means and spend."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TextIO

from harness.building import Plugin
from harness.components import Completion, Run, Score, TrainingResult, TrainingStep
from harness.evaluation import Evaluation
from harness.hookspecs import hookimpl
from harness.loader import default_plugins

_EVERY_S = {True: 0.2, False: 15.0}  # a terminal is rewritten; a log gets a line now and then

# What is shown of a training step, where the trainer reports it.
_METRICS = {
    "reward": "reward {:.4f}",
    "loss": "loss {:.4f}",
    "kl": "kl {:.3f}",
    "entropy": "entropy {:.3f}",
    "response_tokens": "{:.1f} tokens",
    "tokens_per_s": "{:,.0f} tokens/s",
}


@contextlib.contextmanager
def shown(stream: TextIO | None = None) -> Iterator[None]:
    """Show the progress of every run in this block, on standard error."""
    plugins = default_plugins()
    progress = Progress(stream or sys.stderr)
    plugins.add(progress, Plugin("progress"))
    try:
        yield
    finally:
        plugins.remove(progress)
        progress.close()


class Progress:
    """One line that is rewritten on a terminal, or lines at intervals in a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._terminal = stream, stream.isatty()
        self._every = _EVERY_S[self._terminal]
        self._written = False

    @hookimpl
    def harness_run_started(self, run: Run) -> None:
        """Start counting."""
        self._started = self._shown = time.monotonic()
        self._sums: dict[str, float] = dict.fromkeys(run.scorers, 0.0)
        self._counts: dict[str, int] = dict.fromkeys(run.scorers, 0)
        self._done, self._unscored, self._cost = 0, 0, 0.0
        self._first: tuple[int, float] | None = None  # the step before the first, and when it ended
        for change in run.changes:
            self._line(f"{run.name}: not as in the run before: {change}\n")

    @hookimpl
    def harness_completion_scored(
        self, run: Run, scorer: str, completion: Completion, score: Score
    ) -> None:
        """Count one score, and show where things stand when it is time to."""
        if run.kind == "training":
            return
        self._done += 1
        if score.value is None:
            self._unscored += 1
        else:
            self._sums[scorer] += score.value
            self._counts[scorer] += 1
        first = scorer == next(iter(run.scorers))  # a completion is paid for once, not a scorer
        for usage in (score.usage, completion.usage if first else None):
            self._cost += (usage and usage.cost_usd) or 0.0
        now = time.monotonic()
        if now - self._shown >= self._every:
            self._shown = now
            self._line(self._status(run, now), rewrite=self._terminal)

    @hookimpl
    def harness_run_finished(self, run: Run, evaluation: Evaluation) -> None:
        """Show the last word of a run that took long enough to have been shown."""
        if self._written:
            self._line(self._status(run, time.monotonic()), rewrite=self._terminal)
            self.close()

    @hookimpl
    def harness_training_step(self, run: Run, step: TrainingStep) -> None:
        """Show where a training stands when it is time to, and at its last step."""
        now = time.monotonic()
        if self._first is None:
            self._first = step.step - 1, now - step.seconds
            self._shown = -math.inf
        if step.step == step.total or now - self._shown >= self._every:
            self._shown = now
            self._line(_of_training(run, step, self._left(step, now)), rewrite=self._terminal)

    @hookimpl
    def harness_training_finished(self, run: Run, result: TrainingResult) -> None:
        """Leave the last step's line standing."""
        self.close()

    def close(self) -> None:
        """End the line that is being rewritten."""
        if self._terminal and self._written:
            self._stream.write("\n")
            self._stream.flush()
        self._written = False

    def _status(self, run: Run, now: float) -> str:
        done = self._done / max(len(run.scorers), 1)
        rate = done / max(now - self._started, 1e-9)
        left = f"  {_clock((run.total - done) / rate)} left" if done >= 1 else ""
        means = "  ".join(
            f"{label} {total / self._counts[label]:.4f}"
            for label, total in self._sums.items()
            if self._counts[label]
        )
        unscored = f"  {self._unscored} unscored" if self._unscored else ""
        cost = f"  ${self._cost:.2f}" if self._cost else ""
        head = f"{run.generator}  {done:.0f}/{run.total}  {rate:.1f}/s{left}"
        return f"{head}  {means}{unscored}{cost}"

    def _left(self, step: TrainingStep, now: float) -> float:
        """Seconds until the last step, at the pace since the first that was told."""
        before, began = self._first or (0, now)
        return (now - began) / max(step.step - before, 1) * max(step.total - step.step, 0)

    def _line(self, text: str, *, rewrite: bool = False) -> None:
        self._stream.write(f"\r\x1b[K{text[:160]}" if rewrite else text.rstrip("\n") + "\n")
        self._stream.flush()
        self._written = self._written or rewrite


def _of_training(run: Run, step: TrainingStep, left: float) -> str:
    told = [text.format(step.metrics[m]) for m, text in _METRICS.items() if m in step.metrics]
    unscored = _sum(step.metrics, "unscored/")
    told += [f"{unscored:.0f} unscored"] if unscored else []
    told += [f"{_clock(left)} left"] if step.step < step.total else []
    return "  ".join([f"{run.generator}  {step.step}/{step.total}", *told])


def _sum(metrics: Mapping[str, float], prefix: str) -> float:
    return sum(value for name, value in metrics.items() if name.startswith(prefix))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{rest:02d}s"
