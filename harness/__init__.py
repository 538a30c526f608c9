"""samescore: one scorer for training and evaluation.

What a plugin needs is imported at once; what runs evaluations is imported when first used, so
that `import harness` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from harness.components import (
    Completion,
    Component,
    Credit,
    Generator,
    Identified,
    Judge,
    Match,
    Model,
    NoSettings,
    Query,
    Retriever,
    Rewarder,
    Run,
    Sample,
    Score,
    Trainer,
    TrainingResult,
    TrainingTask,
    Unscored,
    Usage,
)
from harness.errors import DataError, HarnessError, PluginError, StoreError, UnscoredError
from harness.hookspecs import hookimpl, hookspec

if TYPE_CHECKING:
    from harness.api import generator, retriever, scorer, trainer
    from harness.engine import evaluate
    from harness.evaluation import Evaluation, Summary
    from harness.samples import load_samples

_LATER = {
    "Evaluation": "harness.evaluation",
    "Summary": "harness.evaluation",
    "evaluate": "harness.engine",
    "generator": "harness.api",
    "load_samples": "harness.samples",
    "retriever": "harness.api",
    "scorer": "harness.api",
    "trainer": "harness.api",
}

__all__ = [
    "Completion",
    "Component",
    "Credit",
    "DataError",
    "Evaluation",
    "Generator",
    "HarnessError",
    "Identified",
    "Judge",
    "Match",
    "Model",
    "NoSettings",
    "PluginError",
    "Query",
    "Retriever",
    "Rewarder",
    "Run",
    "Sample",
    "Score",
    "StoreError",
    "Summary",
    "Trainer",
    "TrainingResult",
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
    "trainer",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
