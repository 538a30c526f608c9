"""Judges: grading by language models, behind the one method that every scorer has.

What is asked is a rubric; the verdict is read strictly, or there is none. No provider is known
here: a plugin brings a `harness.calls.Provider`, and settings that inherit `RubricSettings` or
`PairwiseSettings`, and `harness.calls.CallSettings`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from harness.judging.scorer import JudgeScorer
from harness.judging.settings import PairwiseSettings, RubricSettings

if TYPE_CHECKING:
    from harness.judging.pairwise import PairwiseJudge
    from harness.judging.rubric import Rubric, load_rubric
    from harness.judging.rubric_judge import RubricJudge

__all__ = [
    "JudgeScorer",
    "PairwiseJudge",
    "PairwiseSettings",
    "Rubric",
    "RubricJudge",
    "RubricSettings",
    "load_rubric",
]

# What only a judge that is built needs: a plugin's settings are imported by every command.
_LATER = {
    "PairwiseJudge": "pairwise",
    "Rubric": "rubric",
    "RubricJudge": "rubric_judge",
    "load_rubric": "rubric",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'harness.judging' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"harness.judging.{_LATER[name]}"), name)
    globals()[name] = value
    return value
