"""The arithmetic of PPO, as pure functions over padded batches.

Tensors are [rows, tokens] over the response tokens, padded on the right; `mask` is 1 at real
tokens and 0 at padding. Sources: Schulman et al. 2017 (PPO, arXiv:1707.06347) and 2016 (GAE,
arXiv:1506.02438); Ziegler et al. 2019 (arXiv:1909.08593) for the KL penalty and its control;
Schulman, "Approximating KL divergence" (2020) for k1 and k3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean over real tokens; 0 where there are none."""
    return (x * mask).sum() / mask.sum().clamp_min(1)


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Scale to mean 0 and standard deviation 1 over real tokens (Bessel-corrected, eps 1e-8)."""
    mean = masked_mean(x, mask)
    count = mask.sum()
    variance = masked_mean((x - mean) ** 2, mask) * count / (count - 1).clamp_min(1)
    whitened: Tensor = (x - mean) * torch.rsqrt(variance + 1e-8)
    return whitened * mask


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation; gives advantages (not whitened) and returns.

    delta_t = r_t + gamma V_(t+1) - V_t and A_t = delta_t + gamma lam A_(t+1), with V = 0 after
    the last token; the returns are A + V.
    """
    values, rewards = values * mask, rewards * mask
    advantages = torch.zeros_like(values)
    following = torch.zeros_like(values[:, 0])
    for t in range(values.shape[1] - 1, -1, -1):
        after = values[:, t + 1] if t + 1 < values.shape[1] else torch.zeros_like(following)
        delta = rewards[:, t] + gamma * after - values[:, t]
        following = (delta + gamma * lam * following) * mask[:, t]
        advantages[:, t] = following
    return advantages, advantages + values


def kl_k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Log pi - log pi_ref: without bias under pi, and the penalty's form; may be negative."""
    return logprobs - reference


def kl_k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """exp(-d) - 1 + d with d = log pi - log pi_ref: without bias under pi, never negative."""
    difference = logprobs - reference
    return torch.expm1(-difference) + difference


class PolicyLoss(NamedTuple):
    """The sum of a minibatch's clipped losses, and what describes it."""

    total: Tensor
    clipped: Tensor
    """How many tokens' loss is the clipped one."""
    ratio: Tensor
    """The sum of pi_new / pi_old."""
    approx_kl: Tensor
    """The sum of (log pi_new - log pi_old)^2 / 2."""


def policy_loss(new: Tensor, old: Tensor, advantages: Tensor, clip: float) -> PolicyLoss:
    """Sums over flat tokens of max(-A rho, -A clip(rho, 1 - clip, 1 + clip)), rho = pi / pi_old."""
    difference = new - old
    ratio = difference.exp()
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip, 1 + clip)
    with torch.no_grad():
        larger = (clipped > plain).sum()
        approx_kl = 0.5 * (difference**2).sum()
    return PolicyLoss(torch.maximum(plain, clipped).sum(), larger, ratio.detach().sum(), approx_kl)


def value_loss(new: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """The sum over flat tokens of max((V - R)^2, (V_clipped - R)^2) / 2, V within old ± clip."""
    near = old + (new - old).clamp(-clip, clip)
    return 0.5 * torch.maximum((new - returns) ** 2, (near - returns) ** 2).sum()


@dataclass(slots=True)
class KlControl:
    """The KL penalty's coefficient; adaptive where there is a target (Ziegler et al., 2.2).

    `target` is nats a sequence, None keeps the coefficient; `horizon` is in sequences.
    """

    coefficient: float
    target: float | None
    horizon: int

    def update(self, kl: float, sequences: int) -> None:
        """Move the coefficient towards the target, by at most 20 % a horizon."""
        if self.target:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.coefficient *= 1 + error * sequences / self.horizon
