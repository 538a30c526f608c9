"""A plugin that nodes of a cluster have installed: see `site` in test_ray.py.

Its scorers write down what they do, a line a call, so that a test can tell what happened where.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import (
    Completion,
    Component,
    Generator,
    HarnessError,
    Rewarder,
    Sample,
    Score,
    Unscored,
    hookimpl,
)


@dataclass(frozen=True, slots=True)
class ToySettings:
    """Settings of both."""

    log: str = field(default="", metadata={"result": False})
    """Where calls are written down."""
    seconds: float = field(default=0.0, metadata={"result": False})
    """CPU time that a batch takes."""
    end: str = field(default="", metadata={"result": False})
    """A file: while it is there, a scorer's process ends when it is given the sample s45."""
    refuse: bool = field(default=False, metadata={"result": False})
    """Whether the user has something to mend."""


class Toy:
    """Answers with the prompt, turned around, and scores by the length of the answer."""

    batch_size = 4

    def __init__(self, settings: ToySettings) -> None:
        self.settings = settings

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        self._note("generated", samples[0].id)
        return [self._answer(sample, attempt) for sample in samples]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        ids = [completion.sample.id for completion in completions]
        self._note("begun", ids[0])
        until = time.process_time() + self.settings.seconds
        while time.process_time() < until:
            pass
        if self.settings.refuse:
            raise HarnessError("there is something to mend")
        if self.settings.end and Path(self.settings.end).exists() and "s45" in ids:
            os._exit(1)
        scores = [self._score(completion) for completion in completions]
        self._note("scored", ids[0])
        return scores

    def _answer(self, sample: Sample, attempt: int) -> Completion:
        if sample.id.endswith("9"):
            return Completion(sample, "", "error", attempt=attempt, error="no answer to nines")
        told = {"attempt": attempt, "passages": ["one", "two"]}
        return Completion(sample, f"{sample.prompt[::-1]} {attempt}", details=told, attempt=attempt)

    def _score(self, completion: Completion) -> Score:
        if completion.sample.id.endswith("7"):
            raise RuntimeError(f"cannot score {completion.sample.id}")
        if completion.sample.id.endswith("3"):
            return Score.missing(Unscored.REFUSAL, "no threes")
        length = len(completion.text)
        return Score(1 / length, parts={"length": float(length)}, reason=f"{length} characters")

    def _note(self, what: str, batch: str) -> None:
        if self.settings.log:
            line = f"{what} {batch} {os.getpid()} {os.getppid()}\n"
            with open(self.settings.log, "a") as log:  # noqa: PTH123 - one write, hence whole
                log.write(line)


@hookimpl
def harness_generators() -> Iterator[Component[Generator]]:
    """Register the generator."""
    yield Component("ray-toy", build=Toy, settings=ToySettings)


@hookimpl
def harness_rewarders() -> Iterator[Component[Rewarder]]:
    """Register the scorer."""
    yield Component("ray-toy", build=Toy, settings=ToySettings)
