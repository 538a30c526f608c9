from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import Evaluation

from .options import faq


def bench_faq(
    evaluate: Callable[..., Evaluation], generator: str, pytestconfig: pytest.Config
) -> None:
    """Answer the questions of a FAQ as it answers them itself."""
    table = faq(pytestconfig.option)
    if table is None:
        pytest.skip("no FAQ is named: give --faq FILE, or set SAMESCORE_FAQ")
    result = evaluate(table.samples(), generator=generator, scorers=table.scorers)
    for scorer, mean in table.least.items():
        assert result[scorer].mean >= mean, scorer
