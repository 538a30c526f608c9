"""The scorer: dedupes pairs, encodes what is new in chunks of bounded size, and matches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from harness import Completion, Credit, Score, Unscored
from harness_bertscore._cache import Cache
from harness_bertscore._credit import token_credit, word_credit
from harness_bertscore._encoder import Encoder
from harness_bertscore._matching import (
    ZERO,
    Encoded,
    best,
    encoded,
    precision_recall,
    rescaled,
    triple,
)
from harness_bertscore._tables import Triple
from harness_bertscore._tokens import Ids, Tokenizer

Pair = tuple[str, str]
"""A completion's text and one reference, both stripped."""

_LOOK_AHEAD = 256


@dataclass(frozen=True, slots=True)
class Rules:
    """How measured numbers become a score."""

    baseline: Triple | None = None
    clip: float | None = None
    credit: bool = False


class Named(NamedTuple):
    """What a scorer was built of: all that changes its numbers, and one line to publish."""

    identity: Mapping[str, str]
    signature: str


class Measured(NamedTuple):
    """What was found for a pair: raw numbers, and where asked for the credit of each token."""

    numbers: Triple
    credit: Sequence[float] = ()


class BertScore:
    """The rewarder `bertscore`.

    Value: F1, rescaled and clipped where the settings say so. Parts: precision, recall and f1,
    and with a baseline also f1_raw. With several references each of the three is the largest by
    itself, as in bert-score. An empty completion earns 0 before rescaling, an empty reference too.
    A completion without references is unscored. On a CPU, for the architectures that are packed,
    the same pair has the same score bit for bit in every batch; elsewhere within 1e-6.

    Args:
        encoder: Gives states of tokens.
        tokenizer: Gives the encoder its tokens.
        weights: Weight of each token id [V], on the CPU.
        rules: Baseline, clip and credit.
        cache: Of encoded references.
        chunk_tokens: Tokens whose states are alive at once, beside the cache.
        named: Identity and signature.
    """

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: Tokenizer,
        weights: Tensor,
        rules: Rules,
        cache: Cache,
        chunk_tokens: int,
        named: Named,
    ) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._weights = weights
        self._rules = rules
        self._cache = cache
        self._chunk_tokens = chunk_tokens
        self._named = named

    @property
    def signature(self) -> str:
        """What to publish beside a number, as sacrebleu's signature and bert-score's hash."""
        return self._named.signature

    def identity(self) -> Mapping[str, str]:
        """Digests of weights, tokenizer and IDF, resolved choices, versions of libraries."""
        return self._named.identity

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order; a text's score does not depend on the others."""
        jobs = [_job(completion) for completion in completions]
        # A trainer's autocast must not change what evaluation measures.
        with torch.autocast(self._encoder.device.type, enabled=False):
            measured = self._measure(list(dict.fromkeys(pair for job in jobs for pair in job)))
        return [
            self._score(completion, job, measured)
            for completion, job in zip(completions, jobs, strict=True)
        ]

    def _measure(self, pairs: Sequence[Pair]) -> dict[Pair, Measured]:
        measured = dict.fromkeys(pairs, Measured(ZERO))
        for chunk, ids in self._chunks(pairs):
            texts = self._encode(chunk, ids)
            whole = [(c, r) for c, r in chunk if c in texts and r in texts]
            found = [precision_recall(texts[c], texts[r]) for c, r in whole]
            numbers: list[list[float]] = torch.stack(found).tolist() if found else []
            for (c, r), (precision, recall) in zip(whole, numbers, strict=True):
                credit = self._token_credit(texts[c], texts[r])
                measured[c, r] = Measured(triple(precision, recall), credit)
        return measured

    def _token_credit(self, candidate: Encoded, reference: Encoded) -> list[float]:
        if not self._rules.credit:
            return []
        baseline = self._rules.baseline.f1 if self._rules.baseline else 0.0
        values: list[float] = token_credit(candidate, reference, baseline).tolist()
        return values

    def _chunks(self, pairs: Sequence[Pair]) -> Iterator[tuple[list[Pair], dict[str, Ids]]]:
        """Pairs, and the ids of those of their texts that the cache lacks, in bounded pieces."""
        chunk: list[Pair] = []
        ids: dict[str, Ids] = {}
        size = 0
        for start in range(0, len(pairs), _LOOK_AHEAD):
            ahead = pairs[start : start + _LOOK_AHEAD]
            known = self._ids([text for pair in ahead for text in pair])
            for pair in ahead:
                new = {t: known[t] for t in pair if t in known and t not in ids}
                if chunk and size + _tokens(new) > self._chunk_tokens:
                    yield chunk, ids
                    chunk, ids, size = [], {}, 0
                    new = {t: known[t] for t in pair if t in known}
                chunk.append(pair)
                ids |= new
                size += _tokens(new)
        if chunk:
            yield chunk, ids

    def _ids(self, texts: Sequence[str]) -> dict[str, Ids]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
        return dict(zip(missing, self._tokenizer.ids(missing), strict=True))

    def _encode(self, chunk: Sequence[Pair], ids: Mapping[str, Ids]) -> dict[str, Encoded]:
        """The texts of a chunk that are not empty; references are kept in the cache."""
        texts = dict.fromkeys(text for pair in chunk for text in pair)
        found = {text: item for text in texts if (item := self._cache.get(text)) is not None}
        lost = [text for text in texts if text not in found and text not in ids]
        known = {**ids, **self._ids(lost)}  # `lost` were cached when the chunk was planned
        new = [t for t in texts if t not in found and not self._tokenizer.is_empty(known[t])]
        vectors = self._encoder.encode([known[text] for text in new])
        for text, states in zip(new, vectors, strict=True):
            found[text] = encoded(states, self._weights[torch.tensor(known[text])])
        for _, reference in chunk:
            if reference in found:
                self._cache.put(reference, found[reference])
        return found

    def _score(
        self, completion: Completion, job: Sequence[Pair], by: Mapping[Pair, Measured]
    ) -> Score:
        if not job:
            return Score.missing(Unscored.NO_REFERENCE, "the sample has no reference")
        raw = best([by[pair].numbers for pair in job])
        shown, more = raw, {}
        if self._rules.baseline is not None:
            shown, more = rescaled(raw, self._rules.baseline), {"f1_raw": raw.f1}
        clip = self._rules.clip
        return Score(
            shown.f1 if clip is None else max(shown.f1, clip),
            parts={**shown._asdict(), **more},
            reason="" if raw.f1 else self._why_zero(job),
            credit=self._credit(completion, max((by[p] for p in job), key=_f1)),
        )

    def _why_zero(self, job: Sequence[Pair]) -> str:
        if self._tokenizer.is_empty(self._tokenizer.ids([job[0][0]])[0]):
            return "the completion is empty"
        if all(self._tokenizer.is_empty(ids) for ids in self._tokenizer.ids([r for _, r in job])):
            return "the reference is empty"
        return "all words of the completion or of the reference have an IDF weight of zero"

    def _credit(self, completion: Completion, best: Measured) -> tuple[Credit, ...]:
        """What each word earned against the reference whose F1 is the largest."""
        if not best.credit:
            return ()
        text = completion.text.strip()
        lead = len(completion.text) - len(completion.text.lstrip())
        return word_credit(text, lead, self._tokenizer.spans(text), best.credit)


def _job(completion: Completion) -> list[Pair]:
    text = completion.text.strip()
    return [(text, reference.strip()) for reference in completion.sample.references]


def _f1(measured: Measured) -> float:
    return measured.numbers.f1


def _tokens(ids: Mapping[str, Ids]) -> int:
    return sum(map(len, ids.values()))
