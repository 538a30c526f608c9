"""`harness compare` as a process: tables, gates with their exit codes, files, bad input."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from tests.harness.conftest import Launcher

Harness = Callable[..., subprocess.CompletedProcess[str]]
SCORE = ("--prompt", "question", "--completion", "answer", "--reference", "truth", "--id", "id")


def answers(wrong: int) -> str:
    """A table of 12 answers, the first few of them wrong."""
    rows = [f"q{i},What is {i}?,{'?' if i < wrong else i},{i}" for i in range(12)]
    return "\n".join(["id,question,answer,truth", *rows, ""])


@pytest.fixture
def harness(here: Path, launcher: Launcher) -> Harness:
    """`harness` in a folder that has two runs and two files of scores."""
    run: Harness = functools.partial(launcher.run, here, "harness")
    for name, wrong in (("good", 0), ("bad", 9)):
        (here / f"{name}.csv").write_text(answers(wrong))
        done = run("score", f"{name}.csv", *SCORE, "--scorer", "match")
        assert done.returncode == 0, done.stderr
    (here / "a.csv").write_text("id,f1\n1,0.5\n2,0.25\n3,1\n")
    (here / "b.csv").write_text("id,f1\n1,0.5\n2,0.75\n3,0.5\n")
    (here / "empty.csv").write_text("")
    (here / "twice.csv").write_text("id,f1\n1,0.5\n1,0.75\n")
    (here / "words.csv").write_text("id,f1\n1,good\n")
    (here / "other.csv").write_text("id,f1\n7,1\n")
    return run


def test_a_regression_exits_with_10_and_is_reported(
    harness: Harness, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here / "summary.md"))
    files = "--markdown", "m.md", "--junit", "j.xml"
    done = harness("compare", "last~1", "last", "--fail-if", "match<0", *files)
    assert done.returncode == 10, done.stderr
    assert "McNemar" in done.stdout
    assert "failed: fail if match<0" in done.stdout
    assert max(map(len, done.stdout.split("failed: ")[0].splitlines())) <= 80
    assert "1 of 1 gates failed" in (here / "m.md").read_text()
    assert (here / "summary.md").read_text() == (here / "m.md").read_text()
    assert ElementTree.parse(here / "j.xml").getroot()[0].attrib["failures"] == "1"
    fine = harness("compare", "last", "last~1", "--fail-if", "match<0", "--json")
    assert fine.returncode == 0, fine.stderr
    found = json.loads(fine.stdout)
    assert found["results"][0]["wins"] == 9
    assert found["results"][0]["moved"][0]["answer_first"] == "?"
    assert [gate["failed"] for gate in found["gates"]] == [False]


def test_ci_needs_a_baseline_and_no_store_of_it(harness: Harness, here: Path) -> None:
    saved = harness("compare", "last~1", "--save-baseline", "base.json")
    assert saved.returncode == 0, saved.stderr
    assert "base.json" in saved.stdout
    done = harness("compare", "last", "--baseline", "base.json", "--fail-if", "*<0")
    assert done.returncode == 10, done.stderr
    same = harness("compare", "last~1", "--baseline", "base.json", "--fail-if", "*<0")
    assert same.returncode == 0, same.stderr


def test_stores_suites_and_files_can_be_compared(
    harness: Harness, here: Path, own_store: Path
) -> None:
    files = harness("compare", "a.csv", "b.csv", "--score", "f1", "--json")
    assert json.loads(files.stdout)["results"][0]["difference"] == 0.0
    suites = harness(
        "compare", "last", "last~1", "--suite", "last~1", f"{own_store}#last", "--json"
    )
    found = json.loads(suites.stdout)["results"]
    assert [result["difference"] for result in found] == [0.75, -0.75]
    assert found[0]["p_holm"] == pytest.approx(2 * found[0]["p"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nix", "last"], "no run 'nix' in"),
        (["last~7", "last"], "has 2 evaluations"),
        (["last", "last"], "is named twice"),
        (["last"], "name two or more to compare, or one and --baseline FILE"),
        ([], "name a run or a file"),
        (["last", "last~1", "--score", "matsch"], "has no one scorer 'matsch'; it has: match"),
        (["last", "last~1", "--fail-if", "matsch<0"], "did you mean 'match'?"),
        (["last", "last~1", "--suite", "last"], "--suite: each names 2 runs"),
        (["last", "last~1", "--alpha", "2"], "--alpha is 2"),
        (["last", "last~1", "--cluster", "doc"], "--cluster is for files"),
        (["last", "last~1", "--junit", "no/j.xml"], "the folder no does not exist"),
        (["last", "--baseline", "a.csv"], "is no baseline"),
        (["last", "--by", "model"], "has no 'model' in its metadata"),
        (["a.csv", "b.csv"], "a.csv: name the columns with scores: --score NAME; numbers stand"),
        (["a.csv", "b.csv", "--score", "f2"], "no column 'f2' for --score; there are id, f1"),
        (["a.csv", "empty.csv", "--score", "f1"], "empty.csv is empty"),
        (["a.csv", "twice.csv", "--score", "f1"], "the id '1' stands in row 1 already"),
        (["a.csv", "words.csv", "--score", "f1"], "column 'f1' has 'good', no number"),
        (["a.csv", "other.csv", "--score", "f1"], "no sample in common (ids 1, 2, 3 and 7)"),
        (["a.csv", "c.csv", "--score", "f1"], "there is no file c.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    harness: Harness, arguments: list[str], told: str
) -> None:
    done = harness("compare", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("harness: error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
