"""`panel`: medians and strict majorities by hand, and members that say nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pytest

import harness
import harness_panel
from harness import (
    Call,
    Completion,
    Component,
    HarnessError,
    PluginError,
    Rewarder,
    Score,
    Unscored,
    Usage,
    hookimpl,
)
from harness.api import scorer
from harness.testing import check_rewarder, completion, installed
from harness_panel._panel import Panel

BATCH = [completion("a")]
TIMEOUT, REFUSAL = Unscored.TIMEOUT, Unscored.REFUSAL
Said = float | Unscored


@dataclass
class Fixed:
    """Says the same of everything."""

    name: str
    said: Said

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        usage, calls = Usage(1, 2, 0.5), (Call(self.name),)
        if isinstance(self.said, Unscored):
            missing = Score(None, reason=f"{self.name} fails", unscored=self.said)
            return [replace(missing, usage=usage, calls=calls) for _ in completions]
        return [Score(self.said, reason=f"I am {self.name}", usage=usage, calls=calls)] * len(
            completions
        )


def decided(*said: Said, rule: str = "median", threshold: float = 0.5) -> Score:
    members = [scorer(Fixed(f"m{i}", one)) for i, one in enumerate(said)]
    panel = Panel(members, rule=rule, threshold=threshold)  # type: ignore[arg-type]
    return panel.score(BATCH)[0]


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ((0.2, 0.9, 0.4), 0.4),
        ((0.0, 1.0, 0.4, 0.8), pytest.approx(0.6)),
        ((0.2, 0.9, TIMEOUT), pytest.approx(0.55)),
        ((0.2, TIMEOUT, TIMEOUT), TIMEOUT),
        ((0.2, 0.9, TIMEOUT, TIMEOUT), TIMEOUT),
        ((REFUSAL, TIMEOUT, REFUSAL), REFUSAL),
    ],
)
def test_the_median_needs_more_than_half_of_the_members(
    said: tuple[Said, ...], value: float | Unscored
) -> None:
    score = decided(*said)
    assert (score.unscored if isinstance(value, Unscored) else score.value) == value


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ((0.5, 0.9, 0.4), 1.0),
        ((0.1, 0.49, 1.0), 0.0),
        ((1.0, 1.0, TIMEOUT), 1.0),
        ((1.0, 0.0, TIMEOUT), TIMEOUT),
        ((1.0, TIMEOUT, TIMEOUT), TIMEOUT),
        ((1.0, 1.0, 0.0, TIMEOUT, TIMEOUT), TIMEOUT),
        ((1.0, 1.0, 1.0, TIMEOUT, TIMEOUT), 1.0),
    ],
)
def test_a_majority_is_more_than_half_of_all_members_also_of_the_silent(
    said: tuple[Said, ...], value: float | Unscored
) -> None:
    score = decided(*said, rule="majority")
    assert (score.unscored if isinstance(value, Unscored) else score.value) == value


def test_the_order_of_members_decides_nothing() -> None:
    values = {decided(*said).value for said in [(0.1, 0.5, 0.9), (0.9, 0.1, 0.5), (0.5, 0.9, 0.1)]}
    assert values == {0.5}


def test_each_members_value_reason_and_cost_are_told() -> None:
    score = decided(0.2, TIMEOUT, 0.4)
    assert score.parts == {"m0": 0.2, "m2": 0.4, "scored": 2.0}
    assert score.reason == "m0: I am m0; m1: m1 fails; m2: I am m2"
    assert score.usage == Usage(3, 6, 1.5)
    assert [call.model for call in score.calls] == ["m0", "m1", "m2"]
    lost = decided(0.2, TIMEOUT, TIMEOUT)
    assert lost.reason == "2 of 3 members have no score: m1 fails"
    assert (lost.parts, lost.usage) == ({"m0": 0.2, "scored": 1.0}, Usage(3, 6, 1.5))


def test_members_score_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=30)

    @dataclass
    class Waiting:
        name: str

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            barrier.wait()  # alone it would never end
            return [Score(1.0) for _ in completions]

    members = [scorer(Waiting(f"m{i}")) for i in range(3)]
    assert Panel(members).score(BATCH)[0].value == 1.0


def test_what_the_user_must_mend_passes() -> None:
    class NoKey:
        def score(self, completions: Sequence[Completion]) -> list[Score]:
            raise HarnessError("no key")

    members = [scorer(Fixed("m0", 1.0)), scorer(Fixed("m1", 1.0)), scorer(NoKey())]
    with pytest.raises(HarnessError, match="no key"):
        Panel(members).score(BATCH)


# By reference


@dataclass(frozen=True, slots=True)
class SaidSettings:
    value: float = 1.0
    """What is said."""


class Plugin:
    @hookimpl
    def harness_rewarders(self) -> Iterable[Component[Rewarder]]:
        yield Component("said", lambda s: Fixed("said", s.value), SaidSettings)


THREE = 'panel:of=["said:value=0.1","said:value=0.7","match"]'


def test_it_is_built_from_references_and_keeps_the_promises_of_a_scorer() -> None:
    with installed(harness_panel, Plugin()):
        right = [completion("a", "a", id="1"), completion("b", "a", id="2")]
        scores = check_rewarder(THREE, right)
        assert [score.value for score in scores] == [0.7, 0.1]
        parts = {"said:value=0.1": 0.1, "said:value=0.7": 0.7, "match": 1.0, "scored": 3.0}
        assert scores[0].parts == parts


def test_its_fingerprint_is_of_its_members_in_any_order() -> None:
    def fingerprint(reference: str) -> str:
        return harness.scorer(reference).fingerprint

    with installed(harness_panel, Plugin()):
        turned = 'panel:of=["match","said:value=0.7","said:value=0.1"]'
        assert fingerprint(turned) == fingerprint(THREE)
        assert fingerprint(THREE.replace("0.1", "0.2")) != fingerprint(THREE)
        assert fingerprint(THREE + ",rule=majority") != fingerprint(THREE)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("panel:of=match", "of names 1 scorers; a panel has 3 or more"),
        ('panel:of=["said","match"]', "of names 2 scorers"),
        ('panel:of=["a","b","c","d"],rule=majority', "4 scorers; a majority needs an odd number"),
        (THREE + ",threshold=0.7", "threshold goes with rule=majority"),
        (THREE + ",rule=mean", "rule is 'mean'; choose one of median, majority"),
        ('panel:of=["said","match","said"]', "'said' is there twice; name another model"),
        ('panel:of=["x=said","match","x=said:value=0"]', "two members have the label 'x'"),
        ('panel:of=["said","match","nobody"]', "nobody"),
        ("panel", "panel needs the setting 'of'"),
    ],
)
def test_what_cannot_be_meant_is_refused(reference: str, said: str) -> None:
    with installed(harness_panel, Plugin()), pytest.raises(PluginError, match=said):
        harness.scorer(reference)


def test_a_panel_may_sit_in_a_panel() -> None:
    with installed(harness_panel, Plugin()):
        inner = THREE.replace('"', "'")
        outer = f'panel:of=["{inner}","said:value=0.2","said:value=0.3"]'
        assert harness.scorer(outer).score([completion("a", "a")])[0].value == 0.3
