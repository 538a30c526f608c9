"""The judged suite as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_suites import run

SUITE = "benchmarks/judged"


@pytest.mark.slow
def test_the_local_judge_grades_without_a_network(smollm2: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    report = tmp_path / "report.json"
    done = run(SUITE, "--rows", "zip", "--rows", "triangle", "--report-json", report)
    assert done.returncode == 0, done.stdout
    runs = [r for b in json.loads(report.read_text())["benchmarks"] for r in b["runs"]]
    assert {r["generator"]: r["scorers"]["smollm2"]["n"] for r in runs} == {"good": 2, "bad": 2}


def test_another_judge_may_be_named() -> None:
    done = run(SUITE, "--judge", "match:mode=f1")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_without_the_model_the_suite_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.setenv("SAMESCORE_CACHE", str(tmp_path))
    done = run(SUITE, "-rs")
    assert done.returncode == 0, done.stdout
    assert "harness models fetch smollm2" in done.stdout


def test_a_judge_that_cannot_be_had_is_one_line() -> None:
    done = run(SUITE, "--judge", "locl")
    assert done.returncode == 2
    assert "did you mean 'local'?" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
