"""When an answer is complete, and what its text is."""

from __future__ import annotations

from collections.abc import Sequence

from harness_gpt2._loading import Loaded

_MARGIN = 4
"""Tokens beyond a stop text's bytes: a decoder may trim a space at the start of what it gets."""


class Stopper:
    """The end tokens of a model, and texts that end an answer (or count as end tokens)."""

    def __init__(self, loaded: Loaded, texts: Sequence[str]) -> None:
        self._tokenizer = loaded.tokenizer
        added = loaded.tokenizer.get_added_vocab()
        self._ends = loaded.end_tokens | {added[text] for text in texts if text in added}
        self._texts = tuple(text for text in texts if text not in added)
        self._window = max((len(text.encode()) for text in self._texts), default=0) + _MARGIN

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether the answer is complete with its last token."""
        if tokens[-1] in self._ends:
            return True
        if not self._texts:
            return False
        tail = self._plain(tokens[-self._window :])
        return any(text in tail for text in self._texts)

    def text(self, tokens: Sequence[int]) -> str:
        """Give the answer's text, up to the first stop text and without special tokens."""
        kept = tokens[:-1] if tokens[-1] in self._ends else tokens
        text = self._plain(kept)
        found = [at for at in (text.find(stop) for stop in self._texts) if at >= 0]
        return text[: min(found)] if found else text

    def _plain(self, tokens: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
