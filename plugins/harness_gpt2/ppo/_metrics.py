"""What a batch of trajectories says about the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

import torch

from harness.diversity import distinct, repetition
from harness_gpt2.ppo._experience import Experience, Trajectory, padded
from harness_gpt2.ppo._losses import kl_k1, kl_k3


def batch_metrics(
    trajectories: Sequence[Trajectory], rewards: Sequence[Sequence[float]], known: Experience
) -> dict[str, float]:
    """Reward, KL, entropy, lengths and explained variance of what was scored.

    KL is nats a response: `kl` by k3, which is never negative, `kl_k1` as the penalty has it.
    `explained_variance` is 1 - Var[R - V] / Var[R] over tokens. `proxy` is what responses earn
    whose control does not flip it.
    """
    reference = padded([t.reference for t in trajectories])
    k1, k3 = kl_k1(known.logprobs, reference), kl_k3(known.logprobs, reference)
    earned = [sum(row) for t, row in zip(trajectories, rewards, strict=True) if upright(t)]
    upward = [t for t in trajectories if upright(t)]
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
        **mean_metrics("proxy", earned),
        **mean_metrics("response_tokens", [len(t.tokens) for t in trajectories], error_only=True),
        **text_metrics("", [t.completion.text for t in upward]),
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
            kind = "score" if sign > 0 else "score_bad"
            metrics |= mean_metrics(kind, values, label)
    return metrics


def mean_metrics(
    name: str, values: Sequence[float], label: str = "", *, error_only: bool = False
) -> dict[str, float]:
    """The mean of some values as `name/label`, with its standard error and n; none of none.

    One value has no error.
    """
    end, count = f"/{label}" if label else "", len(values)
    found = {} if error_only or not values else {f"{name}{end}": fmean(values)}
    if count > 1:
        found[f"{name}_se{end}"] = stdev(values) / math.sqrt(count)
    return found | ({f"{name}_n{end}": float(count)} if values else {})


def text_metrics(before: str, texts: Sequence[str]) -> dict[str, float]:
    """How varied texts are: distinct-1 and distinct-2 over all, and the mean repetition of each."""
    found = mean_metrics(f"{before}repetition", [repetition(text) for text in texts])
    for n in (1, 2):
        share = distinct(texts, n)
        if share is not None:
            found[f"{before}distinct_{n}"] = share
    return found


def upright(trajectory: Trajectory) -> bool:
    """Whether the reward of a response counts as it is, and not flipped."""
    return trajectory.response.sign > 0


def spread(values: Sequence[float]) -> float:
    """The standard deviation of some numbers; 0 for one."""
    return torch.tensor(values, dtype=torch.float64).std(correction=0).item() if values else 0.0
