"""The held-out rows under way: what the policy earns on them, how far it is from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from harness import Score
from harness.training.selecting import Moment, moments
from harness_gpt2.ppo._collect import Collector
from harness_gpt2.ppo._experience import Trajectory, padded
from harness_gpt2.ppo._group import Group
from harness_gpt2.ppo._losses import kl_k3
from harness_gpt2.ppo._metrics import mean_metrics, text_metrics
from harness_gpt2.ppo._prompts import Question
from harness_gpt2.ppo._rewards import TokenRewards


class HeldOut:
    """Held-out rows that are asked from time to time, always with the same noise of sampling."""

    def __init__(
        self, questions: Sequence[Question], collector: Collector, group: Group, batch_size: int
    ) -> None:
        self._questions, self._collector, self._group = questions, collector, group
        self._batch_size = batch_size

    def __len__(self) -> int:
        return len(self._questions)

    def answered(self, autocast: torch.dtype | None) -> list[Trajectory]:
        """The policy's answers, in order, scored and read by the reference."""
        size = self._batch_size
        found: list[Trajectory] = []
        for i in range(0, len(self._questions), size):
            mine = self._group.share(self._questions[i : i + size])
            found += self._group.gathered(self._collector.trajectories(mine, autocast))
        return found


def held_out_metrics(answered: Sequence[Trajectory], rewards: TokenRewards) -> dict[str, float]:
    """Means over held-out answers, with standard errors and n: scorers, proxy, KL and texts."""
    found: dict[str, float] = {}
    for label, column in columns(answered).items():
        values = [score.value for score in column if score.value is not None]
        found |= mean_metrics("held_out", values, label)
    scored = [t.response for t in answered if rewards.scored(t.response.scores)]
    found |= mean_metrics("held_out_proxy", [sum(rewards.rewards(r)) for r in scored])
    logprobs, reference = padded([t.logprobs for t in answered]), [t.reference for t in answered]
    mask = padded([[1.0] * len(t.tokens) for t in answered])
    far = (kl_k3(logprobs, padded(reference)) * mask).sum(1).tolist()
    found |= mean_metrics("held_out_kl", far)
    found |= mean_metrics("held_out_tokens", [len(t.tokens) for t in answered])
    return found | text_metrics("held_out_", [t.completion.text for t in answered])


def held_out_moments(
    answered: Sequence[Trajectory], labels: Sequence[str]
) -> Mapping[str, Moment] | None:
    """What a checkpoint is selected by; None where one of the scorers scored nothing."""
    return moments(columns(answered), labels)


def columns(answered: Sequence[Trajectory]) -> dict[str, list[Score]]:
    """The scores of each scorer."""
    labels = answered[0].response.scores if answered else ()
    return {label: [t.response.scores[label] for t in answered] for label in labels}
