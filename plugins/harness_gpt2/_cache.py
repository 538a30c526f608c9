"""A key-value cache whose storage is allocated once, where transformers copies it at each token."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class PreallocatedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A full-attention layer; keys and values are [rows, heads, tokens, width] views of a store."""

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._capacity = capacity
        self._length = 0
        self._store: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the states of new tokens; gives those of all tokens so far."""
        if self._store is None:
            self.lazy_initialization(key_states, value_states)
            self._store = (self._room(key_states), self._room(value_states))
        end = self._length + key_states.shape[-2]
        for store, states in zip(self._store, (key_states, value_states), strict=True):
            store[:, :, self._length : end] = states
        self._length = end
        return self._view()

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Put these rows in place of all."""
        if self._store is not None:
            keys, values = self._store
            self._store = (self._kept(keys, beam_idx), self._kept(values, beam_idx))
            self._view()

    def spread(self, sources: torch.Tensor) -> None:
        """Make many rows of the only one; `sources` [rows, tokens] are the columns to copy."""
        assert self._store is not None
        keys, values = (store[0][:, sources].transpose(0, 1) for store in self._store)
        self._store, self._length = None, 0
        self.update(keys, values)

    def _room(self, states: torch.Tensor) -> torch.Tensor:
        rows, heads, _, width = states.shape
        return states.new_empty(rows, heads, self._capacity, width)

    def _kept(self, store: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        kept = store.new_empty(len(indices), *store.shape[1:])
        kept[:, :, : self._length] = store[indices, :, : self._length]
        return kept

    def _view(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._store is not None
        self.keys, self.values = (store[:, :, : self._length] for store in self._store)
        return self.keys, self.values


def preallocated_cache(model: PreTrainedModel, capacity: int) -> Cache:
    """The model's own kind of cache, its full-attention layers with room for `capacity` tokens."""
    cache = DynamicCache(config=model.config)
    cache.layers = [
        PreallocatedLayer(capacity) if type(layer) is DynamicLayer else layer
        for layer in cache.layers
    ]
    return cache
