"""The processes of one training, by `accelerate launch`; a single one without it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


class Group:
    """This process among those that train together."""

    def __init__(self, device: torch.device) -> None:
        if _launched() and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        joined = distributed.is_initialized()
        self.rank = distributed.get_rank() if joined else 0
        self.size = distributed.get_world_size() if joined else 1

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of what all have."""
        return items[self.rank :: self.size]

    def gathered(self, items: Sequence[T]) -> list[T]:
        """What `share` divided, made whole and in order again, from each process's part."""
        if self.size == 1:
            return list(items)
        parts: list[Sequence[T]] = [()] * self.size
        distributed.all_gather_object(parts, list(items))
        every: list[T] = []
        for turn in range(max(map(len, parts))):
            every += [part[turn] for part in parts if turn < len(part)]
        return every

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process: all must stop after the same step."""
        return bool(self.summed(torch.tensor(float(flag))).item())

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add up the gradients of all processes; one that has none counts as 0."""
        if self.size == 1:
            return
        several = list(parameters)
        for parameter in several:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.flatten() for p in several if p.grad is not None])
        distributed.all_reduce(flat)
        for p, part in zip(several, torch.split(flat, [p.numel() for p in several]), strict=True):
            assert p.grad is not None
            p.grad.copy_(part.view_as(p.grad))

    def summed(self, numbers: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers


def _launched() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
