"""`--json`: one JSON document on standard output and nothing else, exit codes as without."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Datapoint, Query
from harness.cli import main, parser
from harness.cli._telling import print_json
from harness.retrieval import Knobs, figures, recall_latency
from harness.store import Store
from harness.store.measurements import MeasurementRecord, measured
from harness.vectors import VectorIndex, VectorSettings

SCORE = ["score", "a.csv", "--completion", "answer", "--reference", "truth", "--scorer", "match"]
# These print nothing on standard output, or serve until they are stopped.
SILENT = {"create", "delete", "update", "serve", "withdraw", "wait"}
SERVERS = {"view", "vertex-emulator"}
FILES = {"new-plugin", "report"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_store: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("id,answer,truth\na,2,2\nb,five,4\nc,3,3\n")
    return tmp_path


def leaves(
    commands: argparse.ArgumentParser, named: tuple[str, ...] = ()
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    nested = [a for a in commands._actions if isinstance(a, argparse._SubParsersAction)]
    if not nested:
        yield " ".join(named), commands
    for name, command in nested[0].choices.items() if nested else ():
        yield from leaves(command, (*named, name))


def test_every_command_that_prints_results_has_it() -> None:
    lacking = {
        name
        for name, command in leaves(parser())
        if not any("--json" in action.option_strings for action in command._actions)
    }
    assert lacking <= {f"index {name}" for name in SILENT} | SERVERS | FILES


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> object:
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_score_and_what_reads_its_run(capsys: pytest.CaptureFixture[str]) -> None:
    scored = document(capsys, *SCORE, "-o", "out.csv")
    assert isinstance(scored, dict)
    assert (scored["output"], scored["scorers"]["match"]["n"]) == ("out.csv", 3)
    exported = document(capsys, "export", "last", "-o", "x.jsonl")
    assert isinstance(exported, dict)
    assert (exported["run"], exported["rows"]) == (scored["run"], 3)
    lines = Path("x.jsonl").read_text().splitlines()
    assert list(json.loads(lines[0])) == exported["columns"]
    assert document(capsys, "compare", "last", "--save-baseline", "b.json") == {
        "baseline": "b.json"
    }


@pytest.mark.parametrize("command", ["plugins", "doctor", "models list"])
def test_what_is_installed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, *command.split())


def test_tables_that_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = document(capsys, "data", "sample", "a.csv", "-n", "2", "-o", "s{n}.csv")
    told = {"output": "s2.csv", "rows": 2, "form": "as-is", "whole": 0}
    assert drawn == {**told, "of": 3, "seed": 0}
    written = document(capsys, "data", "convert", "s2.csv", "-o", "s.jsonl")
    assert written == {**told, "output": "s.jsonl"}


def test_an_index(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": str(n), "embedding": [n, 1], "other": n} for n in range(3)]
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    load = ["index", "load", "local:path=ix", "p.jsonl", "--create"]
    assert document(capsys, *load) == {"written": 3, "there": 0, "unused": ["other"]}
    assert document(capsys, *load) == {"written": 0, "there": 3, "unused": ["other"]}
    removed = document(capsys, "index", "remove", "local:path=ix", "0", "9")
    assert removed == {"removed": 1, "asked": 2}
    described = document(capsys, "index", "describe", "local:path=ix")
    assert isinstance(described, dict)
    assert described["count"] == 2


def retrieval() -> MeasurementRecord:
    points = [Datapoint(f"d{n}", (math.cos(n), math.sin(n))) for n in range(50)]
    index = VectorIndex(VectorSettings(2, engine="exact"))
    index.upsert(points)
    queries = [Query(vector=point.vector) for point in points[:5]]
    exact = index.search(queries, k=3)
    found = recall_latency(index, queries, exact, [Knobs(0.1), Knobs(1.0, 50)], k=3)
    return measured("a circle", "retrieval", config={"n": 50}, figures=figures(found, 3))


def test_a_measurement(capsys: pytest.CaptureFixture[str], own_store: Path) -> None:
    assert main(SCORE) == 0
    record = retrieval()
    with Store(own_store) as store:
        store.measurements.add(record)
    capsys.readouterr()
    listed = document(capsys, "runs")
    assert isinstance(listed, list)
    assert [(r["kind"], r["status"]) for r in listed] == [
        ("evaluation", "finished"),
        ("measurement", "finished"),
    ]
    for name in (record.id[:6], "last"):
        shown = document(capsys, "show", name)
        assert isinstance(shown, dict)
        assert shown["measurement"] == record.id
        points = shown["figures"]["points"]
        assert [p["label"] for p in points] == ["leaves 0.1", "leaves 1, candidates 50"]
        assert all(p["recall"] == 1 and 0 < p["latency_us"] <= p["p95_us"] for p in points)
    assert main(["show", record.id]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"measurement {record.id} · a circle · retrieval · ")
    assert "n: 50" in out
    assert "leaves 1, candidates 50  1.0000" in out


def test_a_number_that_json_lacks_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"mean": math.nan, "all": [math.inf]})
    assert json.loads(capsys.readouterr().out) == {"mean": None, "all": [None]}


SUITE = """
from harness import Sample

def bench_one(evaluate):
    print("said by a benchmark")
    sample = Sample("a", "p", ("x",), {"completion": "y"})
    result = evaluate([sample], generator="recorded", scorers=["match"])
    assert result["match"].mean == 1

def bench_measures(record_measurement):
    record_measurement("speed", config={"n": 1}, figures={"seconds": 0.5})
"""


@pytest.mark.parametrize("arguments", [["-s"], ["-n", "2", "-q"]], ids=["alone", "xdist"])
def test_a_run_prints_its_results_alone(arguments: list[str], folder: Path) -> None:
    Path("benchmarks").mkdir()
    Path("benchmarks/bench_it.py").write_text(SUITE)
    command = [sys.executable, "-m", "harness", "run", "--json", "--report-json", "r.json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 10, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads(Path("r.json").read_text())
    assert report["exit_code"] == 10
    assert [b["outcome"] for b in report["benchmarks"]] == ["failed"]
    assert "1 failed, 1 passed" in done.stderr
    with Store(readonly=True) as store:
        (kept,) = store.measurements.all()
    assert kept.name == "benchmarks/bench_it.py::bench_measures"
    assert (kept.config, kept.figures) == ({"n": 1}, {"seconds": 0.5})


def test_lines_of_runs_are_whole_where_they_are_piped(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").rename("a very long name of a file of answers that goes on.csv")
    score = ["score", "a very long name of a file of answers that goes on.csv", *SCORE[2:]]
    assert main(score) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("score a very long name of a file of answers that goes on.csv")
    assert "\x1b" not in line
