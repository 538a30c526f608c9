"""Batched decoding: rows of one batch, which leave it as they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel

from harness_gpt2._batch import Batch, Row
from harness_gpt2._sampling import Sampler


@dataclass(frozen=True, slots=True)
class Answer:
    """New tokens, the end token included, and whether it or the budget ended them."""

    tokens: list[int]
    finish: Literal["stop", "length"]


Ended = Callable[[Sequence[int]], bool]
"""Whether an answer is complete with the last of these tokens."""

Watch = Callable[[Batch, torch.Tensor], None]
"""Is shown each step of a batch: its rows with their logits, and the tokens chosen [rows]."""


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    rows: Sequence[Row],
    sampler: Sampler,
    ended: Ended,
    watch: Watch = lambda batch, chosen: None,
) -> list[Answer]:
    """Decode all rows in one batch, in order; equals decoding each alone, up to float error."""
    answers: list[list[int]] = [[] for _ in rows]
    finish: list[Literal["stop", "length"]] = ["length"] * len(rows)
    batch = Batch(model, rows)
    while True:
        chosen = sampler.choose(batch.logits, batch.history, batch.keys, batch.step)
        watch(batch, chosen)
        left = []
        for place, (index, token) in enumerate(zip(batch.places, chosen.tolist(), strict=True)):
            answers[index].append(token)
            if ended(answers[index]):
                finish[index] = "stop"
            elif len(answers[index]) < rows[index].budget:
                left.append(place)
        if not left:
            return [Answer(*answer) for answer in zip(answers, finish, strict=True)]
        batch.append(chosen)
        batch.keep(left)
        batch.forward()
