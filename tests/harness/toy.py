"""A plugin whose trainer learns how long an answer should be, and needs no library for it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import (
    Completion,
    Component,
    Generator,
    Sample,
    Trainer,
    TrainingResult,
    TrainingStep,
    TrainingTask,
    hookimpl,
)


@dataclass(frozen=True, slots=True)
class ToySettings:
    """Settings of `toy`."""

    steps: int = 5
    """How many steps to train for."""
    letter: str = "x"
    """What the answers are made of."""
    save_every: int = 2
    """Steps between two checkpoints."""
    fail_at: int = field(default=0, metadata={"result": False})
    """Break at this step, after it is reported."""
    wait_at: int = field(default=0, metadata={"result": False})
    """Wait at this step until the pipe `go-on` is written to; `reached` tells that it is there."""


class Toy:
    """Answers with a letter more each step."""

    def __init__(self, settings: ToySettings) -> None:
        self.settings = settings

    def train(self, task: TrainingTask) -> TrainingResult:
        state, last = task.output / "state", self.settings.steps
        done = int(state.read_text()) if task.resume and state.exists() else 0
        for number in range(done + 1, last + 1):
            self._step(task, number)
            stop = task.interrupted()
            if number % self.settings.save_every == 0 or stop:
                state.write_text(str(number))
            if stop:
                raise KeyboardInterrupt
            if number == self.settings.fail_at:
                raise RuntimeError("out of memory")
        (task.output / "model.json").write_text(json.dumps([self.settings.letter, last]))
        use = f"toy-model:path={task.output}"
        return TrainingResult(task.output, {"reward": float(last)}, use)

    def _step(self, task: TrainingTask, number: int) -> None:
        asked = [Completion(s, self.settings.letter * number) for s in task.samples]
        scores = task.rewards.score(asked)
        if number == self.settings.wait_at:
            Path("reached").write_text("")
            Path("go-on").read_text()
        metrics = {"reward": float(number), "kl": 0.5, "tokens_per_s": 1234.0}
        for label, found in scores.items():
            metrics[f"unscored/{label}"] = float(sum(s.value is None for s in found))
        metrics["process"] = float(os.getpid())
        examples = [(asked[0], {label: found[0] for label, found in scores.items()})]
        task.report(TrainingStep(number, self.settings.steps, metrics, 0.25, examples))


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings of `toy-model`."""

    path: str
    """The folder that `toy` wrote to."""


class ToyModel:
    """Answers as it was trained to."""

    def __init__(self, settings: ModelSettings) -> None:
        letter, count = json.loads((Path(settings.path) / "model.json").read_text())
        self.answer = letter * count

    def identity(self) -> dict[str, str]:
        return {"answer": self.answer}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, self.answer, attempt=attempt) for s in samples]


@hookimpl
def harness_trainers() -> Iterator[Component[Trainer]]:
    yield Component("toy", build=Toy, settings=ToySettings, summary="learns a length")


@hookimpl
def harness_generators() -> Iterator[Component[Generator]]:
    yield Component("toy-model", build=ToyModel, settings=ModelSettings)
