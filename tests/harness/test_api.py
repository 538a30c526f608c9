"""Components by reference and objects of one's own: guarded, named, and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

import harness
from harness import Completion, Sample, Score
from harness.errors import PluginError
from harness.testing import check_generator, check_rewarder, completion


class Opaque:
    """A scorer that does not tell what its scores hang on."""

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(1.0) for _ in completions]


class Told(Opaque):
    """A scorer that does tell."""

    name = "told"

    def __init__(self, weights: str) -> None:
        self.weights = weights

    def identity(self) -> dict[str, str]:
        return {"weights": self.weights}


@dataclass(frozen=True)
class Brevity:
    """A scorer whose fields are its settings."""

    limit: int = 10

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(float(len(c.text) <= self.limit)) for c in completions]


def test_a_reference_is_built_once_and_its_label_is_its_text() -> None:
    one, two = harness.scorer("match"), harness.scorer("m=match")
    assert (one.label, two.label) == ("match", "m")
    assert one.component is two.component
    assert one.fingerprint == two.fingerprint
    assert harness.scorer(one) is one
    assert harness.scorer("match:mode=contains").label == "match:mode=contains"


def test_settings_make_another_component_whatever_their_order() -> None:
    contains = harness.scorer("match:mode=contains,ignore_case=true")
    turned = harness.scorer("match:ignore_case=true,mode=contains")
    assert contains.component is turned.component
    assert contains.fingerprint != harness.scorer("match:mode=contains").fingerprint


def test_a_default_that_is_written_out_is_the_default() -> None:
    assert harness.scorer("match").fingerprint == harness.scorer("match:mode=exact").fingerprint


def test_a_qualified_name_is_the_same_component() -> None:
    assert harness.scorer("samescore/match").component is harness.scorer("match").component


def test_a_generator_by_reference_answers() -> None:
    recorded = harness.generator("recorded:field=answer")
    found = recorded.generate([Sample("a", "", metadata={"answer": "yes"})])
    assert found[0].text == "yes"
    assert harness.generator(recorded) is recorded


def test_objects_are_told_apart_by_what_they_tell() -> None:
    assert harness.scorer(Brevity(5)).fingerprint == harness.scorer(Brevity(5)).fingerprint
    assert harness.scorer(Brevity(5)).fingerprint != harness.scorer(Brevity(6)).fingerprint
    assert harness.scorer(Told("a")).fingerprint == harness.scorer(Told("a")).fingerprint
    assert harness.scorer(Told("a")).fingerprint != harness.scorer(Told("b")).fingerprint
    opaque = Opaque()
    assert harness.scorer(opaque).fingerprint != harness.scorer(opaque).fingerprint
    assert harness.scorer(Told("a")).label == "told"
    assert harness.scorer(Brevity()).label == "Brevity"


@pytest.mark.parametrize("thing", [object(), 5, "recorded"])
def test_what_is_no_scorer_is_refused(thing: object) -> None:
    with pytest.raises(PluginError, match=r"is no scorer|no rewarder or judge is called"):
        harness.scorer(thing)  # type: ignore[arg-type]


def test_what_is_no_generator_is_refused() -> None:
    with pytest.raises(PluginError, match="is no generator: it has no `generate`"):
        harness.generator(Opaque())  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="no retriever is called 'match'"):
        harness.retriever("match")
    with pytest.raises(PluginError, match="no trainer is called 'match'"):
        harness.trainer("match")


def test_the_checks_for_authors_pass_what_keeps_its_promises() -> None:
    texts = [completion(text, "the cat") for text in ("the cat", "a cat", "", "The  cat")]
    assert [s.value for s in check_rewarder("match", texts)] == [1.0, 0.0, 0.0, 0.0]
    samples = [Sample(str(i), "p", metadata={"completion": str(i)}) for i in range(3)]
    assert [c.text for c in check_generator("recorded", samples)] == ["0", "1", "2"]


class Batchwise:
    """A scorer that looks at its neighbours."""

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(len(c.text) / len(completions)) for c in completions]


class Forgetful:
    """A scorer that scores otherwise each time."""

    def __init__(self) -> None:
        self.calls = 0

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.calls += 1
        return [Score(float(self.calls)) for _ in completions]


@pytest.mark.parametrize("scorer", [Batchwise(), Forgetful()])
def test_the_checks_for_authors_catch_what_does_not(scorer: harness.Rewarder) -> None:
    with pytest.raises(AssertionError, match=r"alone|the same batch"):
        check_rewarder(scorer, [completion("a b c"), completion("d")])
