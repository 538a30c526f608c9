"""The generator `nearest-question`: the answer of the training question that is most alike.

What a model must beat to have understood more than names. It embeds the training questions (about
3,000) when it is first asked, keeps them in memory only, and takes the one at the smallest angle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import Completion, HarnessError, Sample
from harness.fingerprint import digest, file_digest, sample_digest
from harness.models import resolve

from .questions import questions

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class NearestSettings:
    """Settings of `nearest-question`."""

    model: str = "minilm"
    """Sentence encoder: a directory, or a name from `harness models list`."""
    known: int = 0
    """How many of the training questions it knows; 0: all of them."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        if self.known < 0:
            raise ValueError(f"known is {self.known}; it must be 0 or more")


def build(settings: NearestSettings) -> NearestQuestion:
    """The generator with its encoder loaded.

    Raises:
        HarnessError: if the encoder has not been fetched, or cannot be loaded.
    """
    known = questions("train")[: settings.known or None]
    return NearestQuestion(Encoder(Path(resolve(settings.model))), known)


class NearestQuestion:
    """Answers a question as the nearest of `known` is answered; one of `known` as itself."""

    def __init__(self, encoder: Encoder, known: Sequence[Sample]) -> None:
        self._encoder, self._known = encoder, known
        self._answers = {sample.prompt: sample.references[0] for sample in known}

    @cached_property
    def _vectors(self) -> torch.Tensor:
        """A row for each of the known questions; a run that is read back needs none."""
        return self._encoder.all([sample.prompt for sample in self._known])

    def identity(self) -> Mapping[str, str]:
        """Digests of the training questions and of the encoder, and its libraries' versions."""
        return {"train": digest([sample_digest(s) for s in self._known]), **self._encoder.identity}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """Answer the samples, in order; every attempt gives the same."""
        return [Completion(s, self._answer(s.prompt), attempt=attempt) for s in samples]

    def _answer(self, prompt: str) -> str:
        if prompt in self._answers:
            return self._answers[prompt]
        nearest = int((self._vectors @ self._encoder.one(prompt)).argmax())
        return self._known[nearest].references[0]


class Encoder:
    """Texts as vectors of length 1: the mean of a transformer's token states, normalised."""

    def __init__(self, folder: Path) -> None:
        import transformers
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        if not (folder / "config.json").is_file():
            raise HarnessError(f"nearest-question: {folder} holds no model (no config.json)")
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._model = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        ).eval()
        files = {f.name: file_digest(f) for f in folder.iterdir() if f.is_file()}
        self.identity = {"encoder": digest(files), "transformers": transformers.__version__}

    def one(self, text: str) -> torch.Tensor:
        """The vector of a text, computed on its own so that it hangs on no other text."""
        return self._encode([text])[0]

    def all(self, texts: Sequence[str], batch: int = 64) -> torch.Tensor:
        """A vector a row; texts of one length go together, so that little is padding."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        found: dict[int, torch.Tensor] = {}
        for chunk in _chunks(order, batch):
            found.update(zip(chunk, self._encode([texts[i] for i in chunk]), strict=True))
        return torch.stack([found[i] for i in range(len(texts))])

    def _encode(self, texts: list[str]) -> torch.Tensor:
        import torch

        tokens = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        means = (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(means, dim=-1)


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
