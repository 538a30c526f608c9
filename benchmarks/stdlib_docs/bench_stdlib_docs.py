from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import Evaluation

from .questions import questions

# One example outside of the standard library shows the form of an answer; its line ends it.
_TEMPLATE = (
    r"Q: What does `numpy.arange` do?\nA: Return evenly spaced values within a given interval.\n"
    r"Q: {prompt}\nA:"
)
SMOLLM2 = (
    "smollm2=gpt2:model=smollm2,chat=off,max_new_tokens=32,"
    rf'stop=["\n"],template="{_TEMPLATE}"'
)
SCORERS = ("bertscore=bertscore:model=minilm", "f1=match:mode=f1")


@pytest.mark.parametrize(
    ("generator", "least_bertscore", "least_f1"),
    [
        pytest.param(SMOLLM2, 0.40, 0.15, id="smollm2"),
        pytest.param("nearest-question", 0.40, 0.15, id="nearest"),
    ],
)
def bench_stdlib_docs(
    evaluate: Callable[..., Evaluation], generator: str, least_bertscore: float, least_f1: float
) -> None:
    """Explain a name of the standard library as its docstring does."""
    result = evaluate(questions("test"), generator=generator, scorers=SCORERS, cluster="module")
    assert result["bertscore"].mean > least_bertscore
    assert result["f1"].mean > least_f1
