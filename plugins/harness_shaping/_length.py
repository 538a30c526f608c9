"""`length`: a guard that wants a certain number of words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import Completion, Credit, Score, Unscored
from harness_shaping._words import Word, words

if TYPE_CHECKING:
    from harness_shaping import LengthSettings


class Length:
    """The rewarder `length`.

    Value: -x^2 / (1 + x^2), where x = log(words / edge) / log(half) and `edge` is the nearer end
    of the band [low x target, high x target]; 0 within the band. So it is flat where it is 0, -1/2
    at `half` times too many or too few words, and falls on towards -1 everywhere: no length is
    so bad that a better one would not be told. A completion without a word gets -1.

    Parts: words, commas and the target, all counts. Credit: the words beyond the band, each by
    what it added to the loss, so that they sum to the value; of a text that is too short no word
    is to blame, but that it ended. A sample whose references hold no word is unscored, unless
    the target is fixed.
    """

    def __init__(self, settings: LengthSettings) -> None:
        self._settings = settings

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order."""
        return [self._score(c.text, self._targets(c.sample.references)) for c in completions]

    def _targets(self, references: Sequence[str]) -> list[int]:
        if self._settings.target:
            return [self._settings.target]
        return [count for reference in references if (count := len(words(reference)))]

    def _score(self, text: str, targets: Sequence[int]) -> Score:
        if not targets:
            reason = "no reference has a word, and no target is set"
            return Score.missing(Unscored.NO_REFERENCE, reason)
        counted = words(text)
        target = max(targets, key=lambda wanted: self._value(len(counted), wanted))
        return Score(
            self._value(len(counted), target),
            {"words": len(counted), "commas": text.count(","), "target": target},
            reason="" if counted else "the completion has no word",
            credit=self._credit(counted, target) if self._settings.credit else (),
        )

    def _value(self, count: int, target: int) -> float:
        if not count:
            return -1.0
        low, high = self._settings.low * target, self._settings.high * target
        edge = min(max(count, low), high)
        square = (math.log(count / edge) / math.log(self._settings.half)) ** 2
        return -square / (1 + square) if square else 0.0

    def _credit(self, counted: Sequence[Word], target: int) -> tuple[Credit, ...]:
        enough = math.floor(self._settings.high * target)
        values = [0.0] + [self._value(n, target) for n in range(enough + 1, len(counted) + 1)]
        beyond = zip(counted[enough:], values[1:], values, strict=False)
        return tuple(Credit(word.start, word.end, now - before) for word, now, before in beyond)
