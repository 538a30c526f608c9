"""Names, answers and reasons of others command nothing of the terminal that shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import Completion, Sample, Score, Unscored, evaluate
from harness.cli import main
from harness.report import plain_table, results_table

ACTS = "\x1b]0;owned\x07\x1b[31m\x9b2J"
SHOWN = "�]0;owned��[31m�2J"


@dataclass(frozen=True)
class Answers:
    """Answers with what acts on a terminal, and is called so."""

    name: str = f"answers{ACTS}"

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, ACTS, attempt=attempt) for s in samples]


@dataclass(frozen=True)
class Scores:
    """Scores all but the first sample, with reasons that act."""

    name: str = f"scores{ACTS}"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        first = Score.missing(Unscored.REFUSAL, ACTS)
        return [first if c.sample.id[0] == "0" else Score(1.0, reason=ACTS) for c in completions]


def test_nothing_that_is_recorded_reaches_a_terminal_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "store.db")
    samples = [Sample(f"{n}{ACTS}", f"{n}{ACTS}", (ACTS,)) for n in range(4)]
    run = evaluate(
        samples,
        generator=Answers(),
        scorers=[Scores()],
        name=f"run{ACTS}",
        max_unscored=0.5,
        store=store,
    )
    assert SHOWN in str(run)
    assert "\x1b" not in str(run)
    for command in (["runs"], ["show", "last", "--rows", "4"]):
        main([*command, "--store", store])
        said = "".join(capsys.readouterr())
        assert "�[31m" in said, command
        assert not {"\x1b", "\x07", "\x9b"} & set(said), command


def test_an_error_names_what_was_given_without_obeying_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["score", f"{ACTS}.csv", "--scorer", "match", "--completion", "a"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_ids_in_an_index_are_shown_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [{"id": f"{n}{ACTS}", "embedding": [1, n]} for n in range(2)]
    (tmp_path / "points.jsonl").write_text("\n".join(map(json.dumps, points)))
    index = f"local:path={tmp_path / 'index'}"
    assert main(["index", "load", index, str(tmp_path / "points.jsonl"), "--create"]) == 0
    assert main(["index", "query", index, "--id", f"0{ACTS}", "-k", "2"]) == 0
    said = capsys.readouterr().out
    assert SHOWN in said
    assert "\x1b" not in said


def test_labels_are_text_and_no_markup_of_a_table() -> None:
    figures = {"low": 0.0, "high": 1.0, "mean": 0.5, "n": 2, "unscored": 0}
    result = {"name": "a", "generator": "[bold]g[/bold]", "scorers": {"[/x]": figures}}
    table = results_table([result])
    assert "[bold]g[/bold]" in table
    assert "[/x]" in table
    assert "\x1b" not in plain_table(["head"], [[ACTS]])
