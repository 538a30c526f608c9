"""The generator `gpt2`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import torch

from harness.components import Completion, Sample, Usage
from harness_gpt2 import Gpt2Settings
from harness_gpt2._batch import Row
from harness_gpt2._decoding import Answer, decode
from harness_gpt2._loading import load
from harness_gpt2._packing import pack_linears
from harness_gpt2._prompts import Prompter
from harness_gpt2._sampling import Sampler, noise_key
from harness_gpt2._stopping import Stopper


class Gpt2Generator:
    """Answers samples with a causal language model; raises HarnessError if it cannot be loaded.

    An answer depends on the settings, the sample's prompt and the attempt: not on the other
    samples of the batch nor their order, up to the float error that can decide between two tokens
    of equal worth (about one token in 10^5 in float32; bfloat16 rounds more coarsely).
    """

    def __init__(self, settings: Gpt2Settings) -> None:
        self._settings = settings
        self._loaded = load(settings.model, dtype=settings.dtype, device=settings.device)
        pack_linears(self._loaded.model)
        self._prompter = Prompter(self._loaded.tokenizer, settings)
        self._stopper = Stopper(self._loaded, settings.stop)
        self._sampler = Sampler(
            settings.temperature, settings.top_k, settings.top_p, settings.repetition_penalty
        )
        self.batch_size = 2 * settings.batch_size
        """How many samples to hand over at once: two batches' worth, sorted by length."""

    def identity(self) -> Mapping[str, str]:
        """Digests of weights and tokenizer, versions, device and precision."""
        return self._loaded.identity

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """Answer the samples, in order; `attempt` selects other noise where sampling is on.

        A prompt that fills the model's context, or is no Unicode, becomes a completion with
        finish "error". Usage counts the tokens of templates and the end token; latency is a
        batch's time over its rows.
        """
        prompts = self._prompter.tokens([sample.prompt for sample in samples])
        done: dict[int, Completion] = {}
        rows: dict[int, Row] = {}
        for index, (sample, prompt) in enumerate(zip(samples, prompts, strict=True)):
            problem = self._problem(sample.prompt, prompt)
            if problem:
                done[index] = Completion(sample, "", "error", attempt=attempt, error=problem)
            else:
                rows[index] = self._row(sample, prompt, attempt)
        for batch in self._batches(rows):
            start = time.perf_counter()
            answers = self._decode([rows[index] for index in batch])
            seconds = (time.perf_counter() - start) / len(batch)
            for index, answer in zip(batch, answers, strict=True):
                done[index] = self._completion(
                    samples[index], rows[index], answer, seconds, attempt
                )
        return [done[index] for index in range(len(samples))]

    def _problem(self, text: str, prompt: Sequence[int]) -> str:
        context = self._loaded.context
        if text.encode(errors="replace").decode() != text:
            return "the prompt is no valid Unicode: it holds half of a surrogate pair"
        if not prompt:
            return "the prompt is empty, and the tokenizer has neither a start nor an end token"
        if context is not None and len(prompt) >= context:
            return f"the prompt has {len(prompt)} tokens, and the model's context {context}"
        return ""

    def _row(self, sample: Sample, prompt: Sequence[int], attempt: int) -> Row:
        budget = self._settings.max_new_tokens
        if self._loaded.context is not None:
            budget = min(budget, self._loaded.context - len(prompt))
        return Row(prompt, budget, noise_key(self._settings.seed, sample.prompt, attempt))

    def _batches(self, rows: Mapping[int, Row]) -> Iterator[list[int]]:
        """Yield indices of rows of similar length, the longest first so that memory fails early."""
        batch: list[int] = []
        for index in sorted(rows, key=lambda i: (-len(rows[i].prompt), i)):
            longest = rows[batch[0]] if batch else rows[index]
            tokens = (len(longest.prompt) + rows[index].budget) * (len(batch) + 1)
            if batch and (
                len(batch) == self._settings.batch_size or tokens > self._settings.batch_tokens
            ):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _decode(self, rows: Sequence[Row]) -> list[Answer]:
        try:
            return decode(self._loaded.model, rows, self._sampler, self._stopper.ended)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        # Outside of the handler, whose traceback holds the failed batch's memory.
        half = len(rows) // 2
        return self._decode(rows[:half]) + self._decode(rows[half:])

    def _completion(
        self, sample: Sample, row: Row, answer: Answer, seconds: float, attempt: int
    ) -> Completion:
        return Completion(
            sample,
            self._stopper.text(answer.tokens),
            answer.finish,
            Usage(len(row.prompt), len(answer.tokens)),
            seconds,
            attempt,
        )
