"""What a batch of responses teaches: trajectories, and the tensors of the update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness import Completion
from harness_gpt2.ppo._losses import gae, whiten
from harness_gpt2.ppo._policy import Sequences
from harness_gpt2.ppo._rewards import Response
from harness_gpt2.ppo.settings import PpoSettings


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One response: its tokens, and per token what the policy and the reference made of it."""

    prompt: Sequence[int]
    tokens: Sequence[int]
    logprobs: Sequence[float]
    values: Sequence[float]
    entropy: Sequence[float]
    reference: Sequence[float]
    completion: Completion
    response: Response


@dataclass(frozen=True, slots=True)
class Experience:
    """A batch as the update reads it; tensors are [rows, tokens], padded on the right with 0."""

    batch: Sequences
    mask: Tensor
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    isolated: Sequence[bool]
    """Which rows train the control tokens alone, and leave the rest of the policy as it is."""

    def lengths(self) -> list[int]:
        """Tokens of each row, prompt and response."""
        return [len(p) + len(r) for p, r in zip(*self.batch, strict=True)]


def experience(
    trajectories: Sequence[Trajectory],
    rewards: Sequence[Sequence[float]],
    kl_coef: float,
    settings: PpoSettings,
) -> Experience:
    """Rewards less the KL penalty, discounted into advantages and returns."""
    logprobs = padded([t.logprobs for t in trajectories])
    values = padded([t.values for t in trajectories])
    mask = padded([[1.0] * len(t.tokens) for t in trajectories])
    penalty = kl_coef * (logprobs - padded([t.reference for t in trajectories]))
    advantages, returns = gae(padded(rewards) - penalty, values, mask, settings.gamma, settings.lam)
    if settings.whiten:
        advantages = whiten(advantages, mask)
    batch = Sequences([t.prompt for t in trajectories], [t.tokens for t in trajectories])
    apart = settings.bad_trains == "control"
    isolated = [apart and t.response.sign < 0 for t in trajectories]
    return Experience(batch, mask, logprobs, values, advantages, returns, isolated)


def padded(rows: Sequence[Sequence[float]]) -> Tensor:
    """Rows of numbers as float32 [rows, longest], 0 where a row has ended."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
