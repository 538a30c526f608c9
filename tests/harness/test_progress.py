"""Progress: one line that is rewritten on a terminal, and silence of short runs in a log."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from harness import Completion, Sample, Score, Unscored, Usage, evaluate, progress
from harness.progress import shown
from harness.testing import installed

SAMPLES = [Sample(str(i), "prompt", ("prompt",), {"n": i}) for i in range(6)]


class Terminal(io.StringIO):
    """Text that is written to a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Paid:
    """A generator whose every answer costs a dollar."""

    answer: str = "prompt"

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        usage = Usage(1, 1, cost_usd=1.0)
        return [Completion(s, self.answer, usage=usage, attempt=attempt) for s in samples]


@dataclass(frozen=True)
class Odd:
    """A scorer that scores every second sample, and costs a dollar each."""

    name: str = "odd"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        paid = Usage(cost_usd=1.0)
        return [
            Score(0.5, usage=paid)
            if int(str(c.sample.metadata["n"])) % 2
            else replace(Score.missing(Unscored.REFUSAL), usage=paid)
            for c in completions
        ]


def test_a_terminal_shows_where_things_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", {True: 0.0, False: 0.0})
    stream = Terminal()
    with shown(stream):
        evaluate(SAMPLES, generator=Paid(), scorers=["match", Odd()], max_unscored=0.5)
    last = stream.getvalue().split("\r\x1b[K")[-1]
    assert last.startswith("Paid  6/6  ")
    assert "match 1.0000  odd 0.5000" in last
    assert "3 unscored" in last
    assert "$12.00" in last, "six answers and six judgements, each paid for once"
    assert last.endswith("\n")


def test_samples_of_equal_content_count_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", {True: 0.0, False: 0.0})
    same, stream = [replace(s, metadata={}) for s in SAMPLES], Terminal()
    with shown(stream):
        evaluate(same, generator=Paid(), scorers=["match"])
    assert "  6/6  " in stream.getvalue().split("\r\x1b[K")[-1]


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    with shown(stream):
        evaluate(SAMPLES, generator=Paid(), scorers=["match"])
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress, "_EVERY_S", {True: 0.0, False: 0.0})
    with shown(stream):
        evaluate(SAMPLES, generator=Paid(), scorers=["match"], resume=False)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_what_changed_since_the_run_before_is_said() -> None:
    stream = io.StringIO()
    with shown(stream):
        evaluate(SAMPLES, generator=Paid("a"), scorers=["match"], name="faq")
        evaluate(SAMPLES, generator=Paid("b"), scorers=["match"], name="faq")
    assert "faq: not as in the run before: generator.settings.answer: a → b" in stream.getvalue()
    assert "scorers" not in stream.getvalue()


def test_progress_leaves_with_its_block() -> None:
    stream = Terminal()
    with installed() as plugins:
        with shown(stream), shown(stream):
            assert plugins.observed("harness_completion_scored")
        assert not plugins.observed("harness_completion_scored")
