"""Ballots: one ask's verdict or the cause why it has none, and what several come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

from harness.components import Call, Score, Unscored, Usage
from harness.judging.rubric import Rubric


@dataclass(frozen=True, slots=True)
class Ballot:
    """One ask: the shares of each question's options, or `unscored`, and what it cost.

    `masses` are the probabilities that the options had before they were made to add up to 1.
    """

    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    masses: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    unscored: Unscored | None = None
    usage: Usage | None = None
    calls: tuple[Call, ...] = ()


def tallied(rubric: Rubric, ballots: Sequence[Ballot]) -> Score:
    """The mean of the ballots; without a verdict from more than half of them, the cause.

    Parts: each question's mean level under its name, `mass/NAME` where it was weighed, and of
    several ballots `votes`, how many have a verdict. The reason is of the ballot that is nearest.
    """
    scored = [ballot for ballot in ballots if ballot.unscored is None]
    if 2 * len(scored) <= len(ballots):
        return spent(_lacking(ballots), ballots)
    shares = {q.name: _mean([b.shares[q.name] for b in scored]) for q in rubric.questions}
    value, parts = rubric.graded(shares)
    nearest = min(scored, key=lambda ballot: abs(rubric.graded(ballot.shares)[0] - value))
    for name in scored[0].masses:
        parts[f"mass/{name}"] = sum(b.masses[name] for b in scored) / len(scored)
    if len(ballots) > 1:
        parts["votes"] = float(len(scored))
    return spent(Score(value, parts, nearest.reason), ballots)


def spent(score: Score, ballots: Sequence[Ballot]) -> Score:
    """The score with what all ballots cost."""
    used = [ballot.usage for ballot in ballots if ballot.usage is not None]
    calls = tuple(call for ballot in ballots for call in ballot.calls)
    return replace(score, usage=reduce(add, used) if used else None, calls=calls)


def _lacking(ballots: Sequence[Ballot]) -> Score:
    lost = [ballot for ballot in ballots if ballot.unscored is not None]
    cause = Counter(ballot.unscored for ballot in lost).most_common(1)[0][0]
    first = next(ballot for ballot in lost if ballot.unscored is cause)
    if len(ballots) == 1:
        return Score(None, reason=first.reason, unscored=cause)
    said = f"{len(lost)} of {len(ballots)} votes have no verdict: {first.reason}"
    return Score(None, reason=said, unscored=cause)


def _mean(shares: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(shares) for column in zip(*shares, strict=True))
