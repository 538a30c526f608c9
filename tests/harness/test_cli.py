"""The command line, as a process: one line and exit code 2 for what the user can mend."""

from __future__ import annotations

import csv
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.store import Store

if TYPE_CHECKING:
    from tests.harness.conftest import Launcher

Harness = Callable[..., subprocess.CompletedProcess[str]]
ANSWERS = 'id,question,answer,truth\na,1+1,2,2\nb,2+2,five,4\nc,"1, 2?",,3\n'
SCORE = ["score", "a.csv", "--completion", "answer", "--reference", "truth", "--scorer"]


@pytest.fixture
def harness(here: Path, launcher: Launcher) -> Harness:
    """`harness` with these arguments, in a folder of the test's own that has some answers."""
    (here / "a.csv").write_text(ANSWERS)
    return functools.partial(launcher.run, here, "harness")


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["score", "b.csv", *SCORE[2:], "match"], "there is no file b.csv; did you mean a.csv?"),
        (["score", ".", *SCORE[2:], "match"], "is a folder"),
        (["score", "a.csv", "--completion", "anwser", "--scorer", "match"], "no column 'anwser'"),
        ([*SCORE, "match", "--id", "idd"], "row 1 (line 2): there is no column 'idd'"),
        ([*SCORE, "match", "--id", "truth", "--limit", "0"], "no samples are left"),
        ([*SCORE, "mathc"], "no rewarder or judge is called 'mathc'; did you mean 'match'?"),
        ([*SCORE, "recorded"], "no rewarder or judge is called 'recorded'"),
        ([*SCORE, "match:moed=f1"], "match has no setting 'moed'; did you mean 'mode'?"),
        ([*SCORE, "match:mode=f2"], "match: mode is 'f2'; choose one of exact, contains"),
        ([*SCORE, "match:tolerance=small"], "match: tolerance is 'small'; it must be a number"),
        ([*SCORE, "match:ignore_case=yes"], "it must be true or false"),
        ([*SCORE, "match:tolerance=-1"], "match: tolerance is -1.0; it must be 0 or more"),
        ([*SCORE, "match:mode"], "'mode' in 'match:mode' is no setting; write KEY=VALUE"),
        ([*SCORE, "match", "--scorer", "match"], "two scorers are called 'match'"),
        ([*SCORE, "match", "-o", "out.xlsx"], "out.xlsx: cannot write .xlsx"),
        ([*SCORE, "match", "-o", "no/out.csv"], "the folder no does not exist"),
        ([*SCORE, "match", "--store", "mysql://h/d"], "'mysql' cannot be used as a store"),
        (["score", "a.csv", "--completion", "answer", "--scorer", "match"], "match left 3 of 3"),
        (["runs"], "there is no store at"),
        (["show", "last"], "there is no store at"),
        (["export", "last", "-o", "x.csv"], "there is no store at"),
        (["plugins", "mathc"], "did you mean 'match'?"),
        (["run"], "there is no folder benchmarks/ here"),
        (["run", "a.csv", "--report-json", "no/x.json"], "--report-json no/x.json: name a file"),
        (["run", "a.csv", "--report-json", "."], "--report-json .: name a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    harness: Harness, arguments: list[str], told: str, own_store: Path
) -> None:
    done = harness(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("harness: error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert own_store.exists() is ("left 3 of 3" in told), "nothing is half-written"


def test_a_run_that_is_not_there_or_not_the_only_one(harness: Harness) -> None:
    assert harness(*SCORE, "match").returncode == 0
    again = harness(*SCORE, "match:mode=f1")
    assert again.returncode == 0
    assert "a.csv: not as in the run before: scorers.match" in again.stderr
    known = json.loads(succeeded(harness("runs", "--json")))
    for command in (["show"], ["export", "-o", "x.csv"]):
        done = harness(*command, "nosuchrun")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"no run 'nosuchrun' in sqlite:///{os.environ['SAMESCORE_STORE']}" in done.stderr
        assert known[0]["id"] in done.stderr
        done = harness(*command, "")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "2 runs start with ''; write more of the id" in done.stderr
    assert not Path("x.csv").exists()


def test_bad_input_is_the_same_in_a_process_that_starts_from_nothing() -> None:
    command = [sys.executable, "-m", "harness", "score", "no.csv", *SCORE[2:], "match"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("harness: error: there is no file no.csv")
    assert done.stderr.count("\n") == 1


def test_usage_that_argparse_refuses_exits_with_2(harness: Harness) -> None:
    for arguments in (["nosuch"], ["score", "a.csv"], ["runs", "--nosuch"], [*SCORE, "match", "x"]):
        done = harness(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "error: " in done.stderr.splitlines()[-1]


def test_scores_are_written_beside_the_columns_of_a_csv(harness: Harness) -> None:
    scorers = ["match", "--scorer", "f=match:mode=f1", "--id", "id", "--prompt", "question"]
    out = succeeded(harness(*SCORE, *scorers, "-o", "out.csv"))
    assert "0.3333" in out
    assert "wrote 3 rows to out.csv" in out
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert list(rows[0])[:4] == ["id", "question", "answer", "truth"]
    assert [row["match"] for row in rows] == ["1.0", "0.0", "0.0"]
    assert [row["f"] for row in rows] == ["1.0", "0.0", "0.0"]
    assert rows[2]["question"] == "1, 2?"
    assert [row["f.precision"] for row in rows] == ["1.0", "0.0", "0.0"]
    assert set(rows[0]) == {
        "id", "question", "answer", "truth", "match", "match.unscored", "match.reason",
        "f", "f.unscored", "f.reason", "f.precision", "f.recall",
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "tsv"])
def test_scores_come_back_from_every_kind_of_table(harness: Harness, ending: str) -> None:
    from harness.data.tables import read_table

    Path("a.csv").write_text(ANSWERS.replace('?",,3', '?",?,3'))
    succeeded(harness(*SCORE, "c=match", "-o", f"one.{ending}"))
    again = ["score", f"one.{ending}", *SCORE[2:], "c=match"]
    succeeded(harness(*again, "-o", f"two.{ending}"))
    for file in ("one", "two"):
        rows = [row.values for row in read_table(f"{file}.{ending}")]
        assert [float(str(row["c"])) for row in rows] == [1.0, 0.0, 0.0]
        assert [row["id"] for row in rows] == ["a", "b", "c"]
        expected = ["id", "question", "answer", "truth", "c", "c.unscored", "c.reason"]
        assert list(rows[0]) == expected


def test_names_of_files_and_columns_may_hold_anything(harness: Harness) -> None:
    Path("my: a=b, 'c' [1.csv").write_text('"the answer, at last",r=1\n2,2\n3,4\n')
    arguments = ["--completion", "the answer, at last", "--reference", "r=1", "--scorer", "match"]
    assert "0.5000" in succeeded(harness("score", "my: a=b, 'c' [1.csv", *arguments))


def test_a_failed_answer_is_unscored_and_an_empty_one_is_wrong(harness: Harness) -> None:
    lines = [{"a": "2", "r": "2"}, {"a": None, "r": "2"}, {"a": "", "r": "2"}]
    Path("a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["score", "a.jsonl", "--completion", "a", "--reference", "r", "--scorer", "match"]
    done = harness(*command)
    assert done.returncode == 2
    assert (
        "match left 1 of 3 unscored (1 no_completion; the first: the sample has nothing under 'a')"
        in (done.stderr)
    )
    out = succeeded(harness(*command, "--max-unscored", "0.5", "-o", "out.jsonl"))
    assert "0.5000" in out
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["match"] for row in rows] == [1.0, None, 0.0]
    assert [row["match.unscored"] for row in rows] == ["", "no_completion", ""]


def test_an_empty_answer_stays_one_from_table_to_table(harness: Harness) -> None:
    Path("a.csv").write_text("a,r\n2,2\n,2\n")
    command = ["--completion", "a", "--reference", "r", "--scorer", "match", "-o"]
    first = succeeded(harness("score", "a.csv", *command, "b.jsonl"))
    again = succeeded(harness("score", "b.jsonl", *command, "c.csv"))
    assert "0.5000" in first
    assert "0.5000" in again


def test_a_limit_takes_the_first_rows(harness: Harness) -> None:
    succeeded(harness(*SCORE, "match", "--limit", "2", "-o", "out.csv"))
    assert len(Path("out.csv").read_text().splitlines()) == 3


def test_a_run_is_shown_listed_and_exported(harness: Harness, own_store: Path) -> None:
    succeeded(harness(*SCORE, "match", "--id", "id", "--prompt", "question"))
    (listed,) = json.loads(succeeded(harness("runs", "--json")))
    assert listed["status"] == "finished"
    assert (listed["total"], listed["scorers"]) == (3, ["match"])
    shown = json.loads(succeeded(harness("show", listed["id"][:5], "--json")))
    assert shown["run"] == listed["id"]
    assert shown["scorers"]["match"]["n"] == 3
    assert shown["config"]["generator"]["settings"] == {"field": "answer"}
    assert shown["provenance"]["packages"]["samescore"]
    text = succeeded(harness("show", "last"))
    assert "[b] 2+2" in text
    assert "match: 0.0000" in text
    assert listed["id"] in succeeded(harness("runs"))
    for ending in ("csv", "jsonl", "parquet"):
        out = succeeded(harness("export", "last", "-o", f"x.{ending}", "--store", str(own_store)))
        assert f"wrote run {listed['id']} to x.{ending}" in out
    rows = [json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]
    assert [(row["id"], row["completion"], row["match"]) for row in rows] == [
        ("a", "2", 1.0),
        ("b", "five", 0.0),
        ("c", "", 0.0),
    ]


def test_plugins_and_their_settings_are_listed(harness: Harness) -> None:
    listed = json.loads(succeeded(harness("plugins", "--json")))
    assert listed["broken"] == []
    assert {"match", "recorded", "bertscore", "gpt2"} <= {c["name"] for c in listed["components"]}
    out = succeeded(harness("plugins", "recorded"))
    assert "field (str, default 'completion'): The key of a sample's metadata" in out
    for command in (["--no-plugin", "match", "plugins"], ["plugins", "--no-plugin", "match"]):
        left = json.loads(succeeded(harness(*command, "--json")))
        assert "match" not in {c["name"] for c in left["components"]}


def test_versions_and_what_works_are_told(harness: Harness) -> None:
    assert succeeded(harness("--version")).startswith("samescore 0.")
    found = json.loads(harness("doctor", "--json").stdout)
    assert found["broken"] == {}
    assert "match" in found["plugins"]


SLOW = '''
import os
from harness import Component, Score, hookimpl

class Slow:
    """Notes whom it is asked for, and in its second batch waits for the test."""

    def __init__(self, settings):
        self.batches = 0

    def score(self, completions):
        self.batches += 1
        with open("journal", "a") as journal:
            journal.writelines(c.text + "\\n" for c in completions)
        if self.batches == 2 and os.path.exists("reached"):
            open("reached", "w").close()  # both wait until the test is there
            open("go-on").close()
        return [Score(1.0) for _ in completions]

@hookimpl
def harness_rewarders():
    yield Component("slow", build=Slow)
'''


def test_ctrl_c_keeps_what_is_recorded_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_store: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    info = tmp_path / "acme_slow-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-slow\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[samescore]\nslow = acme_slow\n")
    (tmp_path / "acme_slow.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    Path("many.csv").write_text("a\n" + "".join(f"{i}\n" for i in range(2000)))
    os.mkfifo("reached")
    os.mkfifo("go-on")
    score = ["score", "many.csv", "--completion", "a", "--scorer", "slow"]
    command, pipe = [sys.executable, "-m", "harness", *score], subprocess.PIPE
    run = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    Path("reached").read_text()
    run.send_signal(signal.SIGINT)
    Path("go-on").write_text("")
    out, errors = run.communicate()
    assert (run.returncode, out) == (130, "")
    assert errors == (
        "harness: interrupted; what was recorded stays, and the same command goes on from it\n"
    )
    asked = Path("journal").read_text().splitlines()
    with Store(own_store, readonly=True) as store:
        record = store.run("last")
        assert record.status == "interrupted"
        assert len(list(store.values(record, "slow"))) == len(asked) < 2000
    Path("reached").unlink()
    assert "2000" in succeeded(subprocess.run(command, capture_output=True, text=True))
    assert sorted(Path("journal").read_text().split(), key=int) == [str(i) for i in range(2000)]
