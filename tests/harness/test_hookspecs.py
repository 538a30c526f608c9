"""The hooks: exactly these, each documented, and each called with what it promises."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import harness
from harness import (
    Completion,
    Component,
    Evaluation,
    Match,
    Model,
    Query,
    Run,
    Sample,
    Score,
    TrainingResult,
    TrainingStep,
    TrainingTask,
    hookimpl,
    hookspecs,
)
from harness.executors import Executor, executor
from harness.executors.local import Local
from harness.store import Store
from harness.testing import completion, installed

SAMPLES = [Sample("a", "one", ("one",)), Sample("b", "two", ("2",))]

HOOKS = {
    "harness_generators": [],
    "harness_rewarders": [],
    "harness_judges": [],
    "harness_retrievers": [],
    "harness_trainers": [],
    "harness_executors": [],
    "harness_models": [],
    "harness_run_started": ["run"],
    "harness_completion_scored": ["run", "scorer", "completion", "score"],
    "harness_run_finished": ["run", "evaluation"],
    "harness_training_step": ["run", "step"],
    "harness_training_finished": ["run", "result"],
    "harness_report": ["report"],
}


def hooks() -> dict[str, object]:
    return {name: f for name, f in vars(hookspecs).items() if hasattr(f, "harness_spec")}


def test_these_are_the_hooks_and_their_arguments() -> None:
    signatures = {n: list(inspect.signature(f).parameters) for n, f in hooks().items()}  # type: ignore[arg-type]
    assert signatures == HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_each_says_when_it_is_called_with_what_and_shows_how(name: str) -> None:
    text = inspect.getdoc(hooks()[name]) or ""
    told = "Arguments:" if HOOKS[name] else "Return:"
    for section in ("When:", told, "Example:", "@hookimpl"):
        assert section in text, section
    assert text.index("When:") < text.index(told) < text.index("Example:")
    assert f"def {name}(" in text


class Everything:
    """A plugin that implements every registration hook."""

    @hookimpl
    def harness_generators(self) -> Iterator[Component[harness.Generator]]:
        yield Component("hook-echo", build=lambda settings: self)

    @hookimpl
    def harness_rewarders(self) -> Iterator[Component[harness.Rewarder]]:
        yield Component("hook-length", build=lambda settings: self)

    @hookimpl
    def harness_judges(self) -> Iterator[Component[harness.Judge]]:
        yield Component("hook-judge", build=lambda settings: self)

    @hookimpl
    def harness_retrievers(self) -> Iterator[Component[harness.Retriever]]:
        yield Component("hook-index", build=lambda settings: self)

    @hookimpl
    def harness_trainers(self) -> Iterator[Component[harness.Trainer]]:
        yield Component("hook-trainer", build=lambda settings: self)

    @hookimpl
    def harness_executors(self) -> Iterator[Component[Executor]]:
        yield Component("hook-executor", build=lambda settings: Local())

    @hookimpl
    def harness_models(self) -> Iterator[Model]:
        yield Model("hook-model", "none", "none==1", "0" * 64, "none", "MIT", 1)

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, s.prompt, attempt=attempt) for s in samples]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(float(len(c.text))) for c in completions]

    async def judge(self, completion: Completion) -> Score:
        return Score(0.25)

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]:
        return [[Match(q.text, 0.0)] * k for q in queries]

    def train(self, task: TrainingTask) -> TrainingResult:
        scores = task.rewards.score([Completion(s, s.prompt) for s in task.samples])
        for number in (1, 2):
            task.report(TrainingStep(number, 2, {"n": float(len(scores["match"]))}))
        return TrainingResult(task.output, {"n": 2.0})


def test_each_kind_of_component_is_registered_and_used_by_name() -> None:
    with installed(Everything()) as plugins:
        assert harness.generator("hook-echo").generate(SAMPLES)[1].text == "two"
        assert harness.scorer("hook-length").score([completion("four")]) == [Score(4.0)]
        assert harness.scorer("hook-judge").score([completion("four")]) == [Score(0.25)]
        assert harness.retriever("hook-index").search([Query("q")], k=2) == [[Match("q", 0.0)] * 2]
        assert isinstance(harness.trainer("hook-trainer"), Everything)
        assert isinstance(executor("hook-executor"), Local)
        assert plugins.models()["hook-model"].requirement == "none==1"
    assert "hook-model" not in plugins.models()


class Watching:
    """An observer that notes all it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    @hookimpl
    def harness_run_started(self, run: Run) -> None:
        self.told.append(("started", run))

    @hookimpl
    def harness_completion_scored(
        self, run: Run, scorer: str, completion: Completion, score: Score
    ) -> None:
        self.told.append((f"{run.id} {scorer} {completion.sample.id}", score.value))

    @hookimpl
    def harness_run_finished(self, run: Run, evaluation: Evaluation) -> None:
        self.told.append((f"finished {run.id}", evaluation["match"].mean))

    @hookimpl
    def harness_training_step(self, run: Run, step: TrainingStep) -> None:
        with Store(readonly=True) as store:
            in_the_store = store.trainings.steps(run.id)[-1].step
        self.told.append((f"step {run.id} {step.step}", in_the_store))

    @hookimpl
    def harness_training_finished(self, run: Run, result: TrainingResult) -> None:
        self.told.append((f"finished {run.id}", (result.model / "samescore.json").exists()))

    @hookimpl
    def harness_report(self, report: Mapping[str, object]) -> None:
        self.told.append(("report", report["exit_code"]))


def test_observers_are_told_of_a_run_from_start_to_end_and_of_what_the_store_had() -> None:
    for _ in range(2):
        watching = Watching()
        with installed(Everything(), watching) as plugins:
            harness.evaluate(SAMPLES, generator="hook-echo", scorers=["match"], name="watched")
            plugins.tell("harness_report", report={"exit_code": 0})
        run = watching.told[0][1]
        assert isinstance(run, Run)
        assert (run.name, run.generator, run.total) == ("watched", "hook-echo", 2)
        assert set(run.scorers) == {"match"}
        assert watching.told[1:] == [
            (f"{run.id} match a", 1.0),
            (f"{run.id} match b", 0.0),
            (f"finished {run.id}", 0.5),
            ("report", 0),
        ]


def test_observers_are_told_of_a_training_from_start_to_end(tmp_path: Path) -> None:
    watching = Watching()
    with installed(Everything(), watching):
        harness.train(SAMPLES, trainer="hook-trainer", scorers={"match": 1.0}, output=tmp_path)
    run = watching.told[0][1]
    assert isinstance(run, Run)
    assert (run.kind, run.generator, run.total) == ("training", "hook-trainer", 2)
    assert run.scorers == {"match": harness.scorer("match").fingerprint}
    assert watching.told[1:] == [
        (f"{run.id} match a", 1.0),
        (f"{run.id} match b", 0.0),
        (f"step {run.id} 1", 1),
        (f"step {run.id} 2", 2),
        (f"finished {run.id}", True),
    ]
