from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import Sample, load_samples

SMOLLM2 = "gpt2:model=smollm2,max_new_tokens=64"
SCORERS = ("bertscore:model=minilm", "f1=match:mode=f1")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark a generator, and one a column of answers that are there already."""
    if "generator" in metafunc.fixturenames:
        options = metafunc.config.option
        recorded = [f"{c}=recorded:field={c}" for c in options.faq_completions]
        answering = options.faq_generator or ([] if recorded else [f"smollm2={SMOLLM2}"])
        metafunc.parametrize("generator", [*recorded, *answering])
