"""`repetition` and `copy`: guards against text that says again what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import Completion, Score
from harness_shaping._words import blame, ngrams, words

if TYPE_CHECKING:
    from harness_shaping import CopySettings, RepetitionSettings

NO_WORD = "the completion has no word"


class Repetition:
    """The rewarder `repetition`.

    Value: -max(0, r - allowed) / (1 - allowed), where r is the share of the text's groups of n
    words that the text has had before: 0 where each is new (and where there are fewer than n
    words), towards -1 for one phrase over and over. A completion without a word gets -1.

    Parts: repeated (r), distinct_1 and distinct_2 (distinct words, and pairs of words, as a share
    of all; Li et al. 2016), 0 where there are none. Credit: the words of the groups said again.
    """

    def __init__(self, settings: RepetitionSettings) -> None:
        self._settings = settings

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order."""
        return [self._score(c.text) for c in completions]

    def _score(self, text: str) -> Score:
        counted = words(text)
        keys = [word.key for word in counted]
        n = self._settings.n
        groups, seen = ngrams(keys, n), set[tuple[str, ...]]()
        weights = [0.0] * len(counted)
        again = 0
        for start, group in enumerate(groups):
            if group in seen:
                again += 1
                for place in range(start, start + n):
                    weights[place] += 1
            seen.add(group)
        share = again / len(groups) if groups else 0.0
        parts = {"repeated": share, "distinct_1": _distinct(keys, 1)}
        parts["distinct_2"] = _distinct(keys, 2)
        if not counted:
            return Score(-1.0, parts, reason=NO_WORD)
        value = _loss(share, self._settings.allowed)
        return Score(
            value, parts, credit=blame(counted, weights, value) if self._settings.credit else ()
        )


class Copy:
    """The rewarder `copy`.

    Value: -max(0, o - allowed) / (1 - allowed), where the overlap o is the share of the
    completion's words that are part of a run of n or more words which stands in the prompt too.
    All words count, stop words as well: only a run tells a copy from common words. Fewer than n
    words are no copy. A completion without a word gets -1.

    Parts: overlap. Credit: the copied words, each the same.
    """

    def __init__(self, settings: CopySettings) -> None:
        self._settings = settings

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order."""
        return [self._score(c.text, c.sample.prompt) for c in completions]

    def _score(self, text: str, prompt: str) -> Score:
        counted = words(text)
        if not counted:
            return Score(-1.0, {"overlap": 0.0}, reason=NO_WORD)
        n = self._settings.n
        asked = set(ngrams([word.key for word in words(prompt)], n))
        copied = [0.0] * len(counted)
        for start, group in enumerate(ngrams([word.key for word in counted], n)):
            if group in asked:
                copied[start : start + n] = [1.0] * n
        overlap = sum(copied) / len(counted)
        value = _loss(overlap, self._settings.allowed)
        return Score(
            value,
            {"overlap": overlap},
            credit=blame(counted, copied, value) if self._settings.credit else (),
        )


def _loss(share: float, allowed: float) -> float:
    return -(share - allowed) / (1 - allowed) if share > allowed else 0.0


def _distinct(keys: Sequence[str], n: int) -> float:
    groups = ngrams(keys, n)
    return len(set(groups)) / len(groups) if groups else 0.0
