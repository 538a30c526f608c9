"""The pairwise judge: both orders always, and a judge that likes a place wins nobody anything."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Completion, DataError, Score, Unscored, Usage
from harness.calls import CallError, CallSettings, Failure, Reply, Request
from harness.fingerprint import digest
from harness.judging import PairwiseJudge, PairwiseSettings
from harness.testing import check_rewarder, completion
from harness.testing.scripted import Answer, Scripted

GOOD = completion("Paris, on the Seine.", "Paris", prompt="Capital of France?", id="a")


def shown(request: Request) -> dict[str, str]:
    pairs = re.findall(r'^<(\S+) code="\w+">(".*")</', request.messages[1].content, re.MULTILINE)
    return {name: json.loads(text) for name, text in pairs}


def prefers(better: Callable[[str, str], bool]) -> Scripted:
    """Says A where `better(a, b)`, B where `better(b, a)`, else tie."""

    def reply(request: Request) -> Answer:
        a, b = shown(request)["answer-A"], shown(request)["answer-B"]
        said = "A" if better(a, b) else "B" if better(b, a) else "tie"
        return {"reason": f"it is {said}", "better": said}

    return Scripted(reply)


LONGER = prefers(lambda a, b: len(a) > len(b))
FIRST = Scripted(lambda _: {"reason": "it came first", "better": "A"})
SECOND = Scripted(lambda _: {"reason": "it came last", "better": "B"})
NEITHER = Scripted(lambda _: {"reason": "alike", "better": "tie"})


def compared(provider: Scripted, answer: Completion = GOOD, **given: object) -> Score:
    settings = PairwiseSettings(**given)  # type: ignore[arg-type]
    judge = PairwiseJudge(provider, settings, CallSettings(tries=1))
    return asyncio.run(judge.judge(answer))


@pytest.mark.parametrize(
    ("provider", "text", "value", "first", "second"),
    [
        (LONGER, "Paris, on the Seine.", 1.0, 1.0, 1.0),
        (LONGER, "Rome", 0.0, 0.0, 0.0),
        (LONGER, "Milan", 0.5, 0.5, 0.5),
        (NEITHER, "Rome", 0.5, 0.5, 0.5),
        (FIRST, "Rome", 0.5, 1.0, 0.0),
        (SECOND, "Rome", 0.5, 0.0, 1.0),
    ],
)
def test_a_win_counts_where_it_stands_in_both_orders(
    provider: Scripted, text: str, value: float, first: float, second: float
) -> None:
    score = compared(provider, replace(GOOD, text=text))
    assert score.value == value
    assert score.parts == {"first": first, "second": second, "flipped": float(first != second)}


@pytest.mark.parametrize("provider", [FIRST, SECOND])
def test_a_judge_that_likes_a_place_gives_ties_and_flips_always(provider: Scripted) -> None:
    scores = [compared(provider, replace(GOOD, text=f"answer {i}")) for i in range(10)]
    assert {score.value for score in scores} == {0.5}
    assert sum(score.parts["flipped"] for score in scores) / len(scores) == 1.0


def test_a_win_in_one_order_and_a_tie_in_the_other_is_a_flip() -> None:
    replies = iter(["A", "tie"])
    provider = Scripted(lambda _: {"reason": "", "better": next(replies)})
    score = compared(provider)
    assert (score.value, sorted(score.parts.values())) == (0.5, [0.5, 1.0, 1.0])


def test_both_orders_are_asked_with_the_verdict_after_the_reason() -> None:
    provider = prefers(lambda a, b: len(a) > len(b))
    score = compared(provider, criteria="brevity")
    pairs = [(f["answer-A"], f["answer-B"]) for f in map(shown, provider.asked)]
    assert sorted(pairs) == sorted([(GOOD.text, "Paris"), ("Paris", GOOD.text)])
    [schema] = {json.dumps(request.schema) for request in provider.asked}
    assert list(json.loads(schema)["properties"]) == ["reason", "better"]
    assert "What counts: brevity." in provider.asked[0].messages[0].content
    assert score.reason == "first: it is A; second: it is B"


def test_one_order_without_a_verdict_leaves_the_pair_without_one_and_both_are_paid() -> None:
    def reply(request: Request) -> Answer:
        if shown(request)["answer-A"] == "Paris":
            return Reply("I must not say", "refusal", Usage(5, 1))
        return Reply('{"reason": "", "better": "A"}', usage=Usage(10, 2))

    score = compared(Scripted(reply))
    assert (score.value, score.unscored) == (None, Unscored.REFUSAL)
    assert (score.usage, len(score.calls)) == (Usage(15, 3), 2)


def test_answers_of_the_same_text_are_a_tie_and_nothing_is_asked() -> None:
    provider = Scripted(failing)
    score = compared(provider, replace(GOOD, text="Paris"))
    assert (score.value, score.parts["flipped"], provider.asked) == (0.5, 0.0, [])


def failing(_: Request) -> Answer:
    raise CallError(Failure.SERVER_ERROR, "500")


def test_a_service_that_is_down_is_the_cause() -> None:
    assert compared(Scripted(failing)).unscored is Unscored.SERVER_ERROR


def test_without_another_answer_nothing_is_asked() -> None:
    provider = prefers(lambda a, b: True)
    score = compared(provider, completion("Paris"))
    assert (score.unscored, score.reason) == (
        Unscored.NO_REFERENCE,
        "the sample has no reference to compare with",
    )
    assert provider.asked == []


# Against the answers of another model


def table(folder: Path, text: str) -> str:
    (folder / "other.csv").write_text(text, "utf-8")
    return str(folder / "other.csv")


def test_answers_of_another_model_are_found_by_the_samples_id(tmp_path: Path) -> None:
    against = table(tmp_path, "id,completion,finish\na,It is Paris.,stop\nb,,stop\nc,,error\n")
    provider = prefers(lambda a, b: len(a) > len(b))
    assert compared(provider, against=against).value == 1.0
    asked = shown(provider.asked[0])
    assert (asked["reference"], asked["answer-B"]) == ("Paris", "It is Paris.")
    empty = replace(GOOD, sample=replace(GOOD.sample, id="b"))
    assert compared(provider, empty, against=against).value == 1.0, "an empty answer is one"
    for name in ("c", "d"):
        missing = replace(GOOD, sample=replace(GOOD.sample, id=name))
        score = compared(provider, missing, against=against)
        assert score.unscored is Unscored.NO_REFERENCE


def test_the_columns_can_be_named(tmp_path: Path) -> None:
    against = table(tmp_path, "key,said\na,It is Paris.\n")
    score = compared(LONGER, against=against, against_id="key", against_answer="said")
    assert score.value == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,completion\na,x\na,y\n", "row 2.*the id 'a' is there twice; keep one answer each"),
        ("id,text\na,x\n", "no column 'completion'"),
        ("name,completion\na,x\n", "no column 'id'"),
        ("id,completion\n", "no rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        compared(LONGER, against=table(tmp_path, text))
    with pytest.raises(DataError, match="there is no file"):
        compared(LONGER, against=str(tmp_path / "none.csv"))


def test_the_identity_changes_with_criteria_and_the_other_answers(tmp_path: Path) -> None:
    def identity(**given: object) -> str:
        settings = PairwiseSettings(**given)  # type: ignore[arg-type]
        return digest(PairwiseJudge(FIRST, settings).identity())

    one = identity(against=table(tmp_path, "id,completion\na,x\n"))
    moved = tmp_path / "moved.csv"
    moved.write_text("completion,id\nx,a\n")
    assert identity(against=str(moved)) == one
    others = [
        identity(),
        identity(criteria="brevity"),
        identity(against=table(tmp_path, "id,completion\na,y\n")),
    ]
    assert len({one, *others}) == 4


def test_it_keeps_the_promises_of_a_scorer() -> None:
    batch = [replace(GOOD, text="x" * i) for i in range(3, 8)]
    scores = check_rewarder(PairwiseJudge(LONGER, PairwiseSettings()), batch)
    assert [score.value for score in scores] == [0.0, 0.0, 0.5, 1.0, 1.0]
