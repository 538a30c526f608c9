"""The suites as a person runs them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faq import options
from harness import HarnessError

ROOT = Path(__file__).parents[2]
FAQ = "benchmarks/faq"
NO_MODEL = ("--faq-scorer", "match:mode=contains", "--faq-completions", "said")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "run", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def faq(tmp_path: Path) -> Path:
    file = tmp_path / "faq.csv"
    lines = ["question,answer,said", "Is it on?,yes,yes it is", "Is it off?,no,no", "Why?,so,hm"]
    file.write_text("\n".join(lines))
    return file


def test_stdlib_docs_end_to_end(minilm: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    chosen = ("--generator", "recorded:field=kind", "--rows", "[a-m]*", "--limit", "20")
    done = run("benchmarks/stdlib_docs", *chosen, "--report-json", report)
    assert done.returncode == 0, done.stdout
    every = json.loads(report.read_text())["benchmarks"]
    (result,) = [result for benchmark in every for result in benchmark["runs"]]
    assert {label: s["n"] for label, s in result["scorers"].items()} == {"bertscore": 20, "f1": 20}


def test_the_baseline_of_stdlib_docs_is_found_in_its_conftest(minilm: str) -> None:
    chosen = ("--generator", "nearest-question:known=20", "--limit", "5")
    done = run("benchmarks/stdlib_docs", *chosen)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_wrong_generator_is_one_line(tmp_path: Path) -> None:
    done = run("benchmarks/stdlib_docs", "--generator", "gpt2:")
    assert done.returncode == 2
    assert "'gpt2:' is no reference" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("place", [FAQ, "benchmarks"])
def test_answers_of_a_faq_are_scored(faq: Path, tmp_path: Path, place: str) -> None:
    report = tmp_path / "report.json"
    done = run(place, "-k", "faq", "--faq", faq, *NO_MODEL, "--report-json", report)
    assert done.returncode == 0, done.stdout
    (result,) = json.loads(report.read_text())["benchmarks"][0]["runs"]
    assert result["generator"] == "said"
    assert result["scorers"]["match:mode=contains"]["mean"] == pytest.approx(2 / 3)


def test_a_faq_may_be_named_in_the_environment(faq: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESCORE_FAQ", str(faq))
    assert "1 passed" in run(FAQ, *NO_MODEL).stdout


def test_columns_may_have_any_names(tmp_path: Path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text('Q,"The answer","What it said, then"\nIs it on?,yes,oh yes\n')
    columns = ("--faq-question", "Q", "--faq-answer", "The answer")
    said = ("--faq-completions", "What it said, then", "--faq-scorer", "match:mode=contains")
    done = run(FAQ, f"--faq={file}", *columns, *said, "--faq-least", "match=1")
    assert done.returncode == 0, done.stdout


def test_a_mean_below_what_is_asked_has_its_own_exit_code(faq: Path) -> None:
    assert run(FAQ, "--faq", faq, *NO_MODEL, "--faq-least", "match=0.7").returncode == 10


def test_without_a_faq_the_suite_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMESCORE_FAQ", raising=False)
    done = run(FAQ)
    assert done.returncode == 0
    assert "give --faq FILE, or set SAMESCORE_FAQ" in done.stdout


def test_a_threshold_has_a_scorer_and_a_number() -> None:
    given = argparse.Namespace(faq="faq.csv", faq_least=["match=0.5", "f1:x=1=.25"])
    table = options.faq(given)
    assert table is not None
    assert table.least == {"match": 0.5, "f1:x=1": 0.25}
    with pytest.raises(HarnessError, match="write SCORER=MEAN"):
        options.faq(argparse.Namespace(faq="faq.csv", faq_least=["match=much"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faq-answer", "anser"], "there is no column 'anser'; did you mean 'answer'?"),
        (["--faq-completions", "nothing"], "there is no column 'nothing'"),
        (["--faq", "no-such-file.csv"], "there is no file no-such-file.csv"),
    ],
)
def test_wrong_input_is_one_line(faq: Path, arguments: list[str], message: str) -> None:
    done = run(FAQ, "--faq", faq, *NO_MODEL, *arguments)
    assert done.returncode == 2
    assert message in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
