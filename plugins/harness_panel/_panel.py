"""`panel`: what several scorers come to, where more than half of them say something."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import add
from statistics import median
from typing import Literal

from harness import Completion, Score, Unscored
from harness.calls.sessions import outside_of_runs
from harness.guards import GuardedScorer


class Panel:
    """The rewarder `panel`; its members score a batch at the same time.

    Value, with rule `median`: the median of the members' values. With `majority`: 1 where more
    than half of all members have a value of at least `threshold`, 0 where more than half have a
    smaller one. Members without a score count among all, so a panel of which half or more have
    none is unscored, for the cause that most of them have. So is a majority that their silence
    hides. Parts: each member's value under its label, and `scored`, how many have one.

    Args:
        members: Three or more scorers of different labels.
        rule: How their values become one.
        threshold: For `majority`.
    """

    def __init__(
        self,
        members: Sequence[GuardedScorer],
        *,
        rule: Literal["median", "majority"] = "median",
        threshold: float = 0.5,
    ) -> None:
        self._members, self._rule, self._threshold = members, rule, threshold

    def identity(self) -> Mapping[str, str]:
        """The members' fingerprints by label; their order decides nothing."""
        return {member.label: member.fingerprint for member in self._members}

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order; none depends on the others of the batch."""
        with (
            outside_of_runs() as session,
            ThreadPoolExecutor(len(self._members), "panel") as pool,
        ):
            under_way = [
                pool.submit(contextvars.copy_context().run, member.score, completions)
                for member in self._members
            ]
            try:
                columns = [future.result() for future in under_way]
            except KeyboardInterrupt:
                session.stop()  # the members are in other threads, and would go on calling
                raise
        return [self._together(row) for row in zip(*columns, strict=True)]

    def _together(self, scores: tuple[Score, ...]) -> Score:
        values = [score.value for score in scores if score.value is not None]
        decided = self._decided(values, len(scores))
        used = [score.usage for score in scores if score.usage is not None]
        cause, said = (None, self._said(scores)) if decided is not None else _lacking(scores)
        return Score(
            decided,
            self._parts(scores),
            said,
            cause,
            usage=reduce(add, used) if used else None,
            calls=tuple(call for score in scores for call in score.calls),
        )

    def _decided(self, values: Sequence[float], members: int) -> float | None:
        if self._rule == "median":
            return median(values) if 2 * len(values) > members else None
        good = sum(value >= self._threshold for value in values)
        if 2 * good > members:
            return 1.0
        return 0.0 if 2 * (len(values) - good) > members else None

    def _parts(self, scores: Sequence[Score]) -> dict[str, float]:
        labelled = zip(self._members, scores, strict=True)
        parts = {m.label: s.value for m, s in labelled if s.value is not None}
        return {**parts, "scored": float(len(parts))}

    def _said(self, scores: Sequence[Score]) -> str:
        labelled = zip(self._members, scores, strict=True)
        return "; ".join(f"{m.label}: {s.reason}" for m, s in labelled if s.reason)


def _lacking(scores: Sequence[Score]) -> tuple[Unscored, str]:
    lost = [score for score in scores if score.unscored is not None]
    cause = Counter(score.unscored for score in lost).most_common(1)[0][0]
    assert cause is not None  # an odd panel without a gap has decided, and so has every median
    first = next(score for score in lost if score.unscored is cause)
    return cause, f"{len(lost)} of {len(scores)} members have no score: {first.reason}"
