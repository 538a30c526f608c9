"""A run as the table of the class LLMEvaluation: 16 columns, and nothing in them made up."""

from __future__ import annotations

import csv
import functools
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from harness import (
    Completion,
    Component,
    Evaluation,
    Generator,
    HarnessError,
    Judge,
    Sample,
    Score,
    Unscored,
    evaluate,
    hookimpl,
)
from harness.cli import main
from harness.data.tables import read_table
from harness.llm_evaluation import COLUMNS, llm_evaluation_table
from harness.testing import installed

if TYPE_CHECKING:
    from tests.harness.conftest import Launcher

# As the class's evaluate_model writes them, in its order.
NAMES = (
    "Timestamp,Prompt,Ground Truth,Generated Response,Temperature,Max Tokens,Top P,"
    "Frequency Penalty,Presence Penalty,Score,Classification,Model Name,Dataset Size,"
    "GPT Eval Model,Scoring Reason,Experiment_ID"
)


@dataclass(frozen=True)
class Sampling:
    model: str = "tiny"
    temperature: float | None = None
    max_tokens: int = 150
    top_p: float = 1.0
    presence_penalty: float = 0.5


class Echo:
    """Answers with the prompt in capitals; fails on an empty one."""

    def __init__(self, settings: Sampling) -> None:
        self.settings = settings

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [
            Completion(s, s.prompt.upper(), "stop" if s.prompt else "error", attempt=attempt)
            for s in samples
        ]


@dataclass(frozen=True)
class Grading:
    model: str = "grader-1"


class Grader:
    """A level of 4 on a scale from 0 to 5; refuses what is rude."""

    def __init__(self, settings: Grading) -> None:
        self.settings = settings

    async def judge(self, completion: Completion) -> Score:
        if completion.text == "RUDE":
            return Score.missing(Unscored.REFUSAL, "I would rather not")
        return Score(0.8, parts={"score": 4.0}, reason="close to the reference")


@hookimpl
def harness_generators() -> Iterator[Component[Generator]]:
    yield Component("echo", build=Echo, settings=Sampling)


@hookimpl
def harness_judges() -> Iterator[Component[Judge]]:
    yield Component("grader", build=Grader, settings=Grading)


@pytest.fixture
def plugin() -> Iterator[None]:
    hooks = SimpleNamespace(harness_generators=harness_generators, harness_judges=harness_judges)
    with installed(hooks):
        yield


SAMPLES = [
    Sample("a", "hello", ("HELLO",), {"classification": "GREETING"}),
    Sample("b", "rude", ("x", "y")),
    Sample("c", "", ()),
]


def judged(*scorers: str, samples: Sequence[Sample] = SAMPLES, repeats: int = 1) -> Evaluation:
    return evaluate(
        samples,
        generator="echo:temperature=0.5",
        scorers=scorers,
        max_unscored=0.9,
        repeats=repeats,
        store="sqlite://",
    )


def table(result: Evaluation, scorer: str | None = None) -> list[dict[str, object]]:
    return list(llm_evaluation_table(result.run, result.rows(), scorer))


def test_the_columns_are_those_of_the_class() -> None:
    assert ",".join(COLUMNS) == NAMES


@pytest.mark.usefixtures("plugin")
def test_every_cell_comes_from_the_run() -> None:
    before = int(time.time())
    result = judged("grader:model=grader-2")
    answered, refused, failed = table(result)
    stamp = datetime.strptime(str(answered["Timestamp"]), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    assert before <= stamp.timestamp() <= time.time()
    assert {name: answered[name] for name in COLUMNS[1:]} == {
        "Prompt": "hello",
        "Ground Truth": "HELLO",
        "Generated Response": "HELLO",
        "Temperature": 0.5,
        "Max Tokens": 150,
        "Top P": 1.0,
        "Frequency Penalty": None,
        "Presence Penalty": 0.5,
        "Score": 4.0,
        "Classification": "GREETING",
        "Model Name": "tiny",
        "Dataset Size": 3,
        "GPT Eval Model": "grader-2",
        "Scoring Reason": "close to the reference",
        "Experiment_ID": result.run.id,
    }
    assert refused["Score"] is None
    assert refused["Scoring Reason"] == "unscored (refusal): I would rather not"
    assert json.loads(str(refused["Ground Truth"])) == ["x", "y"]
    assert [refused["Classification"], failed["Generated Response"]] == [None, None]
    assert [failed["Ground Truth"], failed["Score"]] == [None, None]
    assert failed["Scoring Reason"] == "unscored (no_completion)"


@pytest.mark.usefixtures("plugin")
def test_a_size_is_of_samples_however_often_each_is_asked() -> None:
    rows = table(judged("grader", samples=SAMPLES[:2], repeats=3))
    assert [row["Dataset Size"] for row in rows] == [2] * 6


@pytest.mark.usefixtures("plugin")
def test_the_only_judge_is_meant_or_the_one_that_is_named() -> None:
    result = judged("match", "f=match:mode=f1", "grader")
    assert table(result)[0]["Score"] == 4.0
    named = table(result, "f")[0]
    assert (named["Score"], named["GPT Eval Model"]) == (1.0, None)
    with pytest.raises(HarnessError, match=r"no one scorer 'g'; there are: match, f, grader"):
        table(result, "g")
    result = judged("grader", "grader:model=other")
    for scorer in (None, "grader:"):
        with pytest.raises(HarnessError, match=r"grader, grader:model=other"):
            table(result, scorer)
    assert table(result, "grader:model=other")[0]["GPT Eval Model"] == "other"


def test_what_has_no_model_and_no_settings_leaves_its_cells_empty() -> None:
    samples = [Sample("a", "p", ("x",), {"completion": "x"})]
    result = evaluate(samples, generator="recorded", scorers=["match"], store="sqlite://")
    (row,) = table(result)
    empty = ("Temperature", "Max Tokens", "Top P", "Model Name", "GPT Eval Model")
    assert [row[name] for name in empty] == [None] * 5
    assert row["Score"] == 1.0


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_command_writes_it(here: Path, suffix: str, own_store: Path) -> None:
    result = evaluate(SAMPLES, generator="echo", scorers=["grader"], max_unscored=0.9)
    assert main(["export", "last", "-o", f"t.{suffix}", "--columns", "llm-evaluation"]) == 0
    rows = [row.values for row in read_table(f"t.{suffix}")]
    assert tuple(rows[0]) == COLUMNS
    assert {row["Experiment_ID"] for row in rows} == {result.run.id}
    assert [None if r["Score"] is None else float(str(r["Score"])) for r in rows] == [4, None, None]


def test_what_the_command_cannot_do_is_one_line(here: Path, launcher: Launcher) -> None:
    harness: Callable[..., subprocess.CompletedProcess[str]]
    harness = functools.partial(launcher.run, here, "harness")
    Path("a.csv").write_text("answer,truth\n2,2\n")
    score = ["score", "a.csv", "--completion", "answer", "--reference", "truth", "--scorer"]
    assert harness(*score, "match", "match:mode=f1").returncode == 0
    export = ["export", "last", "-o", "t.csv"]
    done = harness(*export, "--columns", "llm-evaluation")
    assert "has 2 scorers; choose one with --scorer: match, match:mode=f1" in done.stderr
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = harness(*export, "--scorer", "match")
    assert "--scorer goes with --columns llm-evaluation" in done.stderr
    assert not Path("t.csv").exists()
    done = harness(*export, "--columns", "llm-evaluation", "--scorer", "match:mode=f1")
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(Path("t.csv").read_text().splitlines())
    assert (row["Generated Response"], row["Score"], row["Prompt"]) == ("2", "1.0", "")
