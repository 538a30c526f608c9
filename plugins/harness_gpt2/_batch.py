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

    Prompts are padded on the left, so that all answers start at one column. `logits`
    [rows, vocabulary] are those of the next token; `places` says which of the caller's rows are
    left. A start that all prompts share, such as a system message, is computed once.
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
        self._lay_out(rows, room)
        self._share_start([row.prompt for row in rows])
        self.forward()

    @property
    def history(self) -> torch.Tensor:
        """Prompts and answers so far, int64 [rows, tokens]; padding has the vocabulary's size."""
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
        chosen = torch.tensor(left, device=self._model.device)
        self._tokens, self._mask = self._tokens[chosen], self._mask[chosen]
        self._positions, self.keys = self._positions[chosen], self.keys[chosen]
        self._cache.reorder_cache(cast(torch.LongTensor, chosen))

    def _lay_out(self, rows: Sequence[Row], room: int) -> None:
        tokens = torch.full((len(rows), room), self._model.config.get_text_config().vocab_size)
        mask = torch.ones_like(tokens)
        for i, row in enumerate(rows):
            start = self._length - len(row.prompt)
            tokens[i, start : self._length] = torch.tensor(row.prompt)
            mask[i, :start] = 0
        device = self._model.device
        self._tokens, self._mask = tokens.to(device), mask.to(device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp_(min=0)
        self.keys = torch.tensor([row.key for row in rows], dtype=torch.int32).to(device)

    def _share_start(self, prompts: Sequence[Sequence[int]]) -> None:
        """Fill the cache's first columns from one forward pass, where that is worth it.

        The passes after it compute all later columns, of short rows a part of the start anew.
        """
        shared = _common_start(prompts)
        layers = [layer for layer in self._cache.layers if isinstance(layer, PreallocatedLayer)]
        possible = "position_ids" in self._takes and len(layers) == len(self._cache.layers)
        if not possible or shared * (len(prompts) - 1) < _WORTH_SHARING:
            return
        ids = torch.tensor([prompts[0][:shared]], device=self._model.device)
        places = torch.arange(shared, device=self._model.device)
        self._run(ids, torch.ones_like(ids), places[None])
        padding = (self._mask == 0).sum(-1, keepdim=True)
        for layer in layers:
            layer.spread((places - padding).clamp(min=0))
        self._seen = shared

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
