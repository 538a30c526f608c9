"""From questions to trajectories: sample, score, and read with the reference."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import torch

from harness import Completion, Rewards, Score
from harness_gpt2._decoding import Answer
from harness_gpt2._loading import Loaded
from harness_gpt2._sampling import Sampler
from harness_gpt2._stopping import Stopper
from harness_gpt2.ppo._experience import Trajectory
from harness_gpt2.ppo._policy import Policy, Sequences
from harness_gpt2.ppo._prompts import Question
from harness_gpt2.ppo._rewards import Response, Spans
from harness_gpt2.ppo._rollout import Rollout, roll_out
from harness_gpt2.ppo._update import forward
from harness_gpt2.ppo.settings import PpoSettings


class Collector:
    """Collects trajectories; `seconds` adds up what rollouts, scores and the reference take."""

    def __init__(
        self, policy: Policy, loaded: Loaded, rewards: Rewards, settings: PpoSettings
    ) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._policy, self._rewards, self._settings = policy, rewards, settings
        self._reference = policy.reference()
        self._stopper, self._spans = Stopper(loaded, ()), Spans(loaded.tokenizer)
        self._sampler = Sampler(
            settings.temperature, settings.top_k, settings.top_p, settings.repetition_penalty
        )

    def answers(self, questions: Sequence[Question]) -> list[Completion]:
        """The policy's answers, nothing recorded."""
        return self._completions(questions, self._roll_out(questions).answers)

    def trajectories(
        self, questions: Sequence[Question], autocast: torch.dtype | None
    ) -> list[Trajectory]:
        """One trajectory a question; scorers work while the reference reads the responses."""
        if not questions:
            return []
        with self._timed("rollout"):
            rolled = self._roll_out(questions)
        completions = self._completions(questions, rolled.answers)
        with ThreadPoolExecutor(1, "ppo-scores") as thread:
            scoring = thread.submit(self._score, completions)
            with self._timed("reference"):
                rolled, compared = self._compared(questions, rolled, autocast)
            scores = scoring.result()
        return [
            self._trajectory(
                question,
                completions[i],
                {label: column[i] for label, column in scores.items()},
                rolled.row(i),
                compared[i],
            )
            for i, question in enumerate(questions)
        ]

    def _roll_out(self, questions: Sequence[Question]) -> Rollout:
        free = self._settings.length == "free"
        ended = self._stopper.ended if free else _never
        return roll_out(self._policy, [q.row for q in questions], self._sampler, ended)

    def _completions(
        self, questions: Sequence[Question], answers: Sequence[Answer]
    ) -> list[Completion]:
        return [
            Completion(q.sample, self._stopper.text(a.tokens), a.finish)
            for q, a in zip(questions, answers, strict=True)
        ]

    def _score(self, completions: Sequence[Completion]) -> Mapping[str, list[Score]]:
        with self._timed("score"):
            return self._rewards.score(completions)

    @torch.no_grad()
    def _compared(
        self, questions: Sequence[Question], rolled: Rollout, autocast: torch.dtype | None
    ) -> tuple[Rollout, list[list[float]]]:
        """The reference's log-probabilities; under autocast the policy's are computed anew too.

        Decoding is in float32, and a ratio must start at 1 in the arithmetic of the update.
        """
        batch = Sequences([q.row.prompt for q in questions], [a.tokens for a in rolled.answers])
        counts = [len(answer.tokens) for answer in rolled.answers]
        if autocast is not None:
            again = forward(self._policy, batch, autocast)
            rolled = replace(rolled, logprobs=torch.split(again.logprobs, counts))
            rolled = replace(rolled, values=torch.split(again.values, counts))
        reference = forward(self._reference, batch, autocast)
        return rolled, [part.tolist() for part in torch.split(reference.logprobs, counts)]

    def _trajectory(
        self,
        question: Question,
        completion: Completion,
        scores: Mapping[str, Score],
        recorded: tuple[Answer, list[float], list[float], list[float]],
        reference: list[float],
    ) -> Trajectory:
        answer, logprobs, values, entropy = recorded
        spans = self._spans.of(answer.tokens, completion.text)
        response = Response(scores, spans, question.sign, answer.finish == "stop")
        return Trajectory(
            question.row.prompt,
            answer.tokens,
            logprobs,
            values,
            entropy,
            reference,
            completion,
            response,
        )

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - began


def _never(_: Sequence[int]) -> bool:
    return False
