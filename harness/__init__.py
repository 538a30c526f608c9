"""samescore: one scorer for training and evaluation.

Every public name is imported when it is first used, so that `import harness` costs next to
nothing, also in a test run that only has it installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.api import generator, retriever, scorer, trainer
    from harness.components import (
        Call,
        Completion,
        Component,
        Credit,
        Generator,
        Identified,
        Index,
        Judge,
        Model,
        NoSettings,
        Retriever,
        Rewarder,
        Rewards,
        Run,
        Sample,
        Score,
        Trainer,
        TrainingResult,
        TrainingStep,
        TrainingTask,
        Unscored,
        Usage,
    )
    from harness.data.samples import load_samples
    from harness.datapoints import (
        Datapoint,
        IndexDescription,
        Match,
        NumericRestrict,
        Query,
        Restrict,
    )
    from harness.engine import evaluate
    from harness.errors import DataError, HarnessError, PluginError, StoreError, UnscoredError
    from harness.evaluation import Evaluation, Summary
    from harness.hookspecs import hookimpl, hookspec
    from harness.training import train

__all__ = [
    "Call",
    "Completion",
    "Component",
    "Credit",
    "DataError",
    "Datapoint",
    "Evaluation",
    "Generator",
    "HarnessError",
    "Identified",
    "Index",
    "IndexDescription",
    "Judge",
    "Match",
    "Model",
    "NoSettings",
    "NumericRestrict",
    "PluginError",
    "Query",
    "Restrict",
    "Retriever",
    "Rewarder",
    "Rewards",
    "Run",
    "Sample",
    "Score",
    "StoreError",
    "Summary",
    "Trainer",
    "TrainingResult",
    "TrainingStep",
    "TrainingTask",
    "Unscored",
    "UnscoredError",
    "Usage",
    "evaluate",
    "generator",
    "hookimpl",
    "hookspec",
    "load_samples",
    "retriever",
    "scorer",
    "train",
    "trainer",
]

# The public names that are not in harness.components, by the module that they come from.
_ELSEWHERE = {
    "harness.api": "generator retriever scorer trainer",
    "harness.engine": "evaluate",
    "harness.errors": "DataError HarnessError PluginError StoreError UnscoredError",
    "harness.evaluation": "Evaluation Summary",
    "harness.hookspecs": "hookimpl hookspec",
    "harness.data.samples": "load_samples",
    "harness.datapoints": "Datapoint IndexDescription Match NumericRestrict Query Restrict",
    "harness.training": "train",
}
_HOME = {name: module for module, names in _ELSEWHERE.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME.get(name, "harness.components")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
