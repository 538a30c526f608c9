"""The guards: whatever a component does, every completion gets one true result."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from harness import Completion, Credit, Sample, Score, Unscored, Usage, generator, scorer
from harness.errors import HarnessError, PluginError
from harness.testing import completion

BATCH = [completion(f"text {i}", id=str(i)) for i in range(64)]


class Scoring:
    """A scorer that does as the test says, and counts what it was given."""

    def __init__(self, function: Callable[[Sequence[Completion]], object]) -> None:
        self.function = function
        self.batches: list[int] = []

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.batches.append(len(completions))
        return self.function(completions)  # type: ignore[return-value]


def one(verdict: Callable[[Completion], object], at: str) -> Scoring:
    """A scorer whose verdict on one completion is not as it should be."""
    return Scoring(
        lambda batch: [verdict(c) if c.sample.id == at else Score(len(c.text) / 10) for c in batch]
    )


def fail(_: object) -> object:
    raise RuntimeError("poison")


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (fail, "RuntimeError: poison"),
        (lambda _: sys.exit(3), "SystemExit: 3"),
        (lambda _: Score(math.nan), "gave nan"),
        (lambda _: Score(math.inf), "gave inf"),
        (lambda _: Score(-math.inf), "gave -inf"),
        (lambda _: 0.5, "gave 0.5 in place of a Score"),
        (lambda _: None, "gave None in place of a Score"),
        (lambda _: Score("0.5"), "another type"),  # type: ignore[arg-type]
        (lambda _: Score(0.5, usage={"tokens": 1}), "no Usage"),  # type: ignore[arg-type]
        (lambda _: Score(0.5, parts={"p": "much"}), "convert string"),  # type: ignore[dict-item]
        (lambda _: Score(None, unscored="no idea"), "no idea"),  # type: ignore[arg-type]
        (lambda _: Score(10**400), "too large"),
    ],
)
def test_one_poisonous_sample_of_64_is_unscored_and_the_others_keep_their_scores(
    verdict: Callable[[Completion], object], told: str
) -> None:
    scores = scorer(one(verdict, "37")).score(BATCH)
    bad = scores.pop(37)
    assert bad.value is None
    assert bad.unscored is Unscored.SCORER_ERROR
    assert told in bad.reason
    assert [s.value for s in scores] == [len(c.text) / 10 for c in BATCH if c.sample.id != "37"]


def test_isolating_one_sample_costs_batches_not_a_call_a_sample() -> None:
    scoring = one(fail, "37")
    scorer(scoring).score(BATCH)
    assert len(scoring.batches) == 1 + 2 * math.log2(len(BATCH))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda batch: [Score(1.0)] * (len(batch) + 1), "gave 2 scores for 1 completions"),
        (lambda batch: [], "gave 0 scores for 1 completions"),
        (lambda batch: None, "NoneType"),
        (lambda batch: (Score(1.0) for _ in batch), "generator"),
    ],
)
def test_a_wrong_count_scores_nothing(
    given: Callable[[Sequence[Completion]], object], told: str
) -> None:
    scores = scorer(Scoring(given)).score(BATCH[:5])
    assert len(scores) == 5
    assert {s.unscored for s in scores} == {Unscored.SCORER_ERROR}
    assert all(told in s.reason for s in scores)


def test_a_failed_completion_is_unscored_and_no_scorer_sees_it() -> None:
    failed = replace(BATCH[1], text="", finish="error", error="no answer")
    scoring = Scoring(lambda batch: [Score(1.0) for _ in batch])
    scores = scorer(scoring).score([BATCH[0], failed, BATCH[2]])
    assert scores[1] == Score.missing(Unscored.NO_COMPLETION, "no answer")
    assert [s.value for s in scores] == [1.0, None, 1.0]
    assert scoring.batches == [2]
    assert scorer(scoring).score([failed])[0].unscored is Unscored.NO_COMPLETION
    assert scoring.batches == [2]


def test_an_empty_batch_has_no_scores() -> None:
    assert scorer(Scoring(fail)).score([]) == []


def test_numbers_of_other_libraries_become_floats() -> None:
    import numpy as np

    credit = (Credit(np.int64(0), np.int64(2), np.float32(0.5)),)  # type: ignore[arg-type]
    given = Score(np.float32(0.25), {"p": np.float32(0.5)}, credit=credit)  # type: ignore[arg-type,dict-item]
    found = scorer(Scoring(lambda batch: [given] * len(batch))).score(BATCH[:1])[0]
    assert found == Score(0.25, {"p": 0.5}, credit=(Credit(0, 2, 0.5),))
    assert type(found.value) is float
    assert type(found.parts["p"]) is float
    assert type(found.credit[0].start) is int


def test_what_the_user_must_mend_is_no_property_of_a_sample() -> None:
    def refuse(_: object) -> object:
        raise HarnessError("no such file")

    with pytest.raises(HarnessError, match="no such file"):
        scorer(Scoring(refuse)).score(BATCH[:4])


def test_a_value_and_its_cause_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="either a value or an `unscored` cause"):
        Score(None)
    with pytest.raises(ValueError, match="either a value or an `unscored` cause"):
        Score(0.0, unscored=Unscored.REFUSAL)


@dataclass
class Generating:
    """A generator that does as the test says."""

    function: Callable[[Sample], object]
    batch_size: int = 64

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [self.function(s) for s in samples]  # type: ignore[misc]


SAMPLES = [Sample(str(i), f"prompt {i}") for i in range(8)]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (fail, "RuntimeError: poison"),
        (lambda s: s.prompt, "gave 'prompt 5' in place"),
        (lambda s: Completion(s, None), "in place of a Completion"),  # type: ignore[arg-type]
        (lambda s: Completion(Sample("other", ""), "x"), "gave sample 'other'"),
        (lambda s: Completion(s, "x", "done"), "gave finish='done'"),  # type: ignore[arg-type]
        (lambda s: Completion(s, "\ud83d"), "surrogates not allowed"),
        (lambda s: Completion(s, "x", usage=5), "no Usage"),  # type: ignore[arg-type]
        (lambda s: Completion(s, "half", "error", error="broke off"), "broke off"),
    ],
)
def test_one_sample_that_cannot_be_answered_is_a_failed_completion(
    answer: Callable[[Sample], object], told: str
) -> None:
    def function(sample: Sample) -> object:
        return answer(sample) if sample.id == "5" else Completion(sample, sample.prompt.upper())

    completions = generator(Generating(function)).generate(SAMPLES, attempt=3)
    bad = completions[5]
    assert (bad.sample, bad.text, bad.finish, bad.attempt) == (SAMPLES[5], "", "error", 3)
    assert told in bad.error
    good = [c for c in completions if c is not bad]
    assert [c.text for c in good] == [f"PROMPT {i}" for i in range(8) if i != 5]
    assert {c.attempt for c in completions} == {3}


def test_a_generator_cannot_change_what_was_asked() -> None:
    def forge(sample: Sample) -> Completion:
        return Completion(replace(sample, references=("x",)), "x", usage=Usage(1, 2))

    found = generator(Generating(forge)).generate(SAMPLES)
    assert [c.sample for c in found] == SAMPLES
    assert found[0].usage == Usage(1, 2)


def test_details_come_as_the_store_gives_them_back() -> None:
    given: dict[str, object] = {"found": ({"id": "a\ud83d", "n": 1},), "none": None, "b": True}
    (found,) = generator(Generating(lambda s: Completion(s, "x", details=given))).generate(
        SAMPLES[:1]
    )
    assert found.details == {"found": [{"id": "a\\ud83d", "n": 1}], "none": None, "b": True}
    given["found"] = "changed afterwards"
    assert found.details["found"] != "changed afterwards"


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"found": [1, {2}]}, r"details['found'][1] is {2}, which is no JSON value"),
        ({"x": math.nan}, "details['x'] is nan, which is no JSON value"),
        ({"x": {1: 2}}, "details['x'] has the key 1, which is no text"),
        ({"x": object}, "details['x'] is <class 'object'>, which is no JSON value"),
        ([("x", 1)], "details is [('x', 1)], which is no mapping"),
    ],
)
def test_details_that_are_no_json_name_the_generator(details: object, told: str) -> None:
    def answer(sample: Sample) -> Completion:
        return Completion(sample, "x", details=details)  # type: ignore[arg-type]

    wrong = Generating(answer)
    wrong.name = "acme"  # type: ignore[attr-defined]
    with pytest.raises(PluginError) as caught:
        generator(wrong).generate(SAMPLES)
    assert str(caught.value).startswith(f"the generator acme, sample '0': {told}; ")


def test_details_that_hold_themselves_are_refused() -> None:
    around: dict[str, object] = {}
    around["itself"] = around
    with pytest.raises(PluginError, match="recursion"):
        generator(Generating(lambda s: Completion(s, "x", details=around))).generate(SAMPLES)


def test_a_batch_size_of_nothing_is_refused() -> None:
    with pytest.raises(PluginError, match="batch_size is 0"):
        generator(Generating(lambda s: Completion(s, ""), batch_size=0))
