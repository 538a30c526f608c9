"""Rollouts: responses sampled from the policy, with what PPO needs recorded while decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness_gpt2._batch import Batch, Row
from harness_gpt2._decoding import Answer, Ended, decode
from harness_gpt2._packing import packed_linears
from harness_gpt2._sampling import Sampler
from harness_gpt2.ppo._policy import Policy


@dataclass(frozen=True, slots=True)
class Rollout:
    """Responses to rows, and for each a number a token: log-probability, value, entropy.

    The log-probabilities are the policy's at its temperature, without the sampler's warps.
    """

    answers: list[Answer]
    logprobs: Sequence[Tensor]
    values: Sequence[Tensor]
    entropy: Sequence[Tensor]

    def row(self, i: int) -> tuple[Answer, list[float], list[float], list[float]]:
        """All that is known of one response."""
        parts = (self.logprobs[i], self.values[i], self.entropy[i])
        logprobs, values, entropy = (part.tolist() for part in parts)
        return self.answers[i], logprobs, values, entropy


@torch.no_grad()
def roll_out(policy: Policy, rows: Sequence[Row], sampler: Sampler, ended: Ended) -> Rollout:
    """Decode all rows in one batch, in order, without gradients."""
    steps: list[tuple[list[int], Tensor]] = []
    with packed_linears(policy.model), policy.watching() as hidden:

        def record(batch: Batch, chosen: Tensor) -> None:
            numbers = torch.stack(policy.read(batch.logits, hidden[0], chosen))
            steps.append((batch.places, numbers))

        answers = decode(policy.model, rows, sampler, ended, record)
    recorded = torch.zeros(3, len(rows), len(steps), device=policy.model.device)
    for step, (places, numbers) in enumerate(steps):
        recorded[:, torch.tensor(places), step] = numbers
    kept = [
        [part[i, : len(answer.tokens)] for i, answer in enumerate(answers)]
        for part in recorded.cpu()
    ]
    return Rollout(answers, *kept)
