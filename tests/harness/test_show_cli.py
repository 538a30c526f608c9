"""`harness show` and `harness export`: what a generator says of its answers comes with them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import Completion, Sample, evaluate
from harness.cli import main

TEXT = "a passage of many words " * 10
PASSAGES = [{"rank": n, "id": f"p{n}", "distance": 0.5, "text": TEXT} for n in range(1, 8)]


class Telling:
    """Answers with the prompt, and tells of some answers how it came to them."""

    def identity(self) -> dict[str, str]:
        return {}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        given: dict[str, dict[str, object]] = {
            "a": {"passages": PASSAGES, "model": {"name": "m\n1", "seed": 3}},
            "b": {"passages": []},
            "c": {},
        }
        return [Completion(s, s.prompt, details=given[s.id]) for s in samples]


@pytest.fixture
def run(own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    samples = [Sample(name, f"prompt {name}", (f"prompt {name}",)) for name in "abc"]
    return evaluate(samples, generator=Telling(), scorers=["match"]).run.id


def test_details_are_shown_short(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", run]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if line.startswith("  passages: ")]
    assert told[0].startswith("  passages: rank 1 · id p1 · distance 0.5 · text a passage of")
    assert told[5:] == ["  passages: … 7 in all (--json)", "  passages: none"]
    assert all(len(line) == 80 and line.endswith("…") for line in told[:5])
    assert "  model: name m 1 · seed 3" in lines


def test_rows_with_details_are_in_the_json(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", run, "--json", "--rows", "2"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["details"]["passages"] == PASSAGES
    assert rows[0]["scores"]["match"]["value"] == 1.0


def test_details_are_exported_where_there_are_any(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x.csv", "x.jsonl", "x.parquet"):
        assert main(["export", run, "-o", name]) == 0
    with Path("x.csv").open(encoding="utf-8") as handle:
        cells = [row["details"] for row in csv.DictReader(handle)]
    assert json.loads(cells[0])["passages"] == PASSAGES
    assert cells[2] == ""
    lines = [json.loads(line) for line in Path("x.jsonl").read_text("utf-8").splitlines()]
    assert [line["details"] for line in lines] == [json.loads(c) if c else None for c in cells]
    assert list(lines[0]).index("details") < list(lines[0]).index("match")


def test_a_text_commands_nothing_of_the_terminal(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commanding = "\x1b]0;owned\x07 \x1b[2J red\ttwo\nlines\x9b1m \r"
    shown = evaluate([Sample("a", commanding, (commanding,))], generator=Echo(), scorers=["match"])

    assert main(["show", shown.run.id]) == 0
    told = capsys.readouterr().out

    assert not set("\x1b\x07\x9b\r") & set(told)
    assert "�]0;owned� �[2J red\ttwo\nlines�1m" in told


class Echo:
    """Answers with the prompt."""

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, s.prompt) for s in samples]
