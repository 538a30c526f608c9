"""The task's scorers as TRL's reward functions: one batch is scored once, for all of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from accelerate.utils import gather_object

from harness import Completion, HarnessError, Sample, Score
from harness.components import Finish, Rewards

RewardFunction = Callable[..., list[float | None]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Completions with their scores by label; `reward` is None where a scorer that counts failed.

    `tokens` is the length of each completion, and `seconds` what the scoring took.
    """

    completions: Sequence[Completion]
    tokens: Sequence[int]
    scores: Mapping[str, Sequence[Score]]
    reward: Sequence[float | None]
    seconds: float

    def metrics(self) -> dict[str, float]:
        """Means of reward, scores and lengths, and counts, over all processes."""
        found = {
            "reward": fmean(self._gathered(self.reward)),
            "response_tokens": fmean(self._gathered(self.tokens)),
            "ended": fmean(self._gathered([c.finish == "stop" for c in self.completions])),
        }
        for label, scores in self.scores.items():
            values = self._gathered([score.value for score in scores])
            missing = gather_object([score.value for score in scores]).count(None)
            if values:
                found[f"score/{label}"] = fmean(values)
            found |= {f"scored/{label}": len(values), f"unscored/{label}": missing}
        return {**found, "seconds/score": self.seconds}

    def examples(self, count: int) -> list[tuple[Completion, Mapping[str, Score]]]:
        """The first completions, each with its scores by label."""
        rows = range(min(count, len(self.completions)))
        return [
            (self.completions[i], {label: scores[i] for label, scores in self.scores.items()})
            for i in rows
        ]

    @staticmethod
    def _gathered(values: Sequence[float | None]) -> list[float]:
        return [value for value in gather_object(list(values)) if value is not None]


class SharedRewards:
    """Scores what TRL samples; a row of its data set is an index into `samples` (column `row`).

    A completion that a scorer of weight other than 0 could not score is unscored for TRL as a
    whole, which then leaves it out of the advantages: TRL would sum the other scorers' values,
    as if the missing one were zero.

    Raises HarnessError if no scorer has a weight, and when nothing of a batch was scored.
    """

    def __init__(
        self, rewards: Rewards, samples: Sequence[Sample], trained: int, ends: frozenset[int]
    ) -> None:
        self._rewards, self._samples = rewards, samples
        self._trained, self._ends = trained, ends
        self._given: object = None
        self._scored = self.latest = Batch((), (), {}, (), 0.0)
        if not any(rewards.weights.values()):
            raise HarnessError("no scorer has a weight other than 0, so there is no reward")

    @property
    def functions(self) -> list[RewardFunction]:
        """A reward function for each scorer, of its label."""
        return [self._function(label) for label in self._rewards.weights]

    def _function(self, label: str) -> RewardFunction:
        def reward(
            completions: Sequence[object],
            completion_ids: Sequence[Sequence[int]],
            row: Sequence[int],
            **_: object,
        ) -> list[float | None]:
            batch = self._batch(completions, completion_ids, row)
            pairs = zip(batch.reward, batch.scores[label], strict=True)
            return [None if total is None else score.value for total, score in pairs]

        reward.__name__ = label
        return reward

    def _batch(
        self, completions: Sequence[object], ids: Sequence[Sequence[int]], rows: Sequence[int]
    ) -> Batch:
        if completions is not self._given:
            made = [
                Completion(self._samples[row], _text(c), self._finish(tokens))
                for c, tokens, row in zip(completions, ids, rows, strict=True)
            ]
            self._scored, self._given = self._score(made, [len(t) for t in ids]), completions
            if rows[0] < self._trained:
                self.latest = self._scored
        return self._scored

    def _score(self, completions: Sequence[Completion], tokens: Sequence[int]) -> Batch:
        began = time.perf_counter()
        scores = self._rewards.score(completions)
        seconds = time.perf_counter() - began
        weights = {label: w for label, w in self._rewards.weights.items() if w}
        columns = [[score.value for score in scores[label]] for label in weights]
        reward = [_weighted(row, list(weights.values())) for row in zip(*columns, strict=True)]
        if not any(value is not None for value in gather_object(reward)):
            raise HarnessError(f"nothing of a batch was scored ({_cause(scores)})")
        return Batch(completions, tokens, scores, reward, seconds)

    def _finish(self, tokens: Sequence[int]) -> Finish:
        return "stop" if tokens and tokens[-1] in self._ends else "length"


def _weighted(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return sum(value * weight for value, weight in zip(known, weights, strict=True))


def _text(completion: object) -> str:
    """A completion's text; where there is a chat template it is a list of one message."""
    return completion if isinstance(completion, str) else str(completion[0]["content"])  # type: ignore[index]


def _cause(scores: Mapping[str, Sequence[Score]]) -> str:
    missing = (s for column in scores.values() for s in column if s.unscored)
    return Counter(f"{s.unscored}: {s.reason}" for s in missing).most_common(1)[0][0]
