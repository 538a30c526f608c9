"""Answers that exist already: the generator `recorded` replays a column of the data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness import Completion, Component, Generator, Sample, hookimpl


@dataclass(frozen=True, slots=True)
class RecordedSettings:
    """Settings of `recorded`."""

    field: str = "completion"
    """The key of a sample's metadata that holds its answer."""


class Recorded:
    """Gives each sample the answer that its metadata holds; a sample without one has failed."""

    def __init__(self, settings: RecordedSettings) -> None:
        self.field = settings.field

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """The recorded answers, in order; every attempt gives the same one."""
        return [self._answer(sample, attempt) for sample in samples]

    def _answer(self, sample: Sample, attempt: int) -> Completion:
        text = sample.metadata.get(self.field)
        if text is None:
            error = f"the sample has nothing under {self.field!r}"
            return Completion(sample, "", "error", attempt=attempt, error=error)
        return Completion(sample, str(text), attempt=attempt)


@hookimpl
def harness_generators() -> Iterable[Component[Generator]]:
    """Register `recorded`."""
    yield Component(
        "recorded", build=Recorded, settings=RecordedSettings, summary="answers from a column"
    )
