"""What a batch of trajectories says about the training."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch

from harness_gpt2.ppo._experience import Experience, Trajectory, padded
from harness_gpt2.ppo._losses import kl_k1, kl_k3


def batch_metrics(
    trajectories: Sequence[Trajectory], rewards: Sequence[Sequence[float]], known: Experience
) -> dict[str, float]:
    """Reward, KL, entropy, lengths and explained variance of what was scored.

    KL is nats a response: `kl` by k3, which is never negative, `kl_k1` as the penalty has it.
    `explained_variance` is 1 - Var[R - V] / Var[R] over tokens.
    """
    reference = padded([t.reference for t in trajectories])
    k1, k3 = kl_k1(known.logprobs, reference), kl_k3(known.logprobs, reference)
    real = known.mask > 0
    returns, errors = known.returns[real], (known.returns - known.values)[real]
    spread = returns.var().item() if len(returns) > 1 else 0.0
    return {
        "reward": fmean(sum(row) for row in rewards),
        "kl": (k3 * known.mask).sum(1).mean().item(),
        "kl_k1": (k1 * known.mask).sum(1).mean().item(),
        "entropy": fmean(value for t in trajectories for value in t.entropy),
        "response_tokens": fmean(len(t.tokens) for t in trajectories),
        "ended": fmean(t.response.ended for t in trajectories),
        "explained_variance": 1 - errors.var().item() / spread if spread > 0 else 0.0,
    }


def score_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Each scorer's mean over what it scored, apart for flipped rows, and how many it did not."""
    metrics: dict[str, float] = {}
    for label in trajectories[0].response.scores:
        by_sign: dict[int, list[float]] = {}
        for t in trajectories:
            value = t.response.scores[label].value
            if value is not None:
                by_sign.setdefault(t.response.sign, []).append(value)
        count = sum(map(len, by_sign.values()))
        metrics[f"scored/{label}"] = float(count)
        metrics[f"unscored/{label}"] = float(len(trajectories) - count)
        for sign, values in by_sign.items():
            metrics[f"score/{label}" if sign > 0 else f"score_bad/{label}"] = fmean(values)
    return metrics


def spread(values: Sequence[float]) -> float:
    """The standard deviation of some numbers; 0 for one."""
    return torch.tensor(values, dtype=torch.float64).std(correction=0).item() if values else 0.0
