"""The rows of one decoding batch, as tensors."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from transformers import PreTrainedModel

from harness_gpt2._cache import PreallocatedLayer, preallocated_cache

_WORTH_SHARING = 64
"""Prompt tokens to be saved before a common start is computed apart."""


@dataclass(frozen=True, slots=True)
class Row:
    """One answer to be decoded: at least one prompt token, 1 to `budget` new ones, a noise key."""

    prompt: Sequence[int]
    budget: int
    key: tuple[int, int] = (0, 0)


class Batch:
    """Rows that are decoded together, and the model's cache of them.

    A row of `tokens` holds the start that all prompts share, padding, the rest of the prompt and
    the answer; padding has the vocabulary's size for an id. `logits` [rows, vocabulary] are those
    of the next token; `places` says which rows of the caller are left.
    """

    def __init__(self, model: PreTrainedModel, rows: Sequence[Row]) -> None:
        self.logits: torch.Tensor
        self.keys: torch.Tensor
        self._tokens: torch.Tensor
        self._mask: torch.Tensor
        self._positions: torch.Tensor
        self.places = list(range(len(rows)))
        self.step = 0
        self._model = model
        self._takes = set(inspect.signature(model.forward).parameters)
        self._seen, self._length = 0, max(len(row.prompt) for row in rows)
        room = self._length + max(row.budget for row in rows)
        self._cache = preallocated_cache(model, room)
        shared = self._shared(rows)
        self._lay_out(rows, shared, room)
        if shared:
            self._start(shared, len(rows))
        self.forward()

    @property
    def history(self) -> torch.Tensor:
        """Prompts and answers so far, int64 [rows, tokens]."""
        return self._tokens[:, : self._length]

    def forward(self) -> None:
        """Run the tokens that the cache lacks through the model."""
        new = slice(self._seen, self._length)
        ids = self._tokens[:, new]
        if self.step == 0:
            ids = ids.masked_fill(self._mask[:, new] == 0, 0)
        self.logits = self._run(ids, self._mask[:, : self._length], self._positions[:, new])
        self._seen = self._length

    def append(self, chosen: torch.Tensor) -> None:
        """Add one token to each row."""
        self._tokens[:, self._length] = chosen
        self._length += 1
        self.step += 1

    def keep(self, left: list[int]) -> None:
        """Let all rows leave but those at these places of the batch."""
        if len(left) == len(self.places):
            return
        self.places = [self.places[place] for place in left]
        chosen = self._rows(left)
        self._tokens, self._mask = self._tokens[chosen], self._mask[chosen]
        self._positions, self.keys = self._positions[chosen], self.keys[chosen]
        self._cache.reorder_cache(chosen)

    def _shared(self, rows: Sequence[Row]) -> int:
        """How many tokens of a common start, such as a system message, are worth computing once."""
        if "position_ids" not in self._takes:
            return 0
        if not all(isinstance(layer, PreallocatedLayer) for layer in self._cache.layers):
            return 0
        shared = _common_start([row.prompt for row in rows])
        return shared if shared * (len(rows) - 1) >= _WORTH_SHARING else 0

    def _lay_out(self, rows: Sequence[Row], shared: int, room: int) -> None:
        tokens = torch.full((len(rows), room), self._model.config.get_text_config().vocab_size)
        mask = torch.ones_like(tokens)
        for i, row in enumerate(rows):
            start = self._length - len(row.prompt) + shared
            tokens[i, :shared] = torch.tensor(row.prompt[:shared])
            tokens[i, start : self._length] = torch.tensor(row.prompt[shared:])
            mask[i, shared:start] = 0
        device = self._model.device
        self._tokens, self._mask = tokens.to(device), mask.to(device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp_(min=0)
        self.keys = torch.tensor([row.key for row in rows], dtype=torch.int32).to(device)

    def _start(self, shared: int, rows: int) -> None:
        one = (tensor[:1, :shared] for tensor in (self._tokens, self._mask, self._positions))
        self._run(*one)
        self._seen = shared
        self._cache.reorder_cache(self._rows([0] * rows))

    def _rows(self, places: list[int]) -> torch.LongTensor:
        return cast(torch.LongTensor, torch.tensor(places, device=self._model.device))

    def _run(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        optional = {"position_ids": positions, "logits_to_keep": 1}
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self._takes},
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _common_start(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts share at their start; at least one is left to each."""
    shared = 0
    for tokens in zip(*(prompt[:-1] for prompt in prompts), strict=False):
        if len(set(tokens)) > 1:
            break
        shared += 1
    return shared
