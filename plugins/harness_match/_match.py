"""The five ways to compare an answer with its references."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from harness import Completion, Score, Unscored
from harness_match._text import composed, last_number, leveller, overlap, tokens

if TYPE_CHECKING:
    from harness_match import MatchSettings

RIGHT, WRONG = Score(1.0), Score(0.0)  # scores are values: one of each serves all completions


class Matcher:
    """Scores 1.0 or 0.0, or with `f1` between; of several references the best counts.

    A sample without a reference that can be used is unscored, never 0.
    """

    def __init__(self, settings: MatchSettings) -> None:
        modes = {
            "exact": self._exact,
            "contains": self._contains,
            "regex": self._regex,
            "numeric": self._numeric,
            "f1": self._f1,
        }
        self._compare = modes[settings.mode]
        self._extract = re.compile(composed(settings.extract)) if settings.extract else None
        self._flags = re.IGNORECASE if settings.ignore_case else re.NOFLAG
        self._tolerance = settings.tolerance
        auto = "squad" if settings.mode == "f1" else "space"
        rule = auto if settings.normalise == "auto" else settings.normalise
        self._level = leveller(rule, settings.ignore_case)

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [self._score(c.text, c.sample.references) for c in completions]

    def _score(self, text: str, references: Sequence[str]) -> Score:
        if not references:
            return Score.missing(Unscored.NO_REFERENCE, "the sample has no reference")
        if self._extract is None:
            return self._compare(text, references)
        found = list(self._extract.finditer(composed(text)))
        if not found:
            return Score(0.0, reason="`extract` finds no answer in the completion")
        answer = found[-1][1 if self._extract.groups else 0]
        return self._compare(answer or "", references)

    def _exact(self, text: str, references: Sequence[str]) -> Score:
        answer = self._level(text)
        for reference in references:
            if self._level(reference) == answer:
                return RIGHT
        return WRONG

    def _contains(self, text: str, references: Sequence[str]) -> Score:
        """Text within text, not words: `cat` is in `concatenate`."""
        answer = self._level(text)
        for reference in map(self._level, references):
            # The empty text is part of every text; as a reference it means that there is none.
            if reference in answer if reference else not answer:
                return RIGHT
        return WRONG

    def _regex(self, text: str, references: Sequence[str]) -> Score:
        """References are Python patterns, found anywhere; one like `(a+)+$` may take for ever."""
        answer = composed(text)
        try:
            patterns = [_pattern(reference, self._flags) for reference in references]
        except re.error as error:
            reason = f"the reference {error.pattern!r} is no pattern: {error}"
            return Score.missing(Unscored.NO_REFERENCE, reason)
        return RIGHT if any(pattern.search(answer) for pattern in patterns) else WRONG

    def _numeric(self, text: str, references: Sequence[str]) -> Score:
        wanted = [number for r in references if (number := last_number(r)) is not None]
        if not wanted:
            return Score.missing(Unscored.NO_REFERENCE, f"{references[0]!r} holds no number")
        answer = last_number(text)
        if answer is None:
            return Score(0.0, reason="the answer holds no number")
        near = (abs(answer - w) <= self._tolerance * max(1.0, abs(w)) for w in wanted)
        return RIGHT if any(near) else WRONG

    def _f1(self, text: str, references: Sequence[str]) -> Score:
        answer = tokens(self._level(text))
        best = max(overlap(answer, tokens(self._level(r))) for r in references)
        return Score(best.f1, {"precision": best.precision, "recall": best.recall})


@lru_cache(maxsize=100_000)
def _pattern(reference: str, flags: re.RegexFlag) -> re.Pattern[str]:
    return re.compile(composed(reference), flags)
