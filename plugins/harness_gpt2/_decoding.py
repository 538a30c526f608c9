"""Batched decoding: left-padded rows of one batch, which leave it as they end."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel

from harness_gpt2._cache import preallocated_cache
from harness_gpt2._sampling import Sampler


@dataclass(frozen=True, slots=True)
class Row:
    """One answer to be decoded: at least one prompt token, 1 to `budget` new ones, a noise key."""

    prompt: Sequence[int]
    budget: int
    key: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """New tokens, the end token included, and whether it or the budget ended them."""

    tokens: list[int]
    finish: Literal["stop", "length"]


Ended = Callable[[Sequence[int]], bool]
"""Whether an answer is complete with the last of these tokens."""


@torch.no_grad()
def decode(
    model: PreTrainedModel, rows: Sequence[Row], sampler: Sampler, ended: Ended
) -> list[Answer]:
    """Decode all rows in one batch, in order; equals decoding each alone, up to float error."""
    answers: list[list[int]] = [[] for _ in rows]
    finish: list[Literal["stop", "length"]] = ["length"] * len(rows)
    batch = _Batch(model, rows)
    while True:
        chosen = batch.choose(sampler)
        left = []
        for place, (index, token) in enumerate(zip(batch.alive, chosen.tolist(), strict=True)):
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


class _Batch:
    """The rows still alive, as tensors [rows, prompt + answer], and the model's cache of them."""

    def __init__(self, model: PreTrainedModel, rows: Sequence[Row]) -> None:
        self.alive = list(range(len(rows)))
        self._model = model
        self._takes = set(inspect.signature(model.forward).parameters)
        self._seen, self._length, self._step = 0, max(len(row.prompt) for row in rows), 0
        room = self._length + max(row.budget for row in rows)
        self._cache = preallocated_cache(model, room)
        tokens = torch.full((len(rows), room), model.config.get_text_config().vocab_size)
        mask = torch.ones_like(tokens)
        for i, row in enumerate(rows):
            start = self._length - len(row.prompt)
            tokens[i, start : self._length] = torch.tensor(row.prompt)
            mask[i, :start] = 0
        self._tokens, self._mask = tokens.to(model.device), mask.to(model.device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp_(min=0)
        self._keys = torch.tensor([row.key for row in rows], dtype=torch.int32).to(model.device)
        self.forward()

    def forward(self) -> None:
        """Run the tokens that the cache lacks through the model."""
        new = slice(self._seen, self._length)
        ids = self._tokens[:, new]
        if self._seen == 0:
            ids = ids.masked_fill(self._mask[:, new] == 0, 0)
        optional = {"position_ids": self._positions[:, new], "logits_to_keep": 1}
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask[:, : self._length],
            past_key_values=self._cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self._takes},
        )
        self._logits, self._seen = output.logits[:, -1], self._length

    def choose(self, sampler: Sampler) -> torch.Tensor:
        """Give the next token of each row that is alive."""
        history = self._tokens[:, : self._length]
        return sampler.choose(self._logits, history, self._keys, self._step)

    def append(self, chosen: torch.Tensor) -> None:
        """Add one token to each row."""
        self._tokens[:, self._length] = chosen
        self._length += 1
        self._step += 1

    def keep(self, places: list[int]) -> None:
        """Let the rows at other places leave."""
        if len(places) == len(self.alive):
            return
        self.alive = [self.alive[place] for place in places]
        chosen = torch.tensor(places, device=self._tokens.device)
        self._tokens, self._mask = self._tokens[chosen], self._mask[chosen]
        self._positions, self._keys = self._positions[chosen], self._keys[chosen]
        for layer in self._cache.layers:
            layer.batch_select_indices(chosen)
