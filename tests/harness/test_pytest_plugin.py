"""Benchmarks are pytest tests: the `evaluate` fixture, exit codes, selection, and reports."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.cli import parser
from harness.cli.run import _overrides, _own
from harness.store import Store

if TYPE_CHECKING:
    from tests.harness.conftest import Launcher

Run = Callable[..., tuple[int, str]]

CONFTEST = """
    import pytest
    from harness import Completion, Component, Sample, Score, Unscored, hookimpl

    class Echo:
        def __init__(self, settings):
            pass

        def generate(self, samples, *, attempt=0):
            return [Completion(s, s.prompt, attempt=attempt) for s in samples]

    class Declining:
        def __init__(self, settings):
            pass

        def score(self, completions):
            return [Score.missing(Unscored.REFUSAL, "no") for _ in completions]

    @hookimpl
    def harness_generators():
        yield Component("conftest-echo", build=Echo)

    @hookimpl
    def harness_rewarders():
        yield Component("declining", build=Declining)

    @hookimpl
    def harness_run_finished(run, evaluation):
        with open("observed", "a") as log:
            print(run.name, evaluation["match"].n, file=log)

    @hookimpl
    def harness_report(report):
        with open("reported", "a") as log:
            print(report["exit_code"], len(report["benchmarks"]), file=log)

    @pytest.fixture
    def samples():
        return [Sample(f"s{i}", f"p{i}", (f"p{i % 4}",), {"no": "?"}) for i in range(8)]
"""
GOOD = """
    import pytest

    @pytest.mark.parametrize("generator", ["conftest-echo", "recorded:field=no"])
    @pytest.mark.parametrize("mode", ["exact", "contains"])
    def bench_good(evaluate, samples, generator, mode):
        result = evaluate(samples, generator=generator, scorers=[f"match:mode={mode}"])
        assert result["match"].mean == (0.5 if generator == "conftest-echo" else 0.0)

    @pytest.mark.slow
    def bench_marked(evaluate, samples):
        evaluate(samples, generator="conftest-echo", scorers=["match"])
"""
BAD = """
    import harness
    import pytest

    def bench_below(evaluate, samples):
        result = evaluate(samples, generator="conftest-echo", scorers=["match"])
        assert result["match"].mean > 0.9

    def bench_unscored(evaluate, samples):
        evaluate(samples, generator="conftest-echo", scorers=["declining"])

    def bench_unknown(evaluate, samples):
        evaluate(samples, generator="conftest-ecko", scorers=["match"])

    def bench_ordinary(samples):
        assert len(samples) == 99

    @pytest.fixture
    def faq():
        return harness.load_samples("no-such.csv", prompt="q")

    def bench_no_file(evaluate, faq):
        evaluate(faq, generator="conftest-echo", scorers=["match"])
"""


@pytest.fixture
def suite(here: Path) -> Path:
    """A folder that has benchmarks/."""
    (here / "benchmarks").mkdir()
    (here / "pytest.ini").write_text("[pytest]\nmarkers = slow\naddopts = -p no:hypothesispytest\n")
    for name, code in [("conftest", CONFTEST), ("bench_good", GOOD), ("bench_bad", BAD)]:
        (here / "benchmarks" / f"{name}.py").write_text(textwrap.dedent(code))
    return here


@pytest.fixture
def run(suite: Path, launcher: Launcher) -> Run:
    """The command that `harness run` hands over to: its exit code, and what it printed."""

    def pytest_of(*arguments: str) -> tuple[int, str]:
        options, rest = parser().parse_known_args(["run", *arguments])
        done = launcher.run(suite, "pytest", *_overrides(), *_own(options), *rest)
        return done.returncode, done.stdout + done.stderr

    return pytest_of


@pytest.fixture
def harness_run(suite: Path) -> Run:
    """`harness run` itself, which becomes pytest."""

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "harness", "run", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


FILE = "benchmarks/bench_good.py"


def test_a_suite_that_holds_succeeds_and_is_reported(harness_run: Run, own_store: Path) -> None:
    code, out = harness_run(FILE, "--report-json", "r.json", "--junitxml", "junit.xml")
    assert code == 0, out
    assert "5 passed" in out
    table = out.partition("= samescore =")[2]
    assert table.count("0.5000") >= 3
    report = json.loads(Path("r.json").read_text())
    assert report["exit_code"] == 0
    names = [b["benchmark"] for b in report["benchmarks"]]
    assert names == sorted(names)
    assert f"{FILE}::bench_good[exact-conftest-echo]" in names
    assert len(names) == 5, "one item a benchmark and its parameters, never one a sample"
    assert report["benchmarks"][0]["runs"][0]["scorers"]["match:mode=contains"]["n"] == 8
    observed = Path("observed").read_text().splitlines()
    assert sorted(observed) == sorted(f"{name} 8" for name in names)
    assert Path("reported").read_text() == "0 5\n"
    cases = ET.parse("junit.xml").getroot().iter("testcase")
    assert len(list(cases)) == 5
    with Store(own_store, readonly=True) as store:
        assert sorted(r.name for r in store.runs()) == names


def test_with_xdist_the_results_are_the_same(run: Run, tmp_path: Path, own_store: Path) -> None:
    reports = []
    for name, arguments in [("one", []), ("two", ["-n", "2"])]:
        store = ["--store", str(tmp_path / f"{name}.db")]
        code, out = run(FILE, "-q", "--report-json", f"{name}.json", *store, *arguments)
        assert code == 0, out
        assert "samescore" in out
        reports.append(json.loads(Path(f"{name}.json").read_text()))
    assert reports[0] == reports[1]
    assert not own_store.exists(), "--store names another"
    assert Path("reported").read_text() == "0 5\n0 5\n"


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("bench_below", 10, "lowest rows of benchmarks/bench_bad.py::bench_below: match: s4 (0.0"),
        ("bench_unscored", 11, "UnscoredError: declining left 8 of 8 unscored (8 refusal"),
        ("bench_unknown", 2, "PluginError: no generator is called 'conftest-ecko'; did you mean"),
        ("bench_no_file", 2, "DataError: there is no file no-such.csv"),
        ("bench_ordinary", 1, "assert 8 == 99"),
    ],
)
def test_the_exit_code_says_what_failed(run: Run, name: str, code: int, told: str) -> None:
    found, out = run("-k", name, "--report-json", "r.json")
    assert found == code, out
    assert told in out
    if code in (2, 11):
        assert "Traceback" not in out
        assert "harness/" not in out, "no frame of ours is shown"
        section = out.partition("= FAILURES =")[2] or out.partition("= ERRORS =")[2]
        assert told[:20] in section.splitlines()[2]
    report = json.loads(Path("r.json").read_text())
    assert report["exit_code"] == code
    assert len(report["benchmarks"]) == (0 if code == 1 else 1)


def test_of_many_failures_what_the_user_must_mend_comes_first(run: Run) -> None:
    code, out = run("benchmarks/bench_bad.py", "-q", "--report-json", "r.json")
    assert code == 2, out
    problems = [b["problem"] for b in json.loads(Path("r.json").read_text())["benchmarks"]]
    assert sorted(problems) == ["input", "input", "threshold", "unscored"]
    assert run("benchmarks/bench_bad.py", "-k", "below or ordinary or unscored")[0] == 11
    code, out = run("benchmarks/bench_bad.py", "-x", "-k", "below or unscored")
    assert (code, "1 failed" in out) == (10, True), out


def test_the_command_passes_on_what_pytest_takes_and_gives_back_its_exit_code(
    harness_run: Run,
) -> None:
    code, out = harness_run("-k", "below or good", "-x", "-m", "not slow", "-q", "--limit", "8")
    assert (code, "1 failed" in out) == (10, True), out


def test_benchmarks_are_chosen_as_tests_are(run: Run) -> None:
    code, out = run("--co", "-q")
    assert code == 0
    assert out.count("::bench_") == 10
    code, out = run("-m", "slow")
    assert (code, "1 passed, 9 deselected" in out) == (0, True), out
    assert run("-k", "below or good", "-q")[0] == 10
    code, out = run("--lf", "-k", "below or good")
    assert (code, "1 failed" in out) == (10, True), out
    code, out = run(f"{FILE}::bench_marked", "-v")
    assert (code, "1 passed" in out) == (0, True), out
    assert run("-k", "nothing")[0] == pytest.ExitCode.NO_TESTS_COLLECTED


def test_rows_and_limits_go_before_what_the_benchmark_says(run: Run) -> None:
    suite = """
        def bench_limited(evaluate, samples):
            evaluate(samples, generator="conftest-echo", scorers=["match"], limit=6)
    """
    Path("benchmarks/bench_limited.py").write_text(textwrap.dedent(suite))
    for arguments, n in [
        ([], 6),
        (["--limit", "3"], 3),
        (["--rows", "s1", "--rows", "s[67]"], 3),
        (["--limit=2", "--rows=s[1-4]"], 2),
    ]:
        code, out = run("benchmarks/bench_limited.py", "-q", "--report-json", "r.json", *arguments)
        assert code == 0, out
        (benchmark,) = json.loads(Path("r.json").read_text())["benchmarks"]
        assert benchmark["runs"][0]["scorers"]["match"]["n"] == n
    code, out = run("benchmarks/bench_limited.py", "--rows", "x*")
    assert (code, "DataError: no samples are left of 8" in out) == (2, True)


def test_the_share_that_may_be_unscored_can_be_given(run: Run) -> None:
    suite = """
        from harness import Sample

        def bench_partly(evaluate, samples):
            mixed = [*samples, Sample("none", "p")]
            evaluate(mixed, generator="conftest-echo", scorers=["match"])
    """
    Path("benchmarks/bench_partly.py").write_text(textwrap.dedent(suite))
    code, out = run("-k", "partly")
    assert code == 11
    assert "1 no_reference" in out
    code, out = run("-k", "partly", "--max-unscored", "0.2")
    assert code == 0, out


def test_a_broken_conftest_and_a_broken_report_are_named(run: Run) -> None:
    with Path("benchmarks/conftest.py").open("a") as conftest:
        conftest.write("\n@hookimpl\ndef harness_typo():\n    pass\n")
    code, out = run("-k", "marked")
    assert code == 2, out
    assert "unknown hook 'harness_typo'" in out
    assert "INTERNALERROR" not in out


def test_a_file_that_cannot_be_used_is_one_line_also_at_import(run: Run) -> None:
    code = 'import harness\nFAQ = harness.load_samples("no-such.csv", prompt="q", references="a")\n'
    Path("benchmarks/bench_import.py").write_text(code)
    exit_code, out = run("benchmarks/bench_import.py")
    assert exit_code == 2, out
    assert "DataError: there is no file no-such.csv" in out
    assert "Traceback" not in out
    assert "load_samples" not in out


def test_an_observer_that_breaks_leaves_the_benchmarks_alone_and_is_named(run: Run) -> None:
    with Path("benchmarks/conftest.py").open("a") as conftest:
        conftest.write("\n@hookimpl\ndef harness_completion_scored():\n    raise OSError('full')\n")
    code, out = run("-k", "marked")
    assert code == 0, out
    assert "conftest" in out
    assert out.count("OSError: full") == 1


def test_a_plain_pytest_run_neither_collects_benchmarks_nor_says_anything(
    suite: Path, launcher: Launcher
) -> None:
    Path("test_plain.py").write_text("def test_plain(): pass\ndef bench_x(): assert 0\n")
    outputs = []
    for arguments in ([], ["-p", "no:samescore"]):
        done = launcher.run(suite, "pytest", "-p", "no:cacheprovider", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout
        outputs.append([x for x in done.stdout.splitlines() if not x.startswith(("plugins", "="))])
    assert outputs[0] == outputs[1]


def test_a_failure_of_somebody_elses_test_keeps_its_traceback(
    suite: Path, launcher: Launcher
) -> None:
    code = "import harness\n\ndef test_own():\n    harness.scorer('nonesuch')\n"
    Path("test_own.py").write_text(code)
    done = launcher.run(suite, "pytest")
    assert done.returncode == 1
    assert "harness.scorer('nonesuch')" in done.stdout
    assert "= samescore =" not in done.stdout


def test_a_fixture_of_the_same_name_is_left_alone(run: Run) -> None:
    code = """
        import pytest

        @pytest.fixture
        def evaluate():
            return lambda: False

        def bench_own(evaluate):
            assert evaluate()
    """
    Path("benchmarks/bench_own.py").write_text(textwrap.dedent(code))
    exit_code, out = run("benchmarks/bench_own.py")
    assert exit_code == 1, out
    assert "samescore ===" not in out
