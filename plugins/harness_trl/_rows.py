"""Samples as rows of tokens to learn, in the order in which they are learnt."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harness import DataError, Sample
from harness_trl import SftSettings
from harness_trl._prompts import Prompter, check
from harness_trl._start import Start

IGNORED = -100
"""The label of a token that is not learnt."""

_WINDOW = 64

Item = dict[str, int]
"""A row by the index of its sample, its prefix and its reference."""


_WIDTHS = 8


class Rows:
    """Each sample under each prefix: the tokens of the prompt, then those of a reference.

    The prompt's tokens are those that the model is asked with when it samples, and the end token
    follows a reference that is not cut.

    Raises:
        DataError: for a sample without a reference, or with a prompt that is empty or too long.
    """

    def __init__(self, samples: Sequence[Sample], start: Start, settings: SftSettings) -> None:
        for sample in samples:
            if not sample.references:
                raise DataError(f"sample {sample.id!r} has no reference to learn from")
        limits = [n for n in (settings.max_tokens, start.context) if n is not None]
        self._limit = min(limits, default=None)
        self._learn_all = settings.loss == "all"
        self._pad = start.tokenizer.pad_token_id
        prompter = Prompter(start.tokenizer, settings)
        prompts = [sample.prompt for sample in samples]
        self._prompts = [prompter.tokens(prompts, p) for p in settings.prefixes or ("",)]
        for tokens in self._prompts:
            check(samples, tokens, None if self._limit is None else self._limit - 1)
        self._answers = [_answers(sample, start, settings.completion) for sample in samples]

    def plan(self, rows: range, settings: SftSettings, seed: int) -> list[Item]:
        """All rows of a training: a permutation an epoch, prefix and reference drawn anew.

        With `group_by_length` rows of like length share a batch, and batches are shuffled.
        """
        count = settings.steps * settings.batch_size or math.ceil(settings.epochs * len(rows))
        items: list[Item] = []
        for epoch in range(math.ceil(count / len(rows))):
            rng = np.random.default_rng([seed, 0, epoch])
            order = (rows[i] for i in rng.permutation(len(rows)))
            items += [self._drawn(sample, rng) for sample in order]
        items = items[:count]
        if not settings.group_by_length:
            return items
        return self._grouped(items, settings.batch_size, np.random.default_rng([seed, 1]))

    def once(self, rows: range) -> list[Item]:
        """Each sample once: its first reference, under the first prefix."""
        return [{"sample": i, "prefix": 0, "reference": 0} for i in rows]

    def collate(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """A batch of rows: `input_ids`, `attention_mask` and `labels`, each (row, token).

        The width is rounded up: a CPU's matrix kernels are made anew for each size, and kept.
        """
        rows = [self._row(item) for item in items]
        longest = max(len(ids) for ids, _ in rows)
        rounded = -(-longest // _WIDTHS) * _WIDTHS
        shape = (len(rows), max(longest, min(rounded, self._limit or rounded)))
        ids = torch.full(shape, self._pad)
        labels, mask = torch.full(shape, IGNORED), torch.zeros(shape, dtype=torch.long)
        for i, (tokens, first) in enumerate(rows):
            row = torch.tensor(tokens)
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
            labels[i, first : len(row)] = row[first:]
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def _drawn(self, sample: int, rng: np.random.Generator) -> Item:
        prefix = int(rng.integers(len(self._prompts)))
        reference = int(rng.integers(len(self._answers[sample])))
        return {"sample": sample, "prefix": prefix, "reference": reference}

    def _row(self, item: Item) -> tuple[list[int], int]:
        """A row's tokens, and the index of the first that is learnt."""
        prompt = self._prompts[item["prefix"]][item["sample"]]
        answer = self._answers[item["sample"]][item["reference"]]
        # Nothing comes before the first token that it could be told from.
        return (prompt + answer)[: self._limit], 1 if self._learn_all else len(prompt)

    def _grouped(self, items: list[Item], size: int, rng: np.random.Generator) -> list[Item]:
        """Sorted by length within some batches' worth at a time; a short batch stays the last."""
        grouped: list[Item] = []
        for start in range(0, len(items), _WINDOW * size):
            window = sorted(
                items[start : start + _WINDOW * size], key=lambda item: len(self._row(item)[0])
            )
            whole = len(window) // size
            for batch in [*rng.permutation(whole), whole]:
                grouped += window[batch * size : (batch + 1) * size]
        return grouped


def _answers(sample: Sample, start: Start, template: str) -> list[list[int]]:
    texts = [template.replace("{reference}", reference) for reference in sample.references]
    encoded = start.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [[*ids, start.tokenizer.eos_token_id] for ids in encoded]
