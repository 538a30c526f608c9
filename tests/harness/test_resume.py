"""What the store has is not asked for again; tests/trust kills runs at any point of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Completion, Sample, Score, Unscored, UnscoredError, evaluate
from harness.store import Store


class Asked:
    """A generator, or scorer, that notes what it was asked; `version` is its identity."""

    batch_size = 3

    def __init__(self, name: str = "asked", version: str = "1") -> None:
        self.name, self.version = name, version
        self.asked: list[tuple[str, int]] = []
        self.failing: dict[str, Unscored] = {}

    def identity(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        self.asked += [(s.id, attempt) for s in samples]
        return [Completion(s, f"{s.prompt}/{attempt}", attempt=attempt) for s in samples]

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.asked += [(c.sample.id, c.attempt) for c in completions]
        causes = [self.failing.get(c.sample.id) for c in completions]
        return [Score.missing(cause) if cause else Score(1.0) for cause in causes]


SAMPLES = [Sample(f"s{i}", f"prompt {i}") for i in range(8)]
ONCE = [(s.id, 0) for s in SAMPLES]


def test_the_same_again_asks_for_nothing() -> None:
    results = []
    for expected in (ONCE, []):
        generator, scorer = Asked(), Asked("scorer")
        results.append(evaluate(SAMPLES, generator=generator, scorers=[scorer]))
        assert generator.asked == expected
        assert scorer.asked == expected
    assert results[0].run.id == results[1].run.id
    assert list(results[0].rows()) == list(results[1].rows())


def test_another_scorer_does_not_generate_again() -> None:
    evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, one, two = Asked(), Asked("one"), Asked("two")
    evaluate(SAMPLES, generator=generator, scorers=[one, two])
    assert (generator.asked, one.asked, two.asked) == ([], [], ONCE)


def test_more_samples_ask_for_those_alone_wherever_they_stand() -> None:
    evaluate(SAMPLES[2:5], generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one")
    moved = [replace(s, id=f"new-{s.id}") for s in SAMPLES]
    result = evaluate(moved, generator=generator, scorers=[scorer])
    expected = [(s.id, 0) for s in moved[:2] + moved[5:]]
    assert (generator.asked, scorer.asked) == (expected, expected)
    assert [row.completion.sample.id for row in result.rows()] == [s.id for s in moved]


def test_another_version_of_a_component_is_asked_again() -> None:
    evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one", version="2")
    evaluate(SAMPLES, generator=generator, scorers=[scorer])
    assert (generator.asked, scorer.asked) == ([], ONCE)
    generator, scorer = Asked(version="2"), Asked("one")
    evaluate(SAMPLES, generator=generator, scorers=[scorer])
    assert (generator.asked, scorer.asked) == (ONCE, ONCE)


def test_repeats_are_never_served_from_each_other() -> None:
    evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one")
    result = evaluate(SAMPLES, generator=generator, scorers=[scorer], repeats=3)
    assert generator.asked == [(s.id, attempt) for attempt in (1, 2) for s in SAMPLES]
    assert sorted(scorer.asked) == sorted(generator.asked)
    texts = {row.completion.text for row in result.rows()}
    assert len(texts) == 3 * len(SAMPLES)


def test_without_resume_everything_is_asked_again_and_is_another_run(own_store: Path) -> None:
    first = evaluate(SAMPLES, generator=Asked(), scorers=[Asked("one")])
    generator, scorer = Asked(), Asked("one")
    second = evaluate(SAMPLES, generator=generator, scorers=[scorer], resume=False)
    assert (generator.asked, scorer.asked) == (ONCE, ONCE)
    assert second.run.id != first.run.id
    with Store(own_store, readonly=True) as store:
        assert len(store.runs()) == 2


def test_samples_of_one_content_are_asked_once_and_are_rows_each() -> None:
    twins = [replace(s, id=f"{s.id}-{twin}") for s in SAMPLES for twin in "ab"]
    generator, scorer = Asked(), Asked("one")
    result = evaluate(twins, generator=generator, scorers=[scorer])
    for part in (generator, scorer):
        assert [name.partition("-")[0] for name, _ in part.asked] == [s.id for s in SAMPLES]
    rows = list(result.rows())
    assert [row.completion.sample.id for row in rows] == [s.id for s in twins]
    assert [row.completion.text for row in rows] == [f"{s.prompt}/0" for s in twins]
    assert result["one"].n == len(twins)


@pytest.mark.parametrize("cause", list(Unscored))
def test_what_may_pass_is_asked_again_and_what_will_not_is_not(cause: Unscored) -> None:
    first = Asked("one")
    first.failing = {"s3": cause}
    result = evaluate(SAMPLES, generator=Asked(), scorers=[first], max_unscored=0.5)
    assert result["one"].causes == {cause: 1}
    generator, second = Asked(), Asked("one")
    result = evaluate(SAMPLES, generator=generator, scorers=[second], max_unscored=0.5)
    assert generator.asked == []
    assert second.asked == ([("s3", 0)] if cause.transient else [])
    assert result["one"].n == (8 if cause.transient else 7)


def test_a_failed_completion_is_generated_again() -> None:
    class Failing(Asked):
        """A generator that fails on one sample the first time."""

        broken = True

        def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
            found = super().generate(samples, attempt=attempt)
            if not self.broken:
                return found
            bad = {"s5": "error"}
            return [replace(c, finish=bad.get(c.sample.id, "stop")) for c in found]  # type: ignore[arg-type]

    first = evaluate(SAMPLES, generator=Failing(), scorers=[Asked("one")], max_unscored=0.5)
    assert first["one"].causes == {"no_completion": 1}
    generator, scorer = Failing(), Asked("one")
    generator.broken = False
    again = evaluate(SAMPLES, generator=generator, scorers=[scorer])
    assert (generator.asked, scorer.asked) == ([("s5", 0)], [("s5", 0)])
    assert again["one"].n == 8


def test_a_run_that_failed_goes_on_from_what_it_had() -> None:
    first = Asked("one")
    first.failing = dict.fromkeys([s.id for s in SAMPLES[1:]], Unscored.RATE_LIMIT)
    with pytest.raises(UnscoredError):
        evaluate(SAMPLES, generator=Asked(), scorers=[first], max_unscored=0.5, name="faq")
    generator, second = Asked(), Asked("one")
    result = evaluate(SAMPLES, generator=generator, scorers=[second], name="faq")
    assert result["one"].n == 8
    assert ("s0", 0) not in second.asked
    assert result.run.status == "finished"
