"""`harness index`, over a folder; what it does with a service is the contract of the index."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.vectors import VectorIndex

POINTS = """id,embedding,colour,price
a,"[1, 0]",red,1
b,"[0.9, 0.1]",blue,2
c,"[0, 1]",red,3.5
"""
COLUMNS = ("--restrict", "colour", "--number", "price")
REF = "local:path=ix"
Typed = Callable[[str], None]


@pytest.fixture
def loaded(here: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (here / "points.csv").write_text(POINTS)
    assert main(["index", "load", REF, "points.csv", "--create", *COLUMNS]) == 0
    assert capsys.readouterr().out == "3 datapoints written\n"
    return here


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Gives a text to the next command as its standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    """The ids that a query finds, one list a query."""
    assert main(["index", "query", REF, "--json", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [[match["id"] for match in json.loads(line)["matches"]] for line in lines]


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that ends with 2."""
    assert main(["index", *arguments]) == 2
    return capsys.readouterr().err


def test_from_first_to_last(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "create", REF, "--dimensions", "2", "--measure", "cosine"]) == 0
    assert main(["index", "describe", REF, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert (described["count"], described["dimensions"], described["measure"]) == (0, 2, "cosine")
    assert main(["index", "list", REF]) == 0
    assert capsys.readouterr().out == "ix\n"
    assert "add --yes" in failed(capsys, "delete", REF)
    assert main(["index", "delete", REF, "--yes"]) == 0
    assert not (here / "ix").exists()


def test_a_file_is_loaded_once(loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (loaded / "points.csv").write_text(POINTS.replace("blue", "green") + 'd,"[1, 1]",red,0\n')
    assert main(["index", "load", REF, "points.csv", *COLUMNS]) == 0
    assert capsys.readouterr().out == "2 datapoints written, 2 were there already\n"


def test_columns_that_are_not_used_are_told(
    loaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", "load", REF, "points.csv"]) == 0
    assert "columns that were not used: colour, price" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), ["a", "b", "c"]),
        (("--filter", "colour=red"), ["a", "c"]),
        (("--filter", "colour=red,blue", "-k", "1"), ["a"]),
        (("--deny", "colour=red"), ["b"]),
        (("--where", "price>=2"), ["b", "c"]),
        (("--where", "price>1", "--where", "price<3"), ["b"]),
        (("--filter", "colour=red", "--where", "price<=1"), ["a"]),
        (("--filter", "colour=mauve"), []),
    ],
)
def test_filters(
    loaded: Path, capsys: pytest.CaptureFixture[str], filters: tuple[str, ...], expected: list[str]
) -> None:
    assert found(capsys, "--id", "a", *filters) == [expected]


def test_crowding(loaded: Path, typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": name, "embedding": [10, n], "crowding_tag": "shop"} for n, name in enumerate("xyz")
    ]
    typed("\n".join(map(json.dumps, rows)))
    assert main(["index", "upsert", REF]) == 0
    capsys.readouterr()
    assert found(capsys, "--id", "a", "--crowding", "1", "-k", "3") == [["x", "a", "b"]]


def test_queries_come_from_standard_input(
    loaded: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    number = [{"namespace": "price", "value": 3.0, "op": "GREATER"}]
    rows = [
        {"embedding": [0, 1]},
        {"embedding": [1, 0], "restricts": {"colour": ["blue"]}},
        {"id": "mine", "embedding": ["1", "0"], "numeric_restricts": number},
    ]
    typed("\n".join(map(json.dumps, rows)))
    assert main(["index", "query", REF, "--json", "-k", "1"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [a["matches"][0]["id"] for a in answers] == ["c", "b", "c"]
    assert [a["query"] for a in answers] == ["1", "2", "mine"]


def test_a_table_for_people(loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "query", REF, "--id", "c", "-k", "2"]) == 0
    assert capsys.readouterr().out.split() == ["1", "1.000000", "c", "2", "0.100000", "b"]


def test_datapoints_are_removed_and_counted(
    loaded: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("a\nzz\n\n")
    assert main(["index", "remove", REF, "-", "b"]) == 0
    assert capsys.readouterr().out == "removed 2 of 3\n"
    assert found(capsys, "--id", "c") == [["c"]]


def test_texts_are_searched_by_meaning(
    here: Path, minilm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "faq.csv").write_text("id,question\np,How do I reset my password?\nq,Where is it?\n")
    load = ["index", "load", REF, "faq.csv", "--text", "question"]
    assert main([*load, "--create"]) == 0
    assert main(load) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("0 datapoints written, 2 were there")
    assert found(capsys, "I forgot my login", "-k", "1") == [["p"]]
    assert main(["index", "query", REF, "a", "b", "-k", "1"]) == 0
    assert capsys.readouterr().out.startswith("a:\n  1  ")


# What goes wrong


def test_no_index(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "points.csv").write_text(POINTS)
    for command in (["load", REF, "points.csv"], ["describe", REF], ["query", REF, "text"]):
        assert "there is no index in ix; make one: harness index create" in failed(capsys, *command)
    assert not (here / "ix").exists()


def test_a_wrong_row_has_its_place_and_what_stands_before_it_stays(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": str(n), "embedding": [n, 1]} for n in range(2500)]
    rows[2100]["embedding"] = [1, 2, 3]
    (here / "points.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = failed(capsys, "load", REF, "points.jsonl", "--create")
    assert "points.jsonl, row 2101 (line 2101): datapoint 100 (id '2100'): the vector has 3" in said
    assert "2,000 datapoints written before this" in said
    rows[2100]["embedding"] = [1, 2]
    (here / "points.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert main(["index", "load", REF, "points.jsonl"]) == 0
    assert capsys.readouterr().out == "500 datapoints written, 2,000 were there already\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x", "embedding": [1, NaN]}', "NaN"),
        ('{"id": "x", "embedding": [1]}', "the vector has 1 dimensions, the index 2"),
        ('{"id": "x"', "standard input, row 2 (line 3): no JSON"),
        ('{"id": "a", "embedding": [1, 1]}', "twice in one batch"),
        ('{"embedding": [1, 1]}', "row 2 (line 3): there is no column id"),
        (
            '{"id":"x","embedding":[1,1],"numeric_restricts":[{"namespace":"p","value":1,"op":"LESS"}]}',
            "operator LESS, which is for queries",
        ),
    ],
)
def test_of_an_upsert_all_or_nothing_is_written(
    loaded: Path, typed: Typed, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    typed('{"id": "a", "embedding": [5, 5]}\n\n' + line)
    assert message in failed(capsys, "upsert", REF)
    with VectorIndex(folder=loaded / "ix", readonly=True) as index:
        assert index.read(["a"])[0].vector == (1.0, 0.0)
        assert len(index) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("query", REF, "--id", "zz"), "there is no datapoint 'zz'"),
        (("query", REF, "--id", "a", "--filter", "red"), "'red' is no filter"),
        (("query", REF, "--id", "a", "--where", "price"), "'price' is no numeric filter"),
        (("load", REF, "nofile.csv"), "there is no file nofile.csv"),
        (("load", REF, "points.csv", "--id", "no"), "there is no column 'no'"),
        (("load", REF, "points.csv", "points.csv"), "the id 'a' is that of points.csv, row 1"),
        (("create", REF, "--dimensions", "3"), "has dimensions=2, not 3"),
        (("create", "local:path=new,encoder=none"), "say --dimensions N"),
        (("query", REF, "--jsno", "text"), "there is no option --jsno"),
        (
            ("create", "local:path=new", "--dimensions", "70000"),
            "it must be an integer, at least 1",
        ),
        (("create", "lokal:path=new"), "no retriever is called 'lokal'; did you mean 'local'"),
        (("query", "local", "text"), "needs the setting 'path'"),
    ],
)
def test_wrong_input_is_one_line(
    loaded: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in failed(capsys, *arguments)


def test_an_empty_input_is_said(
    loaded: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("\n")
    assert "there is nothing to look for" in failed(capsys, "query", REF)
    typed("")
    assert "standard input has no datapoints" in failed(capsys, "upsert", REF)


def test_an_interrupted_load_goes_on_where_it_was(here: Path) -> None:
    """The file is a pipe, so that the load is surely under way when it is interrupted."""
    rows = [json.dumps({"id": str(n), "embedding": [n, 1]}) for n in range(3000)]
    pipe = here / "points.jsonl"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "harness", "index", "load", REF, "points.jsonl", "--create"]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True)
    with pipe.open("w") as handle:
        handle.write("\n".join(rows[:2500]) + "\n")
        handle.flush()
        until = time.monotonic() + 60
        while not _count(here / "ix") and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "datapoints written before this" in said
    assert "Traceback" not in said
    pipe.unlink()
    pipe.write_text("\n".join(rows))
    done = subprocess.run(command[:-1], capture_output=True, text=True, check=True)
    assert done.stdout == "1,000 datapoints written, 2,000 were there already\n"
    with VectorIndex(folder=here / "ix") as index:
        assert index.ids() == [str(n) for n in range(3000)]


def _count(folder: Path) -> bool:
    if not VectorIndex.exists(folder):
        return False
    with VectorIndex(folder=folder, readonly=True) as index:
        return len(index) >= 2000
