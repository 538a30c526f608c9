"""From scores to the reward of every token."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from harness import Credit, Score
from harness_gpt2.ppo.settings import PpoSettings


@dataclass(slots=True)
class Moments:
    """Mean and standard deviation of a stream of numbers (Welford), frozen after some batches.

    `batches` is how many batches are measured; None measures all. A constant has deviation 0,
    which scales by 1.
    """

    batches: int | None
    seen: int = 0
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Iterable[float]) -> None:
        """Measure a batch, unless enough of them were."""
        if self.batches is not None and self.seen >= self.batches:
            return
        self.seen += 1
        for value in values:
            self.count += 1
            change = value - self.mean
            self.mean += change / self.count
            self.squares += change * (value - self.mean)

    @property
    def deviation(self) -> float:
        """The standard deviation; 1 where there is none."""
        variance = self.squares / (self.count - 1) if self.count > 1 else 0.0
        return math.sqrt(variance) if variance > 1e-16 else 1.0

    def scale(self, value: float) -> float:
        """The value in deviations from the mean."""
        return (value - self.mean) / self.deviation


@dataclass(frozen=True, slots=True)
class Response:
    """One response as the reward sees it: its scores, tokens' places in the text, and its sign.

    `spans` are the characters `start:end` of the text that each token stands for; `sign` is -1
    where the control text flips the reward; `ended` says whether it ended by itself.
    """

    scores: Mapping[str, Score]
    spans: Sequence[tuple[int, int]]
    sign: int
    ended: bool

    def tokens_credit(self, credit: Sequence[Credit]) -> list[float | None]:
        """Each token's share of the credit, times the number of tokens that have some.

        A span's value is shared alike by the tokens that overlap it, and the factor makes the
        mean over tokens what the sum is over spans: the score. None is a token without credit:
        white space, or the end token.
        """
        earned: list[float | None] = [None] * len(self.spans)
        for span in credit:
            inside = [
                i
                for i, (start, end) in enumerate(self.spans)
                if start < span.end and end > span.start
            ]
            for i in inside:
                earned[i] = (earned[i] or 0.0) + span.value / len(inside)
        blamed = sum(value is not None for value in earned)
        return [None if value is None else value * blamed for value in earned]


@dataclass(slots=True)
class TokenRewards:
    """Turns scores into a reward for each token, and remembers what it scales by.

    A scorer with credit rewards each word where it stands, any other rewards the last token. An
    answer that has no credit although its scorer gives it (it has no words) is rewarded at its
    last token. Guards keep their sign and scale.
    """

    weights: Mapping[str, float]
    settings: PpoSettings
    moments: dict[str, Moments] = field(default_factory=dict)

    def scored(self, scores: Mapping[str, Score]) -> bool:
        """Whether every scorer that counts gave a value."""
        return all(scores[label].value is not None for label, w in self.weights.items() if w)

    def measure(self, responses: Sequence[Response]) -> None:
        """Take a batch into account for the scales; only responses that were scored."""
        for label in self._scaled():
            frozen = self.settings.normalize == "initial"
            limit = self.settings.normalize_batches if frozen else None
            moments = self.moments.setdefault(label, Moments(limit))
            moments.add(
                value for r in responses for value in self._raw(label, r) if value is not None
            )

    def rewards(self, response: Response) -> list[float]:
        """The reward of each token of a response, the KL penalty aside."""
        total = [0.0] * len(response.spans)
        for label, weight in self.weights.items():
            if weight:
                for i, value in enumerate(self._scaled_by(label, response)):
                    total[i] += weight * value
        if not response.ended and self.settings.length == "free":
            total[-1] -= self.settings.missing_end_penalty
        return total

    def _scaled(self) -> list[str]:
        """The scorers whose values are brought to one scale."""
        if self.settings.normalize == "off":
            return []
        return [n for n, w in self.weights.items() if w and n not in self.settings.guards]

    def _scaled_by(self, label: str, response: Response) -> list[float]:
        if label in self.settings.guards:
            return [raw or 0.0 for raw in self._raw(label, response)]
        moments, clip = self.moments.get(label), self.settings.reward_clip
        factor = response.sign * self.settings.reward_scale
        values = []
        for raw in self._raw(label, response):
            value = 0.0 if raw is None else moments.scale(raw) if moments else raw
            values.append(factor * (min(max(value, -clip), clip) if clip else value))
        return values

    def _raw(self, label: str, response: Response) -> list[float | None]:
        """What each token earned before scaling; None where it has no part in it."""
        score = response.scores[label]
        assert score.value is not None
        if self.settings.credit == "auto" and score.credit:
            return response.tokens_credit(score.credit)
        return [*[None] * (len(response.spans) - 1), score.value]


class Spans:
    """The characters of a text that each of its tokens stands for."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._pieces: dict[int, str] = {}

    def of(self, tokens: Sequence[int], text: str) -> list[tuple[int, int]]:
        """One `(start, end)` a token; empty where it stands for no character of the text.

        `text` may end before the tokens do, as where a stop text was cut off.
        """
        pieces = [self._piece(token) for token in tokens]
        if not "".join(pieces).startswith(text):
            pieces = self._grown(tokens)
        spans, start = [], 0
        for piece in pieces:
            end = min(start + len(piece), len(text))
            spans.append((start, end))
            start = end
        return spans

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._decode([token])
        return self._pieces[token]

    def _grown(self, tokens: Sequence[int]) -> list[str]:
        """What each token adds to the text before it, where the pieces alone do not add up."""
        texts = [
            self._decode(tokens[:end]).rstrip("\N{REPLACEMENT CHARACTER}")
            for end in range(len(tokens) + 1)
        ]
        return [b[len(a) :] for a, b in itertools.pairwise(texts)]

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
