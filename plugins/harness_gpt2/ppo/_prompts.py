"""Which rows a step asks, and as what tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness import DataError, Sample
from harness_gpt2 import Gpt2Settings
from harness_gpt2._batch import Row
from harness_gpt2._loading import Loaded
from harness_gpt2._prompts import Prompter
from harness_gpt2._sampling import noise_key
from harness_gpt2.ppo.settings import PpoSettings


@dataclass(frozen=True, slots=True)
class Question:
    """A sample as it is asked: what is decoded, and the sign that its control gives the reward."""

    sample: Sample
    row: Row
    sign: int


class Prompts:
    """The samples as tokens under each control text, and the order in which they are asked.

    The order is a permutation a pass over the samples. With both controls a
    random share of each batch has the second. All of it follows from the seed and the step.

    Raises:
        DataError: for a prompt that is empty or leaves the model no room to answer.
    """

    def __init__(
        self, samples: Sequence[Sample], loaded: Loaded, settings: PpoSettings, seed: int
    ) -> None:
        self._samples, self._settings, self._seed = samples, settings, seed
        self._context = loaded.context
        given = [(settings.good, 1), (settings.bad, -1)]
        self._controls = [(c, sign) for c, sign in given if c] or [("", 1)]
        self._tokens = {c: self._encode(c, loaded) for c, _ in self._controls}

    def batch(self, step: int) -> list[Question]:
        """The questions of a step, counted from 0."""
        size = self._settings.batch_size
        flipped = round(size * self._settings.bad_share) if len(self._controls) > 1 else 0
        places = np.random.default_rng([self._seed, 1, step]).permutation(size)
        first = step * size
        return [
            self._question(sample, first + i, int(places[i] < flipped))
            for i, sample in enumerate(self._drawn(first, size))
        ]

    def every(self) -> list[Question]:
        """Each sample once, under the first control."""
        return [self._question(i, i, 0) for i in range(len(self._samples))]

    def _drawn(self, first: int, size: int) -> Iterator[int]:
        count = len(self._samples)
        orders: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        for place in range(first, first + size):
            turn, index = divmod(place, count)
            if turn not in orders:
                orders[turn] = np.random.default_rng([self._seed, 0, turn]).permutation(count)
            yield int(orders[turn][index])

    def _question(self, index: int, number: int, control: int) -> Question:
        sample = self._samples[index]
        text, sign = self._controls[control]
        tokens = self._tokens[text][index]
        key = noise_key(self._seed, text + sample.prompt, number)
        return Question(sample, Row(tokens, self._budget(sample, len(tokens)), key), sign)

    def _budget(self, sample: Sample, prompt: int) -> int:
        budget = self._settings.max_new_tokens
        if self._settings.length == "reference":
            reference = sample.references[0] if sample.references else ""
            budget = len(sample.prompt.split()) + len(reference.split()) + 1
        return budget if self._context is None else min(budget, self._context - prompt)

    def _encode(self, control: str, loaded: Loaded) -> list[list[int]]:
        chosen = self._settings
        prompter = Prompter(
            loaded.tokenizer,
            Gpt2Settings(
                model=chosen.model,
                template=control + chosen.template,
                chat=chosen.chat,
                system=chosen.system,
            ),
        )
        encoded = prompter.tokens([sample.prompt for sample in self._samples])
        for sample, tokens in zip(self._samples, encoded, strict=True):
            self._check(sample, tokens)
        return encoded

    def _check(self, sample: Sample, tokens: Sequence[int]) -> None:
        if not sample.prompt.strip():
            raise DataError(f"sample {sample.id!r} has an empty prompt; fill it or remove the row")
        if self._context is not None and len(tokens) >= self._context:
            raise DataError(
                f"the prompt of sample {sample.id!r} has {len(tokens)} tokens, and the model's "
                f"context {self._context}; shorten it or remove the row"
            )
