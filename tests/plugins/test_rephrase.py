"""`harness data rephrase` over a service."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.cli import main
from harness.testing.faults import FaultServer, Request

Server = Callable[..., FaultServer]
ROWS = [(f"What is {i}?", f"It is {i}.", str(i % 2)) for i in range(12)]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMESCORE_STORE", str(tmp_path / "store.db"))
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("prompt", "completion", "source"), *ROWS])
    return path


def rephrased(request: Request) -> Mapping[str, object]:
    found = re.search(r"The text: (.*)", request.question)
    assert found
    assert request.schema is not None
    properties = request.schema["properties"]
    assert isinstance(properties, Mapping)
    answer: dict[str, object] = {"rephrased_prompt": "Say, " + json.loads(found[1])}
    if "classification" in properties:
        answer["classification"] = properties["classification"]["enum"][-1]
    return answer


def rephrase(server: FaultServer, table: Path, *options: str) -> int:
    generator = f'openai:model=small,base_url="{server.openai_url}",served_as=test'
    command = ["data", "rephrase", str(table), "-o", "out.csv", "--generator", generator]
    return main([*command, *options])


def read(path: str = "out.csv") -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_is_rephrased_and_classified(fault_server: Server, table: Path) -> None:
    server = fault_server(answer=rephrased)
    assert rephrase(server, table, "--style", "pirate", "--classify", "A, B") == 0
    assert read() == [
        {
            "initial_prompt": prompt,
            "prompt": f"Say, {prompt}",
            "ground_truth_completion": completion,
            "classification": "B",
            "source": source,
        }
        for prompt, completion, source in ROWS
    ]
    assert all('"pirate"' in r.body["messages"][1]["content"] for r in server.ledger.requests)  # type: ignore[index]


def test_a_second_run_asks_for_what_is_missing_alone(fault_server: Server, table: Path) -> None:
    broken = {"What is 3?", "What is 7?"}

    def fault(request: Request) -> str:
        return "refusal" if any(prompt in request.question for prompt in broken) else ""

    server = fault_server(fault, answer=rephrased)
    assert rephrase(server, table, "--max-failed", "0.5") == 0
    assert len(read()) == 10
    before = len(server.ledger.requests)
    assert rephrase(server, table, "--force", "--max-failed", "0.5", "--style", "plain") == 0
    assert len(server.ledger.requests) == before + 12
    assert rephrase(server, table, "--force", "--max-failed", "0.5") == 0
    assert len(server.ledger.requests) == before + 12


def test_too_many_failures_write_nothing_and_name_the_rows(
    fault_server: Server, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rephrase(fault_server("refusal"), table) == 11
    said = capsys.readouterr().err
    assert "row 1 (line 2): left out: refusal" in said
    assert "12 of 12 rows cannot be rephrased" in said
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(("allowed", "code"), [("0.5", 0), ("0.1", 11)])
def test_json_tells_what_was_written_and_what_was_left_out(
    fault_server: Server, table: Path, capsys: pytest.CaptureFixture[str], allowed: str, code: int
) -> None:
    def fault(request: Request) -> str:
        return "refusal" if "What is 3?" in request.question or "7?" in request.question else ""

    server = fault_server(fault, answer=rephrased)
    assert rephrase(server, table, "--max-failed", allowed, "--json") == code
    told = json.loads(capsys.readouterr().out)
    assert (told["output"], told["rows"], told["of"]) == (None if code else "out.csv", 10, 12)
    assert [left["cause"] for left in told["left_out"]] == ["refusal", "refusal"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prompt", "promt"], "'promt'"),
        (["--completion", "answer"], "'answer'"),
        (["--generator", "recorded:field=x"], "cannot be asked for a reply of a given form"),
        (["-o", "in.csv"], "--force"),
        (["-o", "out.xyz"], ".xyz"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    fault_server: Server,
    table: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    server = fault_server(answer=rephrased)
    assert rephrase(server, table, *options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not server.ledger.requests


def test_one_class_is_none(fault_server: Server, table: Path) -> None:
    with pytest.raises(SystemExit):
        rephrase(fault_server(), table, "--classify", "only")
