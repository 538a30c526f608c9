"""The update: a few passes of clipped policy and value losses over one batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from harness_gpt2.ppo._experience import Experience
from harness_gpt2.ppo._group import Group
from harness_gpt2.ppo._losses import policy_loss, value_loss
from harness_gpt2.ppo._policy import Outputs, Policy, Sequences
from harness_gpt2.ppo.settings import PpoSettings

_SUMS = ("loss/policy", "loss/value", "clip_fraction", "ratio", "approx_kl", "tokens")


class Updater:
    """Adam on the losses of PPO (Schulman et al., 2017), minibatch by minibatch."""

    def __init__(
        self, policy: Policy, settings: PpoSettings, group: Group, autocast: torch.dtype | None
    ) -> None:
        self.policy, self._settings, self._group = policy, settings, group
        self._autocast = autocast
        trained = policy.trained()
        self._parameters = list(trained.values())
        self._alone = [p for n, p in trained.items() if n.startswith(("controls", "value_head"))]
        groups = [
            {"params": [p for n, p in trained.items() if n != "controls"], "rate": 1.0},
            {
                "params": [p for n, p in trained.items() if n == "controls"],
                "rate": settings.control_rate,
            },
        ]
        self.optimizer = torch.optim.Adam(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate,
            betas=(settings.momentum, 0.999),
            fused=True,
        )

    def update(self, known: Experience, minibatches: Iterable[Sequence[int]]) -> dict[str, float]:
        """Take one optimizer step a minibatch (indices of rows); gives means over the tokens."""
        totals: defaultdict[str, float] = defaultdict(float)
        steps = 0
        for minibatch in minibatches:
            for name, value in self._step(known, minibatch).items():
                totals[name] += value
            steps += 1
        tokens = totals.pop("tokens") or 1.0
        others = {"grad_norm": totals.pop("grad_norm", 0.0) / max(steps, 1)}
        others["skipped"] = totals.pop("skipped", 0.0)
        return {name: value / tokens for name, value in totals.items()} | others

    def outputs(self, batch: Sequences, *, entropy: bool = False) -> Outputs:
        """The policy's numbers, in the arithmetic of the update."""
        return forward(self.policy, batch, self._autocast, entropy=entropy)

    def _step(self, known: Experience, minibatch: Sequence[int]) -> dict[str, float]:
        tokens = float(known.mask[list(minibatch)].sum())
        sums = torch.zeros(len(_SUMS), dtype=torch.float64)
        self.optimizer.zero_grad()
        mine = self._group.share(minibatch)
        size = self._settings.microbatch_size or max(len(mine), 1)
        for apart in (False, True):
            rows = [row for row in mine if known.isolated[row] == apart]
            for start in range(0, len(rows), size):
                sums += self._backward(known, rows[start : start + size], tokens, apart)
        self._group.sum_gradients(self._parameters)
        found = dict(zip(_SUMS, self._group.summed(sums).tolist(), strict=True))
        if found["ratio"] / tokens > self._settings.ratio_limit:
            return found | {"skipped": 1.0}
        norm = torch.nn.utils.clip_grad_norm_(
            self._parameters, self._settings.max_grad_norm or torch.inf
        )
        self.optimizer.step()
        return found | {"grad_norm": norm.item()}

    def _backward(
        self, known: Experience, rows: list[int], tokens: float, isolated: bool
    ) -> Tensor:
        """Add the gradient of some rows; gives sums over their tokens, as `_SUMS` names them."""
        batch = Sequences(*([part[i] for i in rows] for part in known.batch))
        settings = self._settings
        new = self.outputs(batch, entropy=settings.entropy_coef > 0)
        real = known.mask[rows] > 0
        old_logprobs, old_values, advantages, returns = (
            part[rows][real].to(new.values.device)
            for part in (known.logprobs, known.values, known.advantages, known.returns)
        )
        policy = policy_loss(new.logprobs, old_logprobs, advantages, settings.clip_ratio)
        value = value_loss(new.values, old_values, returns, settings.clip_value)
        bonus = settings.entropy_coef * new.entropy.sum()
        loss = policy.total + settings.value_coef * value - bonus
        torch.autograd.backward(loss / tokens, inputs=self._alone if isolated else None)
        sums = (policy.total, value, policy.clipped, policy.ratio, policy.approx_kl, real.sum())
        return torch.stack([x.detach().double().cpu() for x in sums])


def forward(
    policy: Policy, batch: Sequences, autocast: torch.dtype | None, *, entropy: bool = False
) -> Outputs:
    """Run a policy under autocast, or without."""
    device = policy.model.device.type
    with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
        outputs: Outputs = policy(batch, entropy=entropy)
    return outputs


def minibatches(
    lengths: Sequence[int], size: int, epochs: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    """Rows in minibatches of like length, in random order, each row once an epoch.

    Lengths are jittered before they are sorted, so that the minibatches differ by epoch.
    """
    jitter = float(np.std(lengths)) / 2
    for _ in range(epochs):
        order = np.argsort(np.asarray(lengths) + rng.uniform(-jitter, jitter, len(lengths)))
        several = [order[i : i + size].tolist() for i in range(0, len(order), size)]
        rng.shuffle(several)
        yield from several
