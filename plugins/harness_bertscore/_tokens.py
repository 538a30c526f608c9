"""From text to token ids: bert-score's conventions, and lengths that an encoder can take."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

Ids = Sequence[int]
"""The token ids of one text, special ones included."""

UNKNOWN_LIMIT = 512
"""Tokens for an encoder with relative positions whose tokenizer names no limit."""

_UNLIMITED = 10**6
_SLICE = 256


class Tokenizer:
    """Turns stripped texts into token ids.

    Args:
        backend: The encoder's own tokenizer.
        prefix: What stands before each text: a space for RoBERTa and GPT-2, as in bert-score on
            transformers 4 (`add_prefix_space`), so that the first word is tokenized as any other.
        limit: The most ids that a text may have; the rest is cut off.
    """

    def __init__(self, backend: PreTrainedTokenizerBase, prefix: str, limit: int) -> None:
        self.backend = backend
        self.limit = limit
        self._prefix = prefix
        self._affixes = len(backend("")["input_ids"])

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, which must be stripped."""
        found: list[Ids] = []
        for start in range(0, len(texts), _SLICE):
            batch = [self._prefix + text if text else "" for text in texts[start : start + _SLICE]]
            encoded = self.backend(
                batch,
                truncation=True,
                max_length=self.limit,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            found += [array("i", ids) for ids in encoded["input_ids"]]
        return found

    def is_empty(self, ids: Ids) -> bool:
        """Whether there is no token but the special ones that every text gets."""
        return len(ids) <= self._affixes

    def spans(self, text: str) -> list[tuple[int, int, int | None]]:
        """Of each token its characters `start:end` of the text, and the word that it is part of."""
        encoded = self.backend(
            self._prefix + text,
            truncation=True,
            max_length=self.limit,
            return_offsets_mapping=True,
        )
        shift = len(self._prefix)
        offsets = [(max(a - shift, 0), max(b - shift, 0)) for a, b in encoded["offset_mapping"]]
        return [
            (start, end, word)
            for (start, end), word in zip(offsets, encoded.word_ids(), strict=True)
        ]


def length_limit(backend: PreTrainedTokenizerBase, positions: int | None, asked: int) -> int | None:
    """The most ids that both tokenizer and encoder take, or None if `asked` is more than that.

    Some tokenizers name 1e30, which no encoder takes; `positions` is None where they are relative.
    """
    named = backend.model_max_length
    known = [n for n in (named if named < _UNLIMITED else None, positions) if n is not None]
    if known and asked > min(known):
        return None
    return asked or min(known, default=UNKNOWN_LIMIT)
