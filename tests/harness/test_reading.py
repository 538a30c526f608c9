"""Reading verdicts: no malformed reply crashes, and none becomes a number that it did not say."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.calls import Reply, Token, Unreadable
from harness.judging import Rubric, load_rubric
from harness.judging.reading import Verdict, read_verdict
from harness.judging.rubric import Option, Question
from harness.judging.weighting import NoWeights, weigh, weighable

SCORE, SEVERAL = load_rubric("score"), load_rubric("criteria")
CODE = "12ab34cd"
RIGHT = '{"reason": "agrees", "score": 4}'
CODED = '{"code": "12ab34cd", "reason": "agrees", "score": 4}'
ALL = {
    "correct_reason": "a", "correct": 3, "complete_reason": "b", "complete": "part",
    "padded_reason": "c", "padded": "no",
}  # fmt: skip


def said(text: str, code: str | None = None, rubric: Rubric = SCORE) -> Mapping[str, str | int]:
    return read_verdict(text, rubric, code).answers


# What follows says no score, or says it where a model bound by a schema cannot say it. `S` stands
# for the score's value, the text after it.
VALUES = [
    "6", "-1", "-0.5", "7", "10", "05", "00", "+4", "4.", ".4e1", "4.5", "3.9999999999999999999",
    "4.0000000000000000000000001", "1e400", "-1e400", "1e1000000000", "1e99999999999999999999",
    "0x4", "4_0", "4,5", "1/2", "4/5", "NaN", "-NaN", "nan", "Infinity", "-Infinity", "inf",
    "true", "false", "null", "True", "None", '"4"', '"four"', '"5/5"', '""', "'4'", "[4]", "[]",
    "[[4]]", '{"value": 4}', "{}", '{"score": 4}', "four", "4 points", "4%", "٤", "４", "²",
    '"\u0664"', "9" * 5000, "-" + "9" * 5000, "0." + "9" * 5000, "[" * 3000, "[" * 100_000,
    '{"a":' * 100_000, "", " ", "\x00", "4\x00", "4\u200b", "\ufeff4", "4;", "4 // sure", "4 /* */",
]  # fmt: skip
WHOLE = [
    "", " ", "\n", "4", "5", '"5"', "true", "null", "NaN", "[]", "[4]", "{}", "{", "}", "{{}}",
    '{"score": 4}', '{"reason": "agrees"}', '{"Reason": "a", "Score": 4}', "not JSON", "<html>",
    '{"reason": "a", "score": 4', '{"reason": "a", "score": 4]', '{"reason": "a", "score"',
    '{"reason": "a", "score":', '{"reason": "a", "sco', '{"reason": "a', '{"rea', '{"',
    '{"reason": "a", "score": 4,}', '{"reason": "a",, "score": 4}', '{,"reason": "a", "score": 4}',
    '{"reason" "a", "score": 4}', '{"reason": "a" "score": 4}', '{"reason"= "a", "score"= 4}',
    "{'reason': 'a', 'score': 4}", "{reason: 'a', score: 4}", '{"reason": "a\nb", "score": 4}',
    '{"reason": "a\tb", "score": 4}', '{"reason": "a\\x", "score": 4}',
    '{"reason": "a\\u12", "score": 4}', '{"reason": "he said "good"", "score": 4}',
    '{"score": 4, "reason": "a", "score": 5}', '{"score": 4, "score": 4, "reason": "a"}',
    '{"reason": "a", "score": 4, "reason": "b"}', '{"reason": "a", "score": 4, "sure": true}',
    '{"reason": {"a": 1, "a": 2}, "score": 4}', '{"reason": null, "score": 4}',
    '{"reason": 4, "score": 4}', '{"reason": ["a"], "score": 4}', '{"reason": true, "score": 4}',
    '{"verdict": {"reason": "a", "score": 4}}', '[{"reason": "a", "score": 4}]',
    '{"reason": "a", "score": 4, "inner": {"reason": "b", "score": 5}}',
    '{"reason": {"reason": "a", "score": 4}}', '"{\\"reason\\": \\"a\\", \\"score\\": 4}"',
    RIGHT + RIGHT, RIGHT + "\n" + RIGHT, RIGHT + "}", "{" + RIGHT, RIGHT + ",", RIGHT + ";",
    RIGHT + " Thanks!", "Here you are: " + RIGHT, f"```json\n{RIGHT}\n```", f"```\n{RIGHT}```",
    f"~~~\n{RIGHT}\n~~~", "\ufeff" + RIGHT, RIGHT + "\x00", "\x00" + RIGHT, "\u00a0" + RIGHT,
    f"<think>hm</think>{RIGHT}", f"<answer>{RIGHT}</answer>", f"({RIGHT})", f"'{RIGHT}'",
    f'json {RIGHT}', f"// verdict\n{RIGHT}", f"{RIGHT} // verdict", f"{RIGHT} {{", "score: 4",
    "reason: agrees\nscore: 4", "**Score:** 4/5", "4 out of 5", "I'd give it a 4.", "\\boxed{4}",
    "<score>4</score>", "score=4", "Score 4. Reason: agrees", "$ERROR$", "undefined", "-1",
    '{"reason": "a", "score": 4}{"reason": "b", "score": 5}',
    '{"reason": "it says {"reason": "x", "score": 5}", "score": 1}',
    '{"reason": "x"} {"score": 4}', '{"choices": []}', '{"error": {"message": "quota"}}',
    '{"\\u0000": 1, "reason": "a", "score": 4}', '{"reason": "a", " score": 4}',
    '{"reason": "a", "score ": 4}', '{"reason": "a", "scоre": 4}', '{"reason": "a", "": 4}',
    "{\u201creason\u201d: \u201ca\u201d, \u201cscore\u201d: 4}", CODED,
]  # fmt: skip
MALFORMED = [*(f'{{"reason": "agrees", "score": {value}}}' for value in VALUES), *WHOLE]

# The same, and more, for a model that no schema binds: its verdict has the request's code.
LOOSE = [
    "", "4", RIGHT, f"```json\n{RIGHT}\n```", "Here: " + RIGHT, CODED[:-1], CODED[1:], CODED[:20],
    CODED.replace(CODE, "12ab34ce"), CODED.replace(CODE, ""), CODED.replace(f'"{CODE}"', "1"),
    CODED.replace(CODE, "12AB34CD"), CODED.replace('"code"', '"Code"'),
    CODED + CODED.replace("4}", "5}"), CODED + "\nor rather\n" + CODED.replace("4}", "3}"),
    CODED.replace("4}", "9}") + CODED, CODED + CODED.replace("4}", "9}"),
    CODED + f'{{"code": "{CODE}"}}', f'{{"code": "{CODE}", "score": 5}}',
    f'{{"verdict": {CODED}}}', f'{{"a": 1, "b": {CODED}', f'{{"x" {CODED}}}',
    json.dumps(CODED), f"'{{' \"reason\" {CODED[1:]}", CODED.replace("4}", '4, "sure": 1}'),
    CODED.replace('"agrees"', f'"he wrote {CODED}"'), CODED.replace("4}", "4, \"code\": \"x\"}"),
    f"<think>{CODED}</think>", f"<think>{CODED}</think> I cannot decide.",
]  # fmt: skip


def test_there_are_more_than_two_hundred_by_hand() -> None:
    assert len({*MALFORMED}) + len({*LOOSE}) + len({*VALUES}) >= 250


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_reply_is_unreadable_and_the_model_is_told_why(text: str) -> None:
    with pytest.raises(Unreadable) as raised:
        said(text)
    told = str(raised.value)
    assert told
    assert len(told) < 250, "it goes back to the model"
    told.encode()


@pytest.mark.parametrize("text", LOOSE, ids=range(len(LOOSE)))
def test_a_reply_that_no_schema_bound_needs_its_code_and_one_verdict(text: str) -> None:
    with pytest.raises(Unreadable):
        said(text, CODE)


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_what_is_off_the_menu_is_off_it_without_a_schema_too(value: str) -> None:
    with pytest.raises(Unreadable):
        said(f'Verdict: {{"code": "{CODE}", "reason": "a", "score": {value}}}', CODE)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (RIGHT, 4),
        (f" \r\n\t{RIGHT}\n", 4),
        ('{"score": 0, "reason": ""}', 0),
        ('{"reason":"a","score":4.0}', 4),
        ('{"reason":"a","score":0.4e1}', 4),
        ('{"reason":"a","score":-0}', 0),
        ('{"\\u0072eason":"a","score":5}', 5),
        ('{"reason":"a \\"score\\": 5} {\\"score\\": 5","score":1}', 1),
        ('{"reason":"\\ud800 half a pair","score":2}', 2),
    ],
)
def test_what_is_said_in_valid_json_is_read(text: str, score: int) -> None:
    assert said(text) == {"score": score}
    read_verdict(text, SCORE).reason.encode()


@pytest.mark.parametrize(
    "text",
    [
        CODED,
        f"```json\n{CODED}\n```",
        f"Weighing {{accuracy}} and \\frac{{1}}{{2}}:\n{CODED}\nI hope that helps {{}}.",
        f'The answer has {{"reason": "perfect", "score": 5}} in it.\n{CODED}',
        f"{CODED}\nOnce more:\n{CODED}",
        f"<think>5? {CODED.replace('4}', '5}')} no.</think>{CODED}",
        f"[{CODED}]",
        f"{{ {CODED}",
    ],
)
def test_without_a_schema_the_verdict_may_stand_in_prose(text: str) -> None:
    assert said(text, CODE) == {"score": 4}


def test_a_reason_that_is_too_long_is_cut() -> None:
    long = json.dumps({"reason": "one " * 40, "score": 4})
    assert read_verdict(long, SCORE).reason == " ".join(["one"] * 12) + " …"
    endless = json.dumps({"reason": "字" * 10_000, "score": 4})
    assert len(read_verdict(endless, SCORE).reason) < 500
    whole = json.dumps({"reason": "exactly " * 12, "score": 4})
    assert read_verdict(whole, SCORE).reason == " ".join(["exactly"] * 12)


def test_several_questions_each_have_a_reason_and_an_answer() -> None:
    verdict = read_verdict(json.dumps(ALL), SEVERAL)
    assert verdict.answers == {"correct": 3, "complete": "part", "padded": "no"}
    assert verdict.reason == "correct: a; complete: b; padded: c"


@pytest.mark.parametrize("key", ALL)
def test_every_key_is_needed_and_each_answer_is_on_its_own_menu(key: str) -> None:
    less = {name: value for name, value in ALL.items() if name != key}
    with pytest.raises(Unreadable, match=f'the key "{key}" is missing'):
        said(json.dumps(less), rubric=SEVERAL)
    for other in (4, "Part", "parts", "NO", True, None, ["no"]):
        if not (key.endswith("reason") and isinstance(other, str)):
            with pytest.raises(Unreadable, match=f'"{key}" is '):
                said(json.dumps({**ALL, key: other}), rubric=SEVERAL)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["reason", "score", "code", "Score", "x"]) | st.text(max_size=3)
LIKE = st.lists(st.tuples(KEYS, JSON | st.integers(-1, 6) | st.just(CODE)), max_size=5)


def written(pairs: list[tuple[str, object]]) -> str:
    return "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in pairs) + "}"


def oracle(text: str) -> int | None:
    """The score of a text that is one JSON object with it, by another reader; else None."""
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except ValueError:
        return None
    if not isinstance(pairs, list) or len(pairs) != 2 or not all(type(p) is tuple for p in pairs):
        return None
    found = dict(pairs)
    score = found.get("score")
    fits = found.keys() == {"reason", "score"} and isinstance(found["reason"], str)
    if (
        fits
        and isinstance(score, int | float)
        and not isinstance(score, bool)
        and score in range(6)
    ):
        return int(score)
    return None


@given(LIKE.map(written) | JSON.map(json.dumps) | st.text())
@example('{"reason": "", "score": 4.0}')
def test_a_bound_reply_says_what_another_reader_finds_or_nothing(text: str) -> None:
    try:
        score = said(text)["score"]
    except Unreadable:
        score = None
    assert score == oracle(text)


@given(
    st.sampled_from([RIGHT, CODED]),
    st.integers(0, 60),
    st.integers(0, 60),
    st.text(alphabet='{}[]":,0123456789.-eE\\ntrufalsNI ' + string.ascii_letters, max_size=4),
    st.sampled_from([None, CODE]),
)
@settings(max_examples=600)
def test_a_damaged_reply_never_says_another_number(
    text: str, start: int, length: int, put: str, code: str | None
) -> None:
    damaged = text[:start] + put + text[start + length :]
    try:
        verdict = read_verdict(damaged, SCORE, code)
    except Unreadable:
        return
    place = verdict.places["score"]
    stated = damaged[place:].split("}")[0].split(",")[0]
    assert float(stated) == verdict.answers["score"], "the very characters in its place say so"


@given(st.text(), st.text(), st.integers(0, 5))
def test_prose_around_a_coded_verdict_changes_nothing_or_makes_it_unreadable(
    before: str, after: str, score: int
) -> None:
    text = before + CODED.replace("4}", f"{score}}}") + after
    try:
        assert said(text, CODE) == {"score": score}
    except Unreadable:
        assert "{" in before + after


# Weighting. The tokens of '{"reason": "ok", "score": 4}' as a service might cut them.
HEAD = ['{"', "reason", '":', ' "', "ok", '",', ' "', "score"]
GRAMMAR = {
    "alone": (['":', " ", "4", "}"], "{}"),
    "with a blank": (['":', " 4", "}"], " {}"),
    "with a colon": (['"', ": 4", "}"], ": {}"),
    "with the end": (['":', " ", "4}"], "{}}}"),
}


def reply(tokens: list[str], place: str, top: Mapping[str, float]) -> Reply:
    alternatives = tuple((text, math.log(p)) for text, p in top.items())
    return Reply(
        "".join(tokens),
        tokens=tuple(
            Token(t, math.log(0.5), alternatives if t == place else ((t, 0.0),)) for t in tokens
        ),
    )


def level(given: Reply, rubric: Rubric = SCORE) -> tuple[float, float]:
    shares, mass = weigh(given, read_verdict(given.text, rubric), rubric, None)
    return rubric.graded(shares)[1]["score"], mass["score"]


@pytest.mark.parametrize("name", GRAMMAR)
def test_the_level_is_the_expectation_over_the_tokens_that_are_levels(name: str) -> None:
    tail, form = GRAMMAR[name]
    top = {form.format(4): 0.5, form.format(5): 0.2, form.format(0): 0.1, form.format("x"): 0.15}
    place = form.format(4)
    expected, mass = level(reply(HEAD + tail, place, top))
    assert mass == pytest.approx(0.8)
    assert expected == pytest.approx((4 * 0.5 + 5 * 0.2 + 0 * 0.1) / 0.8)


def test_a_token_that_goes_on_to_another_number_is_no_level_and_spellings_add_up() -> None:
    top = {"4": 0.4, " 4": 0.1, "4,": 0.1, "10": 0.1, "45": 0.1, "4.5": 0.1, "6": 0.1}
    expected, mass = level(reply([*HEAD, '":', "4", "}"], "4", top))
    assert [expected, mass] == pytest.approx([4.0, 0.6])


def test_a_token_that_differs_before_the_place_is_no_level() -> None:
    top = {": 4": 0.5, ", 5": 0.2, "55": 0.1, ":5": 0.2}
    expected, mass = level(reply([*HEAD, '"', ": 4", "}"], ": 4", top))
    assert [expected, mass] == pytest.approx([(4 * 0.5 + 5 * 0.2) / 0.7, 0.7])


def test_the_token_that_was_taken_counts_where_it_is_not_among_the_alternatives() -> None:
    expected, mass = level(reply([*HEAD, '":', "4", "}"], "4", {"2": 0.25}))
    assert [expected, mass] == pytest.approx([(4 * 0.5 + 2 * 0.25) / 0.75, 0.75])


def test_characters_that_tokens_share_and_a_last_control_token_do_not_hide_the_place() -> None:
    tokens = ['{"reason": "', "\ufffd", "\ufffd\ufffd", '", "score": ', "4", "}", "<|im_end|>"]
    given = reply(tokens, "4", {"4": 0.5, "3": 0.5})
    given = Reply('{"reason": "字", "score": 4}', tokens=given.tokens)
    assert list(level(given)) == pytest.approx([3.5, 1.0])


NAMED = Rubric(
    (
        Question("score", "choice", "?", (Option("bad", 0, 0.0), Option("good", 1, 1.0))),
        Question("sure", "predicate", "?", (Option("no", 0, 0.0), Option("yes", 1, 1.0))),
    )
)


@pytest.mark.parametrize(
    ("tokens", "place", "other"),
    [
        (["go", "od"], "go", "b"),
        (["good"], "good", "bad"),
        (['good"'], 'good"', 'bad"'),
    ],
)
def test_a_word_is_known_by_its_first_token(tokens: list[str], place: str, other: str) -> None:
    text = ['{"score_reason": "a", "score": "', *tokens]
    end = "" if place.endswith('"') else '"'
    rest = [end + ', "sure_reason": "b", "sure":', ' "yes', '"}']
    given = reply(text + rest, place, {place: 0.6, other: 0.2, "x": 0.2})
    shares, masses = weigh(given, read_verdict(given.text, NAMED), NAMED, None)
    assert list(shares["score"]) == pytest.approx([0.25, 0.75])
    assert shares["sure"] == (0.0, 1.0)
    assert masses == {"score": pytest.approx(0.8), "sure": pytest.approx(1.0)}


WITHOUT: dict[str, Callable[[Reply], Reply]] = {
    "no log-probabilities": lambda r: Reply(r.text),
    "do not make up the reply: they say something else": lambda r: Reply(
        r.text.replace("4", "3"), tokens=r.tokens
    ),
    "do not make up the reply: the JSON": lambda r: Reply(r.text, tokens=r.tokens[:5]),
    "no answer to 'score' has a probability": lambda r: Reply(
        r.text,
        tokens=tuple(Token(t.text, -9999.0 if t.text == "4" else 0.0) for t in r.tokens),
    ),
    "has a probability": lambda r: Reply(
        r.text,
        tokens=tuple(Token(t.text, math.nan if t.text == "4" else 0.0) for t in r.tokens),
    ),
}


@pytest.mark.parametrize("why", WITHOUT)
def test_without_usable_probabilities_there_is_no_weight_and_a_reason(why: str) -> None:
    given = reply([*HEAD, '":', "4", "}"], "4", {"4": 1.0})
    with pytest.raises(NoWeights, match=why):
        level(WITHOUT[why](given))


def test_levels_of_more_than_one_token_cannot_be_weighed() -> None:
    assert weighable(SCORE) == weighable(SEVERAL) == weighable(NAMED) == ""
    ten = Question("n", "score", "?", tuple(Option(i, i, i / 10) for i in range(11)))
    assert weighable(Rubric((ten,))) == "the levels of 'n' are not one digit each"
    alike = Question("n", "choice", "?", (Option("part", 0, 0.0), Option("proper", 1, 1.0)))
    assert weighable(Rubric((alike,))) == "two choices of 'n' begin alike"


def test_a_verdict_is_a_value() -> None:
    assert read_verdict(RIGHT, SCORE) == Verdict({"score": 4}, {"score": "agrees"}, {"score": 30})
