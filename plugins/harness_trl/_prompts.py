"""From a sample's prompt to what the model is asked."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from harness import DataError, HarnessError, Sample
from harness_trl import TrlSettings


class Prompter:
    """Puts prompts into the template, and into the chat template where there is one.

    Raises HarnessError for a chat template that is wanted and not there.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: TrlSettings) -> None:
        self._tokenizer, self._settings = tokenizer, settings
        has_template = tokenizer.chat_template is not None
        if settings.chat == "on" and not has_template:
            raise HarnessError(
                f"chat is on, but the tokenizer of {settings.model} has no chat template"
            )
        self.chat = has_template and settings.chat != "off"
        if settings.system is not None and not self.chat:
            raise HarnessError("system needs a chat template; write it into template instead")

    def asked(self, prompt: str, prefix: str = "") -> str | list[dict[str, str]]:
        """The text that the model is asked, or the messages where there is a chat template."""
        text = prefix + self._settings.template.replace("{prompt}", prompt)
        if not self.chat:
            return text
        system = self._settings.system
        start = [] if system is None else [{"role": "system", "content": system}]
        return [*start, {"role": "user", "content": text}]

    def tokens(self, prompts: Sequence[str], prefix: str = "") -> list[list[int]]:
        """The token ids of each prompt, as TRL makes them of what is asked."""
        texts = [self._text(self.asked(prompt, prefix)) for prompt in prompts]
        return list(self._tokenizer(texts, add_special_tokens=not self.chat)["input_ids"])

    def _text(self, asked: str | list[dict[str, str]]) -> str:
        if isinstance(asked, str):
            return asked
        render = self._tokenizer.apply_chat_template
        return str(render(asked, tokenize=False, add_generation_prompt=True))


def check(samples: Sequence[Sample], prompts: Sequence[Sequence[int]], room: int | None) -> None:
    """Raise DataError for a prompt that is empty, or of more than `room` tokens."""
    for sample, tokens in zip(samples, prompts, strict=True):
        if not tokens or not sample.prompt.strip():
            raise DataError(f"sample {sample.id!r} has an empty prompt; fill it or remove the row")
        if room is not None and len(tokens) > room:
            raise DataError(
                f"the prompt of sample {sample.id!r} has {len(tokens)} tokens, and the model's "
                f"context leaves room for {max(room, 0)}; shorten it or remove the row"
            )
