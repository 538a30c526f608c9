"""The scorers of a training, behind the one method that a trainer calls."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

from harness.components import Completion, Score
from harness.guards import GuardedScorer

Told = Callable[[str, Completion, Score], None]
"""Is told a scorer's label, a completion and its score."""


class ScorerRewards:
    """Scores completions with every scorer at once; one scorer is never called twice at a time.

    Each scorer has a thread of its own, also where there is one alone: autocast and inference
    mode belong to a thread, so nothing that the trainer switches on can change a score.
    """

    def __init__(
        self,
        scorers: Mapping[str, GuardedScorer],
        weights: Mapping[str, float],
        told: Told | None = None,
    ) -> None:
        self._scorers, self._told = dict(scorers), told
        self._weights = MappingProxyType(dict(weights))
        # Where calls are journalled: a trainer may score from a thread of its own.
        self._context = contextvars.copy_context()
        # Two labels may stand for one object, which has one thread all the same.
        self._threads = {
            id(scorer.component): ThreadPoolExecutor(1, "harness-scorer")
            for scorer in {id(s.component): s for s in self._scorers.values()}.values()
        }

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each scorer, by label."""
        return self._weights

    def score(self, completions: Sequence[Completion]) -> dict[str, list[Score]]:
        """Every scorer's scores by label, in order.

        Raises:
            HarnessError: from a scorer that has something to tell the user. Whatever else goes
                wrong in a scorer is an unscored completion.
        """
        given = list(completions)
        futures = {
            label: self._threads[id(scorer.component)].submit(
                self._context.copy().run, scorer.score, given
            )
            for label, scorer in self._scorers.items()
        }
        scores = {label: future.result() for label, future in futures.items()}
        for label, found in scores.items() if self._told else ():
            for completion, score in zip(given, found, strict=True):
                self._told(label, completion, score)  # type: ignore[misc]
        return scores

    def close(self) -> None:
        """Let the threads end; what waits is not scored any more."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)
