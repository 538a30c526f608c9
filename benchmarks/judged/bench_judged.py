from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Evaluation, HarnessError, Unscored, load_samples, scorer

_HERE = Path(__file__).parent
_RUBRIC = json.dumps(str(_HERE / "rubric.toml"))
SMOLLM2 = f"smollm2=local:rubric={_RUBRIC},reason_chars=50,context=2048"
GENERATORS = ("good=recorded:field=good", "bad=recorded:field=bad")


def bench_judged(
    evaluate: Callable[..., Evaluation], generator: str, pytestconfig: pytest.Config
) -> None:
    """Judge answers; every one has a verdict of the menu, or the cause why it has none."""
    named = pytestconfig.getoption("judge", None)
    try:
        judge = scorer(named or SMOLLM2)
    except HarnessError as error:
        if named:
            raise
        pytest.skip(str(error))
    samples = load_samples(
        _HERE / "answers.csv",
        prompt="question",
        references="reference",
        id="id",
        metadata=("good", "bad"),
    )
    result = evaluate(samples, generator=generator, scorers=[judge])

    summary = result[judge.label]
    assert summary.n + summary.unscored == result.run.total
    for row in result.rows():
        score = row.scores[judge.label]
        assert score.unscored is not None or 0 <= (score.value or 0) <= 1
        if not named:
            assert score.unscored is not Unscored.BAD_SCHEMA, score.reason
            assert score.value in (None, 0.0, 1.0)
