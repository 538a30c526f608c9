"""The guards around components: whatever a plugin does, the harness gets one true result a sample.

Evaluation, training, adapters and assertions all go through the same guard, so a completion
has the same score through every door.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, cast, get_args

from harness.components import (
    Call,
    Completion,
    Credit,
    Finish,
    Generator,
    Rewarder,
    Sample,
    Score,
    Unscored,
    Usage,
)
from harness.data.plain import json_object, storable
from harness.errors import HarnessError, PluginError
from harness.fingerprint import digest

T = TypeVar("T")
R = TypeVar("R")


class GuardedScorer:
    """A rewarder or judge that the harness built: never lies about a completion.

    A completion that failed, an exception, a score that is not finite, something that is no
    score and a wrong number of scores all become unscored, with the cause; a batch that raises
    is halved until the completion that it chokes on stands alone. A `HarnessError` alone
    passes: it tells the user what to mend. `named` says that any process can build it from its
    reference.
    """

    def __init__(
        self,
        label: str,
        rewarder: Rewarder,
        description: Mapping[str, object],
        reference: str = "",
    ) -> None:
        self.label, self.reference, self.named = label, reference or label, bool(reference)
        self.component = rewarder
        self.description = description
        self.fingerprint = digest(description)

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order."""
        answered = [c for c in completions if c.finish != "error"]
        scores = iter(_isolate(self._call, answered, _scorer_failed)) if answered else iter(())
        return [_not_answered(c) if c.finish == "error" else next(scores) for c in completions]

    def _call(self, completions: Sequence[Completion]) -> list[Score]:
        with _one_process(self.label):
            given = self.component.score([_own(completion) for completion in completions])
            told = "gave {} scores for {} completions"
            return [_sound(score) for score in _listed(given, completions, told)]


class GuardedGenerator:
    """A generator that the harness built: a sample that it fails on gets `finish="error"`."""

    def __init__(
        self,
        label: str,
        generator: Generator,
        description: Mapping[str, object],
        reference: str = "",
    ) -> None:
        self.label, self.reference, self.named = label, reference or label, bool(reference)
        self.component = generator
        self.description = description
        self.fingerprint = digest(description)
        self.batch_size = int(getattr(generator, "batch_size", 256))
        if self.batch_size < 1:
            raise PluginError(f"{label}: batch_size is {self.batch_size}; it is at least 1")

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """One completion a sample, in order."""

        def call(batch: Sequence[Sample]) -> list[Completion]:
            with _one_process(self.label):
                own = [_own_sample(sample) for sample in batch]
                given = self.component.generate(own, attempt=attempt)
                completions = _listed(given, batch, "gave {} completions for {} samples")
            checked = [_of(s, c, attempt) for s, c in zip(batch, completions, strict=True)]
            return [self._explained(c) if c.details else c for c in checked]

        def failed(sample: Sample, error: str) -> Completion:
            return Completion(sample, "", "error", attempt=attempt, error=error)

        return _isolate(call, samples, failed) if samples else []

    def _explained(self, completion: Completion) -> Completion:
        """The completion with its details as the store gives them back."""
        try:
            details = json_object(completion.details, "details")
        except (TypeError, RecursionError) as error:
            raise PluginError(
                f"the generator {self.label}, sample {completion.sample.id!r}: {error}; "
                "the details of a completion are JSON values by name"
            ) from error
        return replace(completion, details=details)


def _isolate(
    call: Callable[[Sequence[T]], list[R]], items: Sequence[T], failed: Callable[[T, str], R]
) -> list[R]:
    try:
        return call(items)
    except HarnessError:
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        if len(items) == 1:
            return [failed(items[0], storable(f"{type(error).__name__}: {_text(error)}"[:500]))]
    half = len(items) // 2
    return _isolate(call, items[:half], failed) + _isolate(call, items[half:], failed)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "it has no text"


@contextlib.contextmanager
def _one_process(label: str) -> Iterator[None]:
    """End a child that a component forked and let return: two would do the same work."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            os.write(2, f"harness: {label} forked, and its child is ended\n".encode())
            os._exit(1)


def _own(completion: Completion) -> Completion:
    """A copy that a component may change, and no other sees it."""
    c, sample = completion, _own_sample(completion.sample)
    details = _copied(c.details)
    if type(c) is not Completion:
        return replace(c, sample=sample, details=details)
    # As replace() does it, in a quarter of the time: this is done for every score.
    return Completion(sample, c.text, c.finish, c.usage, c.latency_s, c.attempt, c.error, details)


def _own_sample(sample: Sample) -> Sample:
    metadata = _copied(sample.metadata)
    if type(sample) is not Sample:
        return replace(sample, metadata=metadata)
    return Sample(sample.id, sample.prompt, sample.references, metadata)


def _copied(value: T) -> T:
    if isinstance(value, dict):
        return cast("T", {key: _copied(item) for key, item in value.items()})
    return cast("T", [_copied(item) for item in value]) if isinstance(value, list) else value


def _listed(given: Sequence[R], asked: Sequence[object], told: str) -> list[R]:
    """What a component gave, one for each that it was asked for."""
    if isinstance(given, str | bytes | Mapping):
        raise TypeError(f"gave {type(given).__name__}, no list")
    if len(given) != len(asked):
        raise ValueError(told.format(len(given), len(asked)))
    return list(given)


def _scorer_failed(completion: Completion, error: str) -> Score:
    return Score.missing(Unscored.SCORER_ERROR, error)


def _not_answered(completion: Completion) -> Score:
    return Score.missing(Unscored.NO_COMPLETION, completion.error)


def _sound(score: Score) -> Score:
    """The score in plain types, or what is wrong with it as the cause why there is none."""
    try:
        if type(score.value) is float and math.isfinite(score.value) and _bare(score):
            return score
        return _plain(score)
    except (AttributeError, TypeError, ValueError) as error:
        shown = storable(f"gave {score!r} in place of a Score: {error}"[:500])
        return Score.missing(Unscored.SCORER_ERROR, shown)


def _bare(score: Score) -> bool:
    told = score.parts or score.reason or score.usage or score.credit or score.calls
    return not (told or score.unscored)


def _plain(score: Score) -> Score:
    """Numbers of numpy or torch become floats, so that a score reads from the store as it was."""
    if not isinstance(score, Score) or isinstance(score.value, str):
        raise TypeError("that is of another type")
    value = None if score.value is None else float(score.value)
    if value is not None and not math.isfinite(value):
        reason = f"the scorer gave {value}"
        return replace(score, value=None, unscored=Unscored.SCORER_ERROR, reason=reason)
    return replace(
        score,
        value=value,
        usage=_usage(score.usage),
        parts={str(name): float(part) for name, part in score.parts.items()},
        reason=storable(str(score.reason or "")),
        unscored=None if score.unscored is None else Unscored(score.unscored),
        credit=tuple(Credit(int(c.start), int(c.end), float(c.value)) for c in score.credit),
        calls=tuple(_call(call) for call in score.calls),
    )


def _call(call: Call) -> Call:
    if not isinstance(call, Call):
        raise TypeError(f"calls has {call!r}, no Call")
    said = storable(str(call.model)), storable(str(call.request_id))
    return Call(*said, float(call.latency_s), bool(call.cached))


def _of(sample: Sample, completion: Completion, attempt: int) -> Completion:
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise TypeError(f"gave {completion!r} in place of a Completion")
    if completion.finish not in get_args(Finish):
        raise ValueError(f"gave finish={completion.finish!r}; it is one of {get_args(Finish)}")
    if completion.sample.id != sample.id:
        raise ValueError(f"gave sample {completion.sample.id!r} where {sample.id!r} was asked")
    completion.text.encode()  # half of a surrogate pair is no text, and no store takes it
    if completion.usage is not None or completion.latency_s is not None:
        latency = None if completion.latency_s is None else float(completion.latency_s)
        completion = replace(completion, usage=_usage(completion.usage), latency_s=latency)
    if completion.finish == "error":
        completion = replace(completion, text="", error=storable(str(completion.error)))
    if completion.sample is sample and completion.attempt == attempt:
        return completion
    return replace(completion, sample=sample, attempt=attempt)


def _usage(usage: Usage | None) -> Usage | None:
    if usage is None:
        return None
    if not isinstance(usage, Usage):
        raise TypeError(f"usage is {usage!r}, no Usage")
    cost = None if usage.cost_usd is None else float(usage.cost_usd)
    counts = int(usage.input_tokens), int(usage.output_tokens)
    return Usage(*counts, cost, int(usage.cached_tokens))
