"""Rubrics: what a file says, what answers are worth, and that every mistake is named."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError
from harness.judging import Rubric, load_rubric
from harness.judging.prompt import schema
from harness.judging.rubric import SHIPPED
from harness.judging.rubric_file import parsed

NAMES = ["score", "score-free", "criteria"]

TWO = """
reference = "none"
instructions = "Be strict."
reason_words = 20

[[questions]]
name = "polite"
kind = "predicate"
question = "Is it polite?"
weight = 1

[[questions]]
name = "depth"
kind = "choice"
question = "How deep is it?"
weight = 3
values = [0, 0.9, 1]

[questions.choices]
shallow = "Says what everybody knows."
sound = "Gives a cause."
deep = "Gives causes and limits."
"""


def written(folder: Path, text: str) -> Rubric:
    (folder / "mine.toml").write_text(text, "utf-8")
    return load_rubric(str(folder / "mine.toml"))


def test_the_default_has_six_anchored_levels_against_a_reference_and_a_short_reason() -> None:
    rubric = load_rubric("score")
    [question] = rubric.questions
    assert (question.name, question.kind, rubric.reason_words) == ("score", "score", 12)
    assert [option.answer for option in question.options] == [0, 1, 2, 3, 4, 5]
    assert [option.level for option in question.options] == [0, 1, 2, 3, 4, 5]
    assert rubric.reference == "required"


@pytest.mark.parametrize("name", NAMES)
def test_shipped_rubrics_run_from_the_worst_to_the_best_and_anchor_each_answer(name: str) -> None:
    rubric = load_rubric(name)
    for question in rubric.questions:
        values = [option.value for option in question.options]
        assert values == sorted(values)
        assert (values[0], values[-1]) == (0.0, 1.0)
        assert all(option.text for option in question.options)
    assert rubric.instructions


def test_all_shipped_rubrics_are_tested() -> None:
    assert sorted(path.stem for path in SHIPPED.iterdir()) == sorted(NAMES)


def test_a_value_is_the_weighted_mean_and_levels_are_raw(tmp_path: Path) -> None:
    rubric = written(tmp_path, TWO)
    shares = {"polite": (0.0, 1.0), "depth": (0.0, 1.0, 0.0)}
    value, levels = rubric.graded(shares)
    assert levels == {"polite": 1, "depth": 1}
    assert value == pytest.approx((1 * 1 + 3 * 0.9) / 4)
    halves = {"polite": (0.5, 0.5), "depth": (0.5, 0.0, 0.5)}
    value, levels = rubric.graded(halves)
    assert levels == {"polite": 0.5, "depth": 1.0}
    assert value == pytest.approx(0.5)


def test_a_predicate_whose_no_is_good_is_worth_something_for_no(tmp_path: Path) -> None:
    text = '[[questions]]\nname = "rude"\nkind = "predicate"\nquestion = "Rude?"\ngood = "no"\n'
    rubric = written(tmp_path, text)
    yes, no = (rubric.questions[0].shares_of(answer) for answer in ("yes", "no"))
    assert rubric.graded({"rude": yes}) == (0.0, {"rude": 1.0})
    assert rubric.graded({"rude": no}) == (1.0, {"rude": 0.0})


@given(levels=st.sets(st.integers(-999, 999), min_size=2, max_size=6))
def test_levels_of_any_range_become_values_from_0_to_1_in_proportion(levels: set[int]) -> None:
    lines = "\n".join(f'"{level}" = "at {level}"' for level in levels)
    text = '[[questions]]\nname = "n"\nkind = "score"\nquestion = "?"\n[questions.levels]\n' + lines
    [question] = parsed("levels.toml", tomllib.loads(text)).questions
    assert [o.answer for o in question.options] == sorted(levels)
    low, high = min(levels), max(levels)
    for option in question.options:
        assert option.value * (high - low) == pytest.approx(float(option.answer) - low)


def test_the_digest_changes_with_every_word_and_not_with_the_file(tmp_path: Path) -> None:
    rubric = written(tmp_path, TWO)
    moved = tmp_path / "elsewhere.toml"
    moved.write_text("# a comment\n" + TWO, "utf-8")
    assert load_rubric(str(moved)).digest == rubric.digest
    for old, new in [("strict", "fair"), ("polite?", "nice?"), ("a cause", "one"), ("0.9", "0.8")]:
        assert written(tmp_path, TWO.replace(old, new)).digest != rubric.digest
    assert replace(rubric, reason_words=13).digest != rubric.digest


def test_a_schema_has_the_reason_before_its_verdict_and_nothing_else(tmp_path: Path) -> None:
    two = schema(written(tmp_path, TWO))
    keys = ["polite_reason", "polite", "depth_reason", "depth"]
    properties = two["properties"]
    assert isinstance(properties, dict)
    assert list(properties) == two["required"] == keys
    assert two["additionalProperties"] is False
    assert properties["polite"] == {"type": "string", "enum": ["no", "yes"]}
    one = schema(load_rubric("score"), reason_chars=60)["properties"]
    assert isinstance(one, dict)
    assert list(one) == ["reason", "score"]
    assert one["score"] == {"type": "integer", "enum": [0, 1, 2, 3, 4, 5]}
    assert one["reason"]["maxLength"] == 60


def test_more_levels_than_a_judge_can_tell_apart_are_warned_of(tmp_path: Path) -> None:
    lines = "\n".join(f'{level} = "at {level}"' for level in range(7))
    text = '[[questions]]\nname = "n"\nkind = "score"\nquestion = "?"\n[questions.levels]\n' + lines
    with pytest.warns(UserWarning, match=r"mine.toml: question 'n': 7 levels are more"):
        written(tmp_path, text)


HEAD = '[[questions]]\nname = "n"\nkind = "KIND"\nquestion = "?"\n'
SCORE, CHOICE, YES = (HEAD.replace("KIND", kind) for kind in ("score", "choice", "predicate"))
GOOD = SCORE + 'levels = {0 = "bad", 1 = "good"}\n'

MISTAKES = {
    "x = 1": "mine.toml: no key 'x'. It takes: reference, instructions",
    "refrence = 'none'\n" + GOOD: "no key 'refrence'; did you mean 'reference'?",
    "a = ": "mine.toml: cannot be read as TOML: Invalid value",
    "": "the key 'questions' is missing; write [[questions]] over",
    "questions = 3": "questions is 3; write [[questions]]",
    "questions = [1]": "questions is [1]; write [[questions]]",
    "reference = 'maybe'\n" + GOOD: "reference is 'maybe'; choose one of required, optional, none",
    "reason_words = 0\n" + GOOD: "reason_words is 0; write a whole number, 1 or more",
    "reason_words = true\n" + GOOD: "reason_words is True; write a whole number",
    "instructions = ['a']\n" + GOOD: "instructions is ['a']; write a text in quotes",
    "[[questions]]\nkind = 'score'": "question 1: the key 'name' is missing",
    "[[questions]]\nname = 'n'": "question 'n': the key 'kind' is missing; choose one of predicate",
    HEAD: "question 'n': kind is 'KIND'; choose one of predicate, choice, score",
    SCORE: "question 'n': the key 'levels' is missing; write a table of two or more: INTEGER",
    SCORE + 'levels = {0 = "bad"}': "question 'n': levels is {'0': 'bad'}; write a table of two",
    SCORE + 'levels = {0 = "bad", one = "good"}': "question 'n': levels: 'one' is no INTEGER",
    SCORE + 'levels = {0 = "a", 00 = "b"}': "question 'n': levels: '00' is no INTEGER",
    SCORE + 'levels = {0 = "bad", 1 = ""}': "question 'n': levels: 1 is ''; write a text",
    SCORE + 'levels = {0 = "bad", 1 = 2}': "question 'n': levels: 1 is 2; write a text",
    SCORE + 'choices = {a = "x", b = "y"}': "question 'n': no key 'choices'. It takes: name, kind",
    CHOICE + 'choices = {a = "x"}': "question 'n': choices is {'a': 'x'}; write a table of two",
    CHOICE + 'choices = {a = "x", "b\\"" = "y"}': "choices: 'b\"' is no NAME (letters",
    CHOICE + 'values = [0]\nchoices = {a = "x", b = "y"}': "values is [0]; write a number in 0..1",
    CHOICE + 'values = [0, 2]\nchoices = {a = "x", b = "y"}': "values is [0, 2]; write a number",
    CHOICE + 'values = [0, true]\nchoices = {a = "x", b = "y"}': "values is [0, True]; write",
    CHOICE + 'values = [0, nan]\nchoices = {a = "x", b = "y"}': "values is [0, nan]; write",
    CHOICE + 'values = [1, 0]\nchoices = {a = "x", b = "y"}': "name the worst choice first",
    CHOICE + 'values = [1, 1]\nchoices = {a = "x", b = "y"}': "values is [1, 1]; write",
    YES + "good = 'maybe'": "question 'n': good is 'maybe'; choose one of yes, no",
    YES + "weight = 0": "question 'n': weight is 0; write a number above 0",
    YES + "weight = inf": "question 'n': weight is inf; write a number above 0",
    YES + "weight = true": "question 'n': weight is True; write a number above 0",
    YES + YES: "question 'n': that name is taken",
    YES.replace('"n"', '"reason"'): "question 'reason': that name is taken",
    YES.replace('"n"', '"code"'): "question 'code': that name is taken",
    YES + YES.replace('"n"', '"n_reason"'): "question 'n_reason': that name is taken",
    YES.replace('"n"', '"Is it?"'): "question 'Is it?': name is 'Is it?'; write small letters",
}


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_named_with_file_question_key_and_remedy(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError) as raised:
        written(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "mine.toml"))
    assert MISTAKES[text] in str(raised.value)


def test_a_rubric_that_is_nowhere_tells_the_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no rubric 'scor'; name a TOML file, or one of criteria"):
        load_rubric("scor")
    with pytest.raises(DataError, match="no rubric"):
        load_rubric(str(tmp_path))
    written(tmp_path, TWO)
    with pytest.raises(DataError, match=r"mine'; name \S+mine.toml"):
        load_rubric(str(tmp_path / "mine"))


def test_bytes_that_are_no_text_are_a_mistake_too(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as TOML"):
        load_rubric(str(tmp_path / "mine.toml"))
