"""The guards around components: whatever a plugin does, the harness gets one true result a sample.

Evaluation, training, adapters and assertions all go through the same guard, so a completion
has the same score through every door.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.components import Completion, Generator, Rewarder, Sample, Score, Unscored
from harness.errors import HarnessError
from harness.fingerprint import digest

T = TypeVar("T")
R = TypeVar("R")


class GuardedScorer:
    """A rewarder or judge that the harness built: never raises for a completion, never lies.

    A completion that failed, an exception, a score that is not finite and a wrong number of
    scores all become unscored, with the cause; a batch that raises is halved until the
    completion that it chokes on stands alone.
    """

    def __init__(self, label: str, rewarder: Rewarder, description: Mapping[str, object]) -> None:
        self.label = label
        self.component = rewarder
        self.description = description
        self.fingerprint = digest(description)

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order."""
        answered = [c for c in completions if c.finish != "error"]
        scores = iter(_isolate(self._call, answered, _scorer_failed)) if answered else iter(())
        return [_not_answered(c) if c.finish == "error" else next(scores) for c in completions]

    def _call(self, completions: Sequence[Completion]) -> list[Score]:
        scores = self.component.score(completions)
        if len(scores) != len(completions):
            raise ValueError(f"gave {len(scores)} scores for {len(completions)} completions")
        return [_finite(score) for score in scores]


class GuardedGenerator:
    """A generator that the harness built: a sample that it fails on gets `finish="error"`."""

    def __init__(
        self, reference: str, generator: Generator, description: Mapping[str, object]
    ) -> None:
        self.reference = reference
        self.component = generator
        self.description = description
        self.fingerprint = digest(description)
        self.batch_size = int(getattr(generator, "batch_size", 256))

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """One completion a sample, in order."""

        def call(batch: Sequence[Sample]) -> list[Completion]:
            completions = self.component.generate(batch, attempt=attempt)
            if len(completions) != len(batch):
                raise ValueError(f"gave {len(completions)} completions for {len(batch)} samples")
            return [_of(s, c, attempt) for s, c in zip(batch, completions, strict=True)]

        def failed(sample: Sample, error: str) -> Completion:
            return Completion(sample, "", "error", attempt=attempt, error=error)

        return _isolate(call, samples, failed) if samples else []


def _isolate(
    call: Callable[[Sequence[T]], list[R]], items: Sequence[T], failed: Callable[[T, str], R]
) -> list[R]:
    try:
        return call(items)
    except HarnessError:
        raise
    except Exception as error:
        if len(items) == 1:
            return [failed(items[0], f"{type(error).__name__}: {error}"[:500])]
    half = len(items) // 2
    return _isolate(call, items[:half], failed) + _isolate(call, items[half:], failed)


def _scorer_failed(completion: Completion, error: str) -> Score:
    return Score.missing(Unscored.SCORER_ERROR, error)


def _not_answered(completion: Completion) -> Score:
    return Score.missing(Unscored.NO_COMPLETION, completion.error)


def _finite(score: Score) -> Score:
    if not isinstance(score, Score):
        raise TypeError(f"gave {score!r} in place of a Score")
    if score.value is None or math.isfinite(score.value):
        return score
    reason = f"the scorer gave {score.value}"
    return replace(score, value=None, unscored=Unscored.SCORER_ERROR, reason=reason)


def _of(sample: Sample, completion: Completion, attempt: int) -> Completion:
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise TypeError(f"gave {completion!r} in place of a Completion")
    if completion.sample.id != sample.id:
        raise ValueError(f"gave sample {completion.sample.id!r} where {sample.id!r} was asked")
    return completion if completion.attempt == attempt else replace(completion, attempt=attempt)
