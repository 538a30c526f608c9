"""Scorers as reward functions: the columns of TRL's batches become samples and completions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from harness import Completion, HarnessError, PluginError, Sample, Score, Unscored, scorer
from harness.adapters import as_reward_func

QUESTIONS = ["Who?", "What?", "Where?"]
ANSWERS = ["a cat", "", "on the mat"]


@dataclass
class Keeps:
    """Keeps what it is given; an empty answer is unscored."""

    batches: list[list[Completion]] = field(default_factory=list)
    name: str = "keeps"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.batches.append(list(completions))
        refused = Score.missing(Unscored.REFUSAL, "empty")
        return [Score(float(len(c.text))) if c.text else refused for c in completions]


def messages(*pairs: tuple[str, object]) -> list[dict[str, object]]:
    return [{"role": role, "content": content} for role, content in pairs]


def test_a_batch_is_scored_in_one_call_as_a_direct_call_would() -> None:
    truths = ["the black cat", "a dog", "on a mat"]
    reward = as_reward_func("match:mode=f1")
    ids = [[1], [2], [3]]

    values = reward(prompts=QUESTIONS, completions=ANSWERS, completion_ids=ids, reference=truths)

    rows = zip(QUESTIONS, truths, ANSWERS, strict=True)
    direct = [Completion(Sample("x", q, (t,)), a) for q, t, a in rows]
    assert values == [score.value for score in scorer("match:mode=f1").score(direct)]
    assert len(set(values)) == 3
    assert reward.__name__ == "match:mode=f1"
    assert as_reward_func("f=match:mode=f1").__name__ == "f"


def test_what_has_no_score_is_none_and_counted_never_zero() -> None:
    keeps, told = Keeps(), dict[str, float]()
    reward = as_reward_func(keeps, references=None)

    values = reward(
        prompts=QUESTIONS,
        completions=ANSWERS,
        completion_ids=None,
        trainer_state=object(),
        log_extra=print,
        log_metric=told.__setitem__,
    )

    assert values == [5.0, None, 10.0]
    assert told == {"unscored/keeps": 1.0}
    assert len(keeps.batches) == 1


def test_references_are_a_text_a_list_or_none_in_one_column_or_several() -> None:
    keeps = Keeps()
    columns = {"one": ["a", None, "b"], "many": [["c", "d"], [], ("e",)]}

    as_reward_func(keeps, references=["one", "many"])(QUESTIONS, ANSWERS, **columns)  # type: ignore[arg-type]

    found = [completion.sample.references for completion in keeps.batches[0]]
    assert found == [("a", "c", "d"), (), ("b", "e")]


def test_prompt_and_metadata_come_from_columns() -> None:
    keeps = Keeps()
    reward = as_reward_func(keeps, references=None, prompt="question", metadata=["level"])

    reward(["[INST] Who?"], ["I"], question=["Who?"], level=[3], other=[4])

    assert keeps.batches[0][0].sample == Sample("0", "Who?", (), {"level": 3})


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (messages(("user", "Who?")), "Who?"),
        (messages(("system", "Be brief."), ("user", "Who?")), "Who?"),
        (messages(("user", [{"type": "image"}, {"type": "text", "text": "Who?"}])), "Who?"),
        (
            messages(("user", "Hi"), ("assistant", "Hello"), ("user", "Who?")),
            "user: Hi\nassistant: Hello\nuser: Who?",
        ),
    ],
)
def test_the_prompt_of_a_conversation_is_its_question(
    prompt: list[dict[str, object]], expected: str
) -> None:
    keeps = Keeps()

    as_reward_func(keeps, references=None)([prompt], [messages(("assistant", "I"))])

    assert keeps.batches[0][0].sample.prompt == expected
    assert keeps.batches[0][0].text == "I"


def test_tools_in_a_conversation_are_no_answer() -> None:
    keeps = Keeps()
    turns = messages(("assistant", None), ("tool", "42"), ("assistant", "It is 42."))

    as_reward_func(keeps, references=None)(["Who?"], [turns])

    assert keeps.batches[0][0].text.strip() == "It is 42."


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"answer": ["a"], "level": [1]}, r"no column 'reference'; its columns: answer, level\."),
        ({"trainer_state": object()}, "its columns: none but the prompts"),
        ({"reference": [3]}, "row 0 of the batch has the references 3"),
        ({"reference": [["a", None]]}, r"references \['a', None\]"),
    ],
)
def test_columns_that_cannot_be_used_are_named(columns: dict[str, object], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        as_reward_func("match")(["Who?"], ["I"], **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [7, [{"content": "x"}], ["text"]])
def test_what_is_no_text_and_no_conversation_is_refused(given: object) -> None:
    with pytest.raises(HarnessError, match="messages"):
        as_reward_func("match", references=None)([given], ["I"])


def test_an_unknown_scorer_is_refused_before_any_training() -> None:
    with pytest.raises(PluginError, match="matsch"):
        as_reward_func("matsch")


def test_no_training_library_is_imported() -> None:
    code = "import sys, harness.adapters; sys.exit(bool({'trl', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
