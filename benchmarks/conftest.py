"""What the suites share: options, which pytest takes only from a conftest.py above the suites."""

from __future__ import annotations

import os

import pytest

from harness.references import label_of

# OpenMP threads that spin while they wait make two busy cores many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the suites in this folder."""
    group = parser.getgroup("suites", "samescore: the suites in benchmarks/")

    def several(*names: str, metavar: str, help: str) -> None:  # noqa: A002
        help = f"{help}; may be repeated"  # noqa: A001
        group.addoption(*names, metavar=metavar, help=help, action="append", default=[])

    several(
        "--generator",
        "--faq-generator",
        metavar="REF",
        help="what answers, such as gpt2:model=runs/sft, in place of a suite's own generators",
    )
    group.addoption(
        "--judge",
        metavar="REF",
        help="what judges in judged, such as openai:model=…, in place of the local SmolLM2",
    )
    group.addoption(
        "--faq", metavar="FILE", help="a table of questions and answers (or set SAMESCORE_FAQ)"
    )
    group.addoption("--faq-question", metavar="COLUMN", help="its questions (question)")
    group.addoption("--faq-answer", metavar="COLUMN", help="its right answers (answer)")
    several("--faq-completions", metavar="COLUMN", help="answers that it has already, to be scored")
    several("--faq-scorer", metavar="REF", help="what scores, in place of BERTScore and token F1")
    several("--faq-least", metavar="SCORER=MEAN", help="fail below it, such as bertscore=0.8")
    group.addoption(
        "--ppo-faq",
        metavar="DIR",
        help="what python -m benchmarks.ppo_faq trained (or set SAMESCORE_PPO_FAQ; runs/ppo_faq)",
    )
    group.addoption(
        "--retrieval-data",
        choices=("clustered", "glove"),
        default="clustered",
        help="what the suite retrieval measures with (clustered vectors, or GloVe's 399,000)",
    )
    group.addoption("--retrieval-rows", type=int, metavar="N", help="how many vectors it takes")
    group.addoption(
        "--with-passages",
        action="store_true",
        help="stdlib_docs: ask SmolLM2 with retrieved passages, too",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A benchmark with a `generator` runs once for each of `GENERATORS` in its file."""
    own: tuple[str, ...] = getattr(metafunc.module, "GENERATORS", ())
    if own and "generator" in metafunc.fixturenames:
        named = metafunc.config.getoption("generator", None) or own
        metafunc.parametrize("generator", named, ids=[label_of(g) for g in named])
