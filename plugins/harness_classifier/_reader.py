"""From texts to logits: a text's logits do not depend on the texts beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness_classifier._loading import Loaded

BATCH_TOKENS = 32768

Ids = Sequence[int]
"""The token ids of one text, special ones included."""


class Reader:
    """Reads texts with a classifier.

    On a CPU each distinct text has a forward pass of its own, so that its logits are the same bit
    for bit whatever the batch; sentences keep a core busy as they are. Elsewhere, or where the
    tokens of a pass are given, texts of nearly equal length share one, padded and masked, and
    agree as far as float32 does.

    Args:
        loaded: The classifier.
        batch_tokens: Tokens in one forward pass, padding included; 0: one text on a CPU, 32,768
            tokens elsewhere.
    """

    def __init__(self, loaded: Loaded, batch_tokens: int = 0) -> None:
        self._loaded = loaded
        on_cpu = loaded.model.device.type == "cpu"
        unpadded = loaded.model.config.get_text_config().pad_token_id is None
        self._alone = unpadded or (on_cpu and not batch_tokens)
        self._batch_tokens = batch_tokens or BATCH_TOKENS

    def logits(self, texts: Sequence[str]) -> Tensor:
        """The logits [N, K] of texts, in order, on the CPU in float64."""
        distinct = list(dict.fromkeys(texts))
        by_text = dict(zip(distinct, self.of_ids(self.ids(distinct)), strict=True))
        return torch.stack([by_text[text] for text in texts])

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, cut at the limit; of no token at all, one of padding."""
        if not texts:
            return []
        loaded = self._loaded
        encoded = loaded.tokenizer(list(texts), truncation=True, max_length=loaded.limit)
        spare = [loaded.tokenizer.pad_token_id or 0]
        return [list(ids) or spare for ids in encoded["input_ids"]]

    @torch.inference_mode()
    def of_ids(self, texts: Sequence[Ids]) -> list[Tensor]:
        """The logits [K] of tokenized texts, in order."""
        found: dict[int, Tensor] = {}
        # A trainer's autocast must not change what evaluation measures.
        with torch.autocast(self._loaded.model.device.type, enabled=False):
            for batch in self._batches([len(ids) for ids in texts]):
                ids, mask = padded([texts[i] for i in batch], self._loaded)
                logits = self._loaded.model(input_ids=ids, attention_mask=mask).logits
                found |= dict(zip(batch, logits.double().cpu(), strict=True))
        return [found[i] for i in range(len(texts))]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Rows that share a pass, by length: the last of a batch is its longest."""
        batch: list[int] = []
        for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
            if batch and (self._alone or lengths[i] * (len(batch) + 1) > self._batch_tokens):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch


def padded(texts: Sequence[Ids], loaded: Loaded) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask [B, L], padded on the right, on the model's device."""
    longest = max(map(len, texts))
    ids = torch.full((len(texts), longest), loaded.tokenizer.pad_token_id or 0)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    device = loaded.model.device
    return ids.to(device), mask.to(device)
