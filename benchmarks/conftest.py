"""What the suites share: options, which pytest takes only from a conftest.py above the suites."""

from __future__ import annotations

import os

import pytest

# OpenMP threads that spin while they wait make two busy cores many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the suite `faq`."""
    group = parser.getgroup("faq", "samescore: the suite benchmarks/faq")
    group.addoption(
        "--faq", metavar="FILE", help="a table of questions and answers (or set SAMESCORE_FAQ)"
    )
    group.addoption(
        "--faq-question", metavar="COLUMN", default="question", help="the questions (question)"
    )
    group.addoption(
        "--faq-answer", metavar="COLUMN", default="answer", help="the right answers (answer)"
    )
    group.addoption(
        "--faq-completions",
        metavar="COLUMN",
        action="append",
        default=[],
        help="answers that a model gave already, to be scored; may be repeated",
    )
    group.addoption(
        "--faq-generator",
        metavar="REF",
        action="append",
        default=[],
        help="what answers the questions, such as gpt2:model=runs/sft; may be repeated",
    )
    group.addoption(
        "--faq-scorer",
        metavar="REF",
        action="append",
        default=[],
        help="what scores the answers (bertscore:model=minilm and token F1); may be repeated",
    )
    group.addoption(
        "--faq-least",
        metavar="SCORER=MEAN",
        action="append",
        default=[],
        help="fail below this mean, such as bertscore=0.8; may be repeated",
    )
