"""Metrics of Hugging Face `evaluate` as scorers, and any scorer as an `evaluate` metric.

    harness score answers.jsonl --scorer 'evaluate:metric=metrics/rouge,key=rougeL'

    metric = harness_evaluate.to_evaluate("match:mode=contains")
    metric.compute(predictions=["42"], references=["It is 42."])

A scorer's value belongs to one completion, a metric's mostly to a set. `per_example=auto` tries
the metric once on five made-up rows: if its result has a list that equals what each row gets
alone (of itself, or with `use_aggregator=False`), a batch is one compute; if the value of the set
is the mean of what the rows get alone (accuracy, exact match, squared error), each row is one
compute of about 3 ms; any other metric (corpus BLEU, F1, correlation) is refused, because the
mean of its rows is not the metric. `per_example=rows` asks for its value of each row all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import Component, Judge, Rewarder, hookimpl

if TYPE_CHECKING:
    import evaluate

    from harness.guards import GuardedScorer

    AnyScorer = str | Rewarder | Judge | GuardedScorer

PerExample = Literal["auto", "list", "rows"]
Several = Literal["refuse", "first", "max", "min"]


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """Settings of `evaluate`."""

    metric: str
    """Directory of a metric module (`accuracy/` with `accuracy.py`), its file, or a hub name."""
    key: str = ""
    """Which entry of the metric's result is the value; empty: the only number there is."""
    per_example: PerExample = "auto"
    """How rows get values: `list` in the result, `rows` each computed alone, `auto` tries both."""
    several: Several = "refuse"
    """Where the metric takes one reference and a sample has several: the value of which."""
    kwargs: str = "{}"
    """Arguments of the metric's compute, as a JSON object."""
    config: str = ""
    """Configuration of the metric, such as `mrpc` of `glue`."""
    allow_network: bool = False
    """Let a hub name be downloaded; the module's code then runs on this machine."""


def build(settings: EvaluateSettings) -> Rewarder:
    """Load and try the metric; raises HarnessError if it cannot be had or cannot score rows."""
    from harness_evaluate._loading import load
    from harness_evaluate._scorer import EvaluateScorer, read_kwargs

    kwargs = read_kwargs(settings.kwargs)
    metric = load(settings.metric, settings.config, allow_network=settings.allow_network)
    return EvaluateScorer(metric, settings.key, settings.per_example, settings.several, kwargs)


def from_evaluate(
    metric: evaluate.EvaluationModule,
    *,
    key: str = "",
    per_example: PerExample = "auto",
    several: Several = "refuse",
    kwargs: Mapping[str, object] | None = None,
) -> Rewarder:
    """Make a scorer of a metric object, which is the scorer's own from then on.

    The arguments are the settings of the component `evaluate`. Raises HarnessError if the metric
    cannot score rows.
    """
    from harness_evaluate._loading import own
    from harness_evaluate._scorer import EvaluateScorer

    return EvaluateScorer(own(metric), key, per_example, several, kwargs or {})


def to_evaluate(scorer: AnyScorer, name: str = "") -> evaluate.Metric:
    """Make an `evaluate.Metric` of a scorer: `compute`, `add`, `add_batch` and `combine` work.

    Predictions are texts, references texts or lists of them (an empty list: none), and compute
    may take `prompts`. The result holds under `name` the mean over what could be scored (None if
    nothing could), `scores` with None for each that could not, and the counts `scored` and
    `unscored`. The name's default is the scorer's label. Raises PluginError for an unknown scorer.
    """
    metric: evaluate.Metric = metric_class(scorer, name)(keep_in_memory=True)
    return metric


def metric_class(scorer: AnyScorer, name: str = "") -> type:
    """Make the class of what `to_evaluate` gives; an exported module holds such a class."""
    from harness_evaluate._export import make_class

    return make_class(scorer, name)


def export_evaluate_module(reference: str, directory: str | Path, name: str = "") -> Path:
    """Write `<directory>/<name>/<name>.py`, which `evaluate.load` loads, and give its folder.

    The module builds the scorer by its reference, so samescore and its plugin must be installed
    where it is loaded. Raises HarnessError if the scorer cannot be built or the file exists.
    """
    from harness_evaluate._export import export

    return export(reference, Path(directory), name)


@hookimpl
def harness_rewarders() -> Iterable[Component[Rewarder]]:
    """Register the component `evaluate`."""
    yield Component(
        "evaluate",
        build=build,
        settings=EvaluateSettings,
        summary="any metric of Hugging Face evaluate, from a directory or the hub",
        requires="samescore[evaluate]",
    )
