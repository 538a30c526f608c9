"""`contrast`: what a text earns against its own references, less what it earns against others'."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from harness import Completion, Credit, Score, Unscored, Usage
from harness.guards import GuardedScorer
from harness_shaping._pool import Pool


class Contrast:
    """The rewarder `contrast`.

    Value: own - weight x mean(others), where `own` is the inner scorer's value against the
    sample's references, and `others` those against the references of k other rows, each by
    itself. Text that fits any question earns 0 with weight 1. Parts: own, others (their mean).
    Credit: the inner scorer's for its own references, and what it gave for the others times
    -weight / k; spans of the same characters are one.

    A completion whose own score is missing is unscored for that cause. Others that are missing
    are left out of the mean; if all are, the completion is unscored for the first one's cause.
    An empty completion gets what the inner scorer makes of it: with bertscore 0 - 0 = 0, which
    is neither gain nor loss whatever the sign of the reward. Have `length` guard against it.

    Args:
        inner: The scorer; called once a batch, with own and others of all completions.
        pool: Where other references come from.
        k: How many of them, 1 or more.
        weight: What their mean counts, in (0, 1].
    """

    def __init__(self, inner: GuardedScorer, pool: Pool, *, k: int = 4, weight: float = 1.0):
        self._inner, self._pool, self._k, self._weight = inner, pool, k, weight

    def identity(self) -> Mapping[str, str]:
        """The inner scorer's fingerprint, and a digest of the pool."""
        return {"of": self._inner.fingerprint, "pool": self._pool.digest}

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order; none depends on the others of the batch."""
        against = [self._pool.others(c.sample, self._k) for c in completions]
        asked = [
            replace(c, sample=replace(c.sample, references=(other,)))
            for c, others in zip(completions, against, strict=True)
            for other in others
        ]
        scores = iter(self._inner.score([*completions, *asked]))
        owns = [next(scores) for _ in completions]
        return [
            self._contrast(own, [next(scores) for _ in others])
            for own, others in zip(owns, against, strict=True)
        ]

    def _contrast(self, own: Score, others: Sequence[Score]) -> Score:
        usage = _total([own, *others])
        scored = [other for other in others if other.value is not None]
        if own.value is None:
            return replace(own, usage=usage)
        if not scored:
            return replace(_lacking(others), usage=usage)
        mean = sum(other.value or 0.0 for other in scored) / len(scored)
        return Score(
            own.value - self._weight * mean,
            {"own": own.value, "others": mean},
            reason=own.reason,
            usage=usage,
            credit=_merged(own.credit, scored, -self._weight / len(scored)),
        )


def _lacking(others: Sequence[Score]) -> Score:
    if not others:
        reason = "the pool has no reference of another row"
        return Score.missing(Unscored.NO_REFERENCE, reason)
    reason = f"against another row's reference: {others[0].reason}"
    return Score.missing(others[0].unscored or Unscored.SCORER_ERROR, reason)


def _merged(own: Sequence[Credit], others: Sequence[Score], factor: float) -> tuple[Credit, ...]:
    spans: defaultdict[tuple[int, int], float] = defaultdict(float)
    for credit in own:
        spans[credit.start, credit.end] += credit.value
    for credit in (credit for other in others for credit in other.credit):
        spans[credit.start, credit.end] += factor * credit.value
    return tuple(Credit(start, end, value) for (start, end), value in sorted(spans.items()))


def _total(scores: Sequence[Score]) -> Usage | None:
    used = [score.usage for score in scores if score.usage is not None]
    return reduce(add, used) if used else None
