"""The contract checks pass what keeps the contract, and catch what breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

import harness_match
from harness import (
    Completion,
    Component,
    Credit,
    Match,
    Query,
    Rewarder,
    Sample,
    Score,
    hookimpl,
    scorer,
)
from harness.errors import PluginError
from harness.testing import (
    check_generator,
    check_retriever,
    check_rewarder,
    completion,
    installed,
)

ANSWERS = [completion("one", "one"), completion("two three", "x"), completion("", "y")]


@dataclass(frozen=True)
class Words:
    """Counts words; `fault` names how it breaks the contract."""

    fault: str = ""

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        counts = [float(len(c.text.split())) for c in completions]
        if self.fault == "batch":
            counts = [n / len(counts) for n in counts]
        if self.fault == "order":
            counts = [n + 0.1 * i for i, n in enumerate(counts)]
        if self.fault == "drift":
            seen.append(1)
            counts = [n + len(seen) for n in counts]
        span = (Credit(0, 99, 1.0),) if self.fault == "credit" else ()
        return [Score(n, credit=span) for n in counts]


@dataclass(frozen=True)
class Repeat:
    """Repeats the prompt, or does what `fault` says."""

    fault: str = ""

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        if self.fault == "raises":
            raise RuntimeError("no model")
        return [
            Completion(s, f"{s.prompt} {len(samples) if self.fault else ''}", attempt=attempt)
            for s in samples
        ]


seen: list[int] = []


def test_a_good_rewarder_passes_and_its_scores_come_back() -> None:
    """The check gives the scores, so a test can go on from it."""
    assert [s.value for s in check_rewarder(Words(), ANSWERS)] == [1.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("batch", "alone"),
        ("order", "alone"),
        ("drift", "same batch"),
        ("credit", "credit outside"),
    ],
)
def test_a_rewarder_that_breaks_the_contract_is_caught(fault: str, says: str) -> None:
    """Each fault is named by the promise that it breaks."""
    with pytest.raises(AssertionError, match=says):
        check_rewarder(Words(fault), ANSWERS)


def test_a_good_generator_passes() -> None:
    """One that answers alike alone and in company."""
    samples = [Sample(str(i), f"question {i}") for i in range(3)]
    assert check_generator(Repeat(), samples)[0].text == "question 0 "


@pytest.mark.parametrize(("fault", "says"), [("batch", "alone"), ("raises", "no model")])
def test_a_generator_that_breaks_the_contract_is_caught(fault: str, says: str) -> None:
    """An answer that hangs on its batch, and a generator that fails."""
    samples = [Sample(str(i), f"question {i}") for i in range(3)]
    with pytest.raises(AssertionError, match=says):
        check_generator(Repeat(fault), samples)


@dataclass
class Nearest:
    """Finds numbers by their distance to the query's; `fault` names how it breaks the contract."""

    fault: str = ""
    asked: int = 0

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]:
        self.asked += 1
        shift = {"drift": self.asked, "batch": len(queries)}.get(self.fault, 0)
        found = [self._matches(int(query.text) + shift) for query in queries]
        if self.fault == "small" and k == 1:
            found = [matches[::-1] for matches in found]
        if self.fault == "order":
            found = [*map(list, sorted(found, key=lambda matches: matches[0].id))]
        given = [m if self.fault == "many" else m[:k] for m in found]
        return given[1:] if self.fault == "less" else given

    def _matches(self, wanted: int) -> list[Match]:
        numbers = sorted(range(5), key=lambda n: ((n - wanted) % 5, n))
        ids = [0, 0, 1] if self.fault == "twice" else numbers
        return [Match(str(n), float(n)) for n in ids]


def test_a_good_retriever_passes_and_its_matches_come_back() -> None:
    """An empty list of queries is fine too."""
    found = check_retriever(Nearest(), [Query("3"), Query("1")], k=2)
    assert [[m.id for m in matches] for matches in found] == [["3", "4"], ["1", "2"]]
    assert check_retriever(Nearest(), [], k=2) == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("less", "one list a query"),
        ("many", "at most k=3"),
        ("twice", "no id twice"),
        ("drift", "asked again"),
        ("batch", "alone"),
        ("order", "another order|alone"),
        ("small", "k=1 is the first"),
    ],
)
def test_a_retriever_that_breaks_the_contract_is_caught(fault: str, says: str) -> None:
    """Each fault is named by the promise that it breaks."""
    with pytest.raises(AssertionError, match=says):
        check_retriever(Nearest(fault), [Query("3"), Query("1")], k=3)


def test_a_module_is_installed_only_inside_the_block() -> None:
    """A plugin under test is known by name there, and leaves nothing behind."""

    class Module:
        @hookimpl
        def harness_rewarders(self) -> list[Component[Rewarder]]:
            return [Component("words-under-test", build=lambda _: Words())]

    with installed(Module()):
        assert scorer("words-under-test").score(ANSWERS)[1].value == 2.0
    with pytest.raises(PluginError, match="words-under-test"):
        scorer("words-under-test")


def test_a_plugin_that_was_there_before_the_block_is_there_after_it() -> None:
    with installed(harness_match):
        assert scorer("match:mode=f1")
    assert scorer("match:mode=contains")
