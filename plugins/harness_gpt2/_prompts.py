"""From a sample's prompt to the tokens that the model reads."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from harness.errors import HarnessError
from harness_gpt2 import Gpt2Settings


class Prompter:
    """Puts prompts into the template, and into the chat template where there is one.

    A special token that is spelt out in a prompt counts as that token, as with transformers.
    Raises HarnessError for a chat template that is wanted and not there, or that fails.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: Gpt2Settings) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        has_template = tokenizer.chat_template is not None
        if settings.chat == "on" and not has_template:
            raise HarnessError(
                f"gpt2: chat is on, but the tokenizer of {settings.model} has no chat template"
            )
        self._chat = has_template and settings.chat != "off"
        if settings.system is not None and not self._chat:
            raise HarnessError("gpt2: system needs a chat template; write it into template instead")
        self.tokens(["probe"])

    def tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        """Give the token ids of each prompt; one start (or end) token stands for an empty text.

        What is no valid Unicode (half a surrogate pair) is read as "?".
        """
        if not prompts:
            return []
        texts = [self.text(prompt).encode(errors="replace").decode() for prompt in prompts]
        encoded = self._tokenizer(texts, add_special_tokens=not self._chat, verbose=False)
        return [list(ids) or self._start() for ids in encoded["input_ids"]]

    def text(self, prompt: str) -> str:
        """Give what the model is asked, as text."""
        text = self._settings.template.replace("{prompt}", prompt)
        return self._chatted(text) if self._chat else text

    def _chatted(self, text: str) -> str:
        messages = [{"role": "user", "content": text}]
        if self._settings.system is not None:
            messages.insert(0, {"role": "system", "content": self._settings.system})
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            )
        except Exception as error:  # a template is code of the model's author
            raise HarnessError(
                f"gpt2: the chat template of {self._settings.model} fails: {error}"
            ) from error

    def _start(self) -> list[int]:
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return [token]
        return []
